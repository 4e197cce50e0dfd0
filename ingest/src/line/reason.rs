//! Why a line was refused, in InfluxDB's words.

/// Why a line was refused; prints InfluxDB's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum Reason {
    #[error("missing measurement")]
    MissingMeasurement,
    #[error("missing fields")]
    MissingFields,
    #[error("missing tag key")]
    MissingTagKey,
    #[error("missing tag value")]
    MissingTagValue,
    #[error("invalid tag format")]
    InvalidTagFormat,
    #[error("duplicate tags")]
    DuplicateTags,
    #[error("max key length exceeded: {got} > {}", super::KEY_BYTES_MAX)]
    KeyTooLong {
        /// The bytes of the key.
        got: usize,
    },
    #[error("max line length exceeded: {got} > {} bytes", super::LINE_BYTES_MAX)]
    LineTooLong {
        /// The bytes of the line.
        got: usize,
    },
    #[error("max tags per point exceeded: {got} > {}", super::TAGS_MAX)]
    TooManyTags {
        /// The tags of the line.
        got: usize,
    },
    #[error("max fields per point exceeded: {got} > {}", super::FIELDS_MAX)]
    TooManyFields {
        /// The fields of the line.
        got: usize,
    },
    #[error("key contains invalid unicode")]
    KeyNotUtf8,
    #[error("missing field key")]
    MissingFieldKey,
    #[error("missing field value")]
    MissingFieldValue,
    #[error("invalid field format")]
    InvalidFieldFormat,
    #[error("invalid value: field-key={key}")]
    InvalidValue {
        /// The rest of the fields, which holds no `=` that counts.
        key: String,
    },
    #[error("unbalanced quotes")]
    UnbalancedQuotes,
    #[error("invalid boolean")]
    InvalidBoolean,
    #[error("invalid number")]
    InvalidNumber,
    #[error("invalid float")]
    InvalidFloat,
    #[error(
        "unable to parse integer {digits}: strconv.ParseInt: parsing \"{digits}\": value out of range"
    )]
    IntegerOutOfRange {
        /// The number.
        digits: String,
    },
    #[error(
        "unable to parse unsigned {digits}: strconv.ParseUint: parsing \"{digits}\": value out of range"
    )]
    UnsignedOutOfRange {
        /// The number.
        digits: String,
    },
    #[error("bad timestamp")]
    BadTimestamp,
    #[error("strconv.ParseInt: parsing \"{digits}\": invalid syntax")]
    TimestampSyntax {
        /// The time as it stands.
        digits: String,
    },
    #[error("strconv.ParseInt: parsing \"{digits}\": value out of range")]
    TimestampOverflow {
        /// The time as it stands.
        digits: String,
    },
    #[error(
        "time outside range {} - {}",
        plimsoll_engine::model::TIME_MIN.0,
        plimsoll_engine::model::TIME_MAX.0
    )]
    TimeOutsideRange,
    #[error("point is invalid")]
    PointInvalid,
}
