//! Parameters of a request: those of the form first, then those of the address.

use std::convert::Infallible;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;

/// Names and values, decoded.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the address' query part.
    pub(super) fn of_address(query: Option<&str>) -> Self {
        let mut parameters = Self::default();
        parameters.append(query.unwrap_or_default().as_bytes());
        parameters
    }

    /// Puts a form's parameters before these. A body of another type is left alone: clients send
    /// `application/json` over empty and over meaningless bodies.
    #[must_use]
    pub(super) async fn with_form(self, headers: &HeaderMap, body: &Bytes) -> Self {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut form = Self::default();
        match kind.split(';').next().unwrap_or_default().trim() {
            "application/x-www-form-urlencoded" => form.append(body),
            "multipart/form-data" => form.append_parts(kind, body.clone()).await,
            _ => {}
        }
        form.0.extend(self.0);
        form
    }

    /// The first value, empty where there is none: an empty parameter is as if absent.
    pub(super) fn value(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value(name) == "true"
    }

    fn append(&mut self, encoded: &[u8]) {
        let pairs = form_urlencoded::parse(encoded);
        self.0.extend(pairs.into_owned());
    }

    /// The parts of a multipart body: fields, and a file as the field it is named. What comes
    /// behind a part that is broken is as if absent, as in InfluxDB.
    async fn append_parts(&mut self, kind: &str, body: Bytes) {
        let Ok(boundary) = multer::parse_boundary(kind) else {
            return;
        };
        let whole = stream::iter([Ok::<_, Infallible>(body)]);
        let mut parts = Multipart::new(whole, boundary);
        while let Ok(Some(part)) = parts.next_field().await {
            let name = part.name().map(str::to_owned);
            let (Some(name), Ok(value)) = (name, part.bytes().await) else {
                return;
            };
            let value = String::from_utf8_lossy(&value).into_owned();
            self.0.push((name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Everything is there already, so nothing waits.
    fn parameters(kind: &str, body: &str) -> Parameters {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let body = Bytes::copy_from_slice(body.as_bytes());
        let read = Parameters::of_address(Some("db=a&q=x+y&empty="));
        read.with_form(&headers, &body)
            .now_or_never()
            .expect("the body is there")
    }

    #[test]
    fn the_form_is_asked_before_the_address() {
        let mixed = parameters(
            "application/x-www-form-urlencoded; charset=utf-8",
            "q=1%3B2",
        );
        assert_eq!((mixed.value("q"), mixed.value("db")), ("1;2", "a"));
        assert_eq!((mixed.value("empty"), mixed.value("absent")), ("", ""));
    }

    #[test]
    fn a_body_of_another_type_is_not_read() {
        assert_eq!(parameters("application/json", "q=1").value("q"), "x y");
    }

    #[test]
    fn a_file_of_a_multipart_body_is_a_parameter() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"q\"; filename=\"f\"\r\n\
                    Content-Type: text/plain\r\n\r\nSELECT 1;\r\nSELECT 2\r\n--B--\r\n";
        let read = parameters("multipart/form-data; boundary=B", body);
        assert_eq!(read.value("q"), "SELECT 1;\r\nSELECT 2");
    }

    #[test]
    fn a_broken_multipart_body_gives_what_stands_before_the_break() {
        let part =
            |name| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n1\r\n");
        let whole = format!("{}{}--B--\r\n", part("first"), part("second"));
        let kind = "multipart/form-data; boundary=\"B\"";
        for end in 0..whole.len() {
            let read = parameters(kind, &whole[..end]);
            assert!(matches!(read.value("second"), "" | "1"), "cut at {end}");
            assert_eq!(read.value("db"), "a", "cut at {end}");
        }
        let read = parameters(kind, &whole[..part("first").len() + 8]);
        assert_eq!((read.value("first"), read.value("second")), ("1", ""));
        assert_eq!(parameters("multipart/form-data", &whole).value("first"), "");
    }
}
