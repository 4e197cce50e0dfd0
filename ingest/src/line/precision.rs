//! The unit of a body's times.

/// The unit of a body's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// ns, the default.
    #[default]
    Nanoseconds,
    /// µs.
    Microseconds,
    /// ms.
    Milliseconds,
    /// s.
    Seconds,
    /// 60 s.
    Minutes,
    /// 3,600 s.
    Hours,
}

/// A `precision` parameter that is none, with InfluxDB's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid precision {got:?} (use {known})")]
pub struct PrecisionError {
    got: String,
    known: &'static str,
}

impl Precision {
    /// The `precision` of `/write`; absent and empty are ns.
    ///
    /// # Errors
    /// [`PrecisionError`] where it is none of `n ns u ms s m h`; `us` belongs to
    /// [`Self::from_v2`].
    pub fn from_v1(text: &str) -> Result<Self, PrecisionError> {
        Ok(match text {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => {
                return Err(PrecisionError {
                    got: text.to_owned(),
                    known: "n, u, ms, s, m or h",
                });
            }
        })
    }

    /// The `precision` of `/api/v2/write`; absent and empty are ns.
    ///
    /// # Errors
    /// [`PrecisionError`] where it is none of `ns us ms s`.
    pub fn from_v2(text: &str) -> Result<Self, PrecisionError> {
        Ok(match text {
            "" | "ns" => Self::Nanoseconds,
            "us" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            _ => {
                return Err(PrecisionError {
                    got: text.to_owned(),
                    known: "ns, us, ms or s",
                });
            }
        })
    }

    /// The unit in ns.
    #[must_use]
    pub fn unit_ns(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_the_interface_has_its_own_words() {
        for (text, v1, v2) in [
            ("", Some(1), Some(1)),
            ("n", Some(1), None),
            ("ns", Some(1), Some(1)),
            ("u", Some(1_000), None),
            ("us", None, Some(1_000)),
            ("ms", Some(1_000_000), Some(1_000_000)),
            ("s", Some(1_000_000_000), Some(1_000_000_000)),
            ("m", Some(60_000_000_000), None),
            ("h", Some(3_600_000_000_000), None),
            ("x", None, None),
        ] {
            assert_eq!(
                Precision::from_v1(text).ok().map(Precision::unit_ns),
                v1,
                "{text}"
            );
            assert_eq!(
                Precision::from_v2(text).ok().map(Precision::unit_ns),
                v2,
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_precision_is_named() {
        assert_eq!(
            Precision::from_v1("us").unwrap_err().to_string(),
            r#"invalid precision "us" (use n, u, ms, s, m or h)"#
        );
        assert_eq!(
            Precision::from_v2("m").unwrap_err().to_string(),
            r#"invalid precision "m" (use ns, us, ms or s)"#
        );
    }
}
