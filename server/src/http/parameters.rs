//! Parameters of a request: those of the form first, then those of the address.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

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
    pub(super) fn with_form(self, headers: &HeaderMap, body: &[u8]) -> Self {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut form = Self::default();
        match kind.split(';').next().unwrap_or_default().trim() {
            "application/x-www-form-urlencoded" => form.append(body),
            "multipart/form-data" => form.append_parts(kind, body),
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

    /// The parts of a multipart body: fields, and a file as the field it is named.
    fn append_parts(&mut self, kind: &str, body: &[u8]) {
        let Some(boundary) = kind
            .split(';')
            .find_map(|part| part.trim().strip_prefix("boundary="))
        else {
            return;
        };
        let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
        // The first delimiter stands at the start, without the line break of the others.
        let framed = [b"\r\n", body].concat();
        let mut rest = &framed[..];
        while let Some((_, after)) = split_once(rest, delimiter.as_bytes()) {
            rest = after;
            let Some((head, content)) = split_once(rest, b"\r\n\r\n") else {
                return;
            };
            let Some((content, _)) = split_once(content, delimiter.as_bytes()) else {
                return;
            };
            let head = String::from_utf8_lossy(head);
            let name = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .starts_with("content-disposition:")
                    .then(|| line.split(';').find_map(|p| p.trim().strip_prefix("name=")))?
            });
            if let Some(name) = name {
                let value = String::from_utf8_lossy(content).into_owned();
                self.0.push((name.trim_matches('"').to_owned(), value));
            }
        }
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(kind: &str, body: &str) -> Parameters {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        Parameters::of_address(Some("db=a&q=x+y&empty=")).with_form(&headers, body.as_bytes())
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
}
