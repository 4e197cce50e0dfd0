//! The types of settings, and how each is written.

use std::fmt;
use std::str::FromStr;

use plimsoll_engine::catalog::{RETENTION_NS_MIN, Retention};
use plimsoll_engine::engine::Durability;
use serde::de::{Deserialize, Deserializer, Visitor};

/// A value that is written as text (or as a number, where the text would be one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T>(pub T);

impl<T: FromStr<Err = String>> FromStr for Parsed<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(std::marker::PhantomData<T>);
        impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Text(std::marker::PhantomData))
    }
}

/// A length of time: `500ms`, `10s`, `1h30m`, `30d`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

const UNITS_NS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration such as 500ms, 10s, 1h30m or 30d");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(std::time::Duration::ZERO));
        }
        let mut total_ns: u64 = 0;
        loop {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let count: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (_, unit_ns) = UNITS_NS
                .iter()
                .find(|(name, _)| *name == &rest[..letters])
                .ok_or_else(wrong)?;
            rest = &rest[letters..];
            total_ns = count
                .checked_mul(*unit_ns)
                .and_then(|ns| total_ns.checked_add(ns))
                .ok_or_else(wrong)?;
            if rest.is_empty() {
                return Ok(Self(std::time::Duration::from_nanos(total_ns)));
            }
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        if ns == 0 {
            return f.write_str("0");
        }
        let (name, unit_ns) = UNITS_NS
            .iter()
            .rev()
            .filter(|(name, _)| !matches!(*name, "w" | "µs"))
            .find(|(_, unit_ns)| ns.is_multiple_of(u128::from(*unit_ns)))
            .expect("every number is a multiple of 1 ns");
        write!(f, "{}{name}", ns / u128::from(*unit_ns))
    }
}

/// A size in bytes: `4096`, `64KiB`, `25MB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size such as 4096, 64KiB, 25MB or 1GiB");
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let count: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
        let unit: u64 = match trimmed[digits..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        count.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

/// `sync`, `none`, or `interval=100ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurabilitySetting(pub Durability);

impl FromStr for DurabilitySetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "sync" => Ok(Self(Durability::Sync)),
            "none" => Ok(Self(Durability::None)),
            other => {
                let every = other
                    .strip_prefix("interval=")
                    .ok_or_else(|| format!("`{text}` is none of sync, interval=100ms and none"))?;
                let every: Duration = every.parse()?;
                if every.0.is_zero() {
                    return Err("an interval of 0 is `sync`".to_owned());
                }
                Ok(Self(Durability::Interval(every.0)))
            }
        }
    }
}

impl fmt::Display for DurabilitySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Durability::Sync => f.write_str("sync"),
            Durability::None => f.write_str("none"),
            Durability::Interval(every) => write!(f, "interval={}", Duration(every)),
        }
    }
}

/// How long the database `k8s` keeps points: a duration of an hour or more; `0` or `inf` is for
/// ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSetting(pub Retention);

impl FromStr for RetentionSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("inf") {
            return Ok(Self(Retention::Forever));
        }
        let duration: Duration = text.parse()?;
        let ns = i64::try_from(duration.0.as_nanos())
            .map_err(|_| format!("`{text}` is too long: use inf"))?;
        if ns != 0 && ns < RETENTION_NS_MIN {
            return Err(format!(
                "`{text}` is too short: a retention is at least 1h, or 0 for ever"
            ));
        }
        Ok(Self(Retention::from_ns(ns)))
    }
}

impl fmt::Display for RetentionSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Retention::Forever => f.write_str("for ever"),
            Retention::For(ns) => {
                let duration = std::time::Duration::from_nanos(ns.unsigned_abs());
                write!(f, "{}", Duration(duration))
            }
        }
    }
}

/// The address of a source or a server. Its password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl(pub url::Url);

impl FromStr for SourceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{}` is not an address: {why}", redact(text));
        let url = url::Url::parse(text.trim()).map_err(|error| {
            wrong(&format!(
                "{error}; write it as http://HOST:PORT or https://HOST:PORT"
            ))
        })?;
        if !matches!(url.scheme(), "http" | "https" | "dns+http" | "dns+https") {
            return Err(wrong(
                "it must start with http://, https://, dns+http:// or dns+https://",
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        Ok(Self(url))
    }
}

impl SourceUrl {
    /// The address without `dns+`, and whether that stood before it: then it is one target for
    /// each address that its name has in DNS.
    #[must_use]
    pub fn parts(&self) -> (&str, bool) {
        let text = self.0.as_str();
        match text.strip_prefix("dns+") {
            Some(rest) => (rest, true),
            None => (text, false),
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = redact(self.0.as_str());
        f.write_str(text.strip_suffix('/').unwrap_or(&text))
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Takes user and password out of an address, whether it parses or not.
fn redact(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}***@{}", &text[..start], &text[start + at + 1..]),
        None => text.to_owned(),
    }
}

/// A port that is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(port) if port > 0 => Ok(Self(port)),
            _ => Err(format!("`{text}` is not a port from 1 to 65535")),
        }
    }
}

/// `error`, `warn`, `info`, `debug` or `trace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevel(pub tracing::Level);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map(Self)
            .map_err(|_| format!("`{text}` is none of error, warn, info, debug and trace"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Result<u128, String> {
        text.parse::<Duration>()
            .map(|duration| duration.0.as_nanos())
    }

    #[test]
    fn durations_are_written_as_in_influxql() {
        for (text, ns) in [
            ("0", 0),
            ("10s", 10_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("100ms", 100_000_000),
            ("30d", 2_592_000_000_000_000),
            ("1w", 604_800_000_000_000),
            ("5µs", 5_000),
        ] {
            assert_eq!(duration(text), Ok(ns), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "10x",
            "-1s",
            "1.5s",
            "99999999999999w",
            "10s5",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_prints_as_it_is_written() {
        for text in ["10s", "30d", "90m", "1500ms", "0"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn sizes_take_both_kinds_of_units() {
        assert_eq!("64MiB".parse(), Ok(Bytes(64 << 20)));
        assert_eq!("25MB".parse(), Ok(Bytes(25_000_000)));
        assert_eq!("7".parse(), Ok(Bytes(7)));
        for text in ["", "MiB", "1.5MiB", "1TiBs", "99999999999999999999"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_never_printed() {
        let url: SourceUrl = "https://u:secret@h:10250/x".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "https://***@h:10250/x https://***@h:10250/x"
        );
        for text in [
            "u:secret@h",
            "ftp://u:secret@h",
            "http://u:secret@",
            "http://u:sec ret@h:x",
        ] {
            let error = text.parse::<SourceUrl>().unwrap_err();
            assert!(
                !error.contains("secret") && !error.contains("ret@"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_retention_of_minutes_is_refused() {
        assert!("59m".parse::<RetentionSetting>().is_err());
        for text in ["0", "inf", "INF"] {
            assert_eq!(text.parse(), Ok(RetentionSetting(Retention::Forever)));
        }
    }

    #[test]
    fn durability_is_one_of_three() {
        for text in ["sync", "none", "interval=100ms"] {
            assert_eq!(text.parse::<DurabilitySetting>().unwrap().to_string(), text);
        }
        for text in ["", "interval", "interval=0", "interval=x", "fsync"] {
            assert!(text.parse::<DurabilitySetting>().is_err(), "{text}");
        }
    }
}
