//! Prometheus' remote write and read 1.0: snappy around protobuf.
//!
//! The messages are those of `prompb/remote.proto` as far as they are used here: what else a
//! request holds (metadata, exemplars, hints) is skipped. Pure: bytes in, a batch out.

use plimsoll_engine::{Batch, FieldValue, TagSet, Timestamp};
use prost::Message;

/// The label that holds a metric's name.
pub const NAME_LABEL: &str = "__name__";
/// The field that holds every value.
pub const FIELD: &str = "value";
/// Where points without a name go, as in InfluxDB.
const UNNAMED: &str = "prom_metric_not_specified";
const NS_PER_MS: i64 = 1_000_000;

/// A remote write.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// Series with their samples.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A remote read.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// Each is answered by a [`QueryResult`].
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
}

/// What a remote read answers.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// In the order of the queries.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// One query of a remote read.
#[derive(Clone, PartialEq, Message)]
pub struct Query {
    /// First time, ms, inclusive.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// Last time, ms, inclusive.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// All of them hold for a series.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

/// A condition on a label.
#[derive(Clone, PartialEq, Message)]
pub struct LabelMatcher {
    /// How it compares.
    #[prost(enumeration = "MatchType", tag = "1")]
    pub kind: i32,
    /// The label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// A text, or a regular expression that matches the whole value.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// How a [`LabelMatcher`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MatchType {
    /// `=`
    Equal = 0,
    /// `!=`
    NotEqual = 1,
    /// `=~`
    Matches = 2,
    /// `!~`
    MatchesNot = 3,
}

/// Series of one query.
#[derive(Clone, PartialEq, Message)]
pub struct QueryResult {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A series and samples of it.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Its labels, by name; [`NAME_LABEL`] is among them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// By time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// A label.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A value at a time.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value; a stale marker is a NaN.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// ms since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// Why a body is no request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is over the limit once it is unpacked.
    #[error("the request unpacks to {found} bytes, more than the {max} that are allowed")]
    TooLarge {
        /// What its head says.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// It is not snappy.
    #[error("the request is not in snappy's block format: {0}")]
    Snappy(#[from] snap::Error),
    /// It is not the protobuf message.
    #[error("the request is not the protobuf message of remote write or read: {0}")]
    Protobuf(#[from] prost::DecodeError),
}

/// What a remote write holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Points with one field, [`FIELD`].
    pub batch: Batch,
    /// Samples that are not finite: stale markers among them. InfluxDB drops them without a word.
    pub not_finite: usize,
    /// Samples whose labels or time cannot be stored.
    pub rejected: usize,
}

/// Reads a packed message of at most `bytes_max` once it is unpacked.
///
/// # Errors
/// [`Error`]: it is too large, or no such message.
pub fn unpack<M: Message + Default>(body: &[u8], bytes_max: usize) -> Result<M, Error> {
    let found = snap::raw::decompress_len(body)?;
    if found > bytes_max {
        return Err(Error::TooLarge {
            found,
            max: bytes_max,
        });
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body)?;
    Ok(M::decode(&bytes[..])?)
}

/// Packs a message.
///
/// # Errors
/// [`Error::Snappy`] where it is over 4 GiB.
pub fn pack(message: &impl Message) -> Result<Vec<u8>, Error> {
    Ok(snap::raw::Encoder::new().compress_vec(&message.encode_to_vec())?)
}

/// Turns a remote write's body into points: the name is the measurement, the other labels are
/// tags. Unlike InfluxDB it makes no tag of the name, so that a container's metrics share one tag
/// set.
///
/// # Errors
/// As [`unpack`].
pub fn points(body: &[u8], bytes_max: usize) -> Result<Parsed, Error> {
    let request: WriteRequest = unpack(body, bytes_max)?;
    let mut parsed = Parsed::default();
    let field = parsed.batch.name(FIELD);
    for series in &request.timeseries {
        let named = series.labels.iter().find(|label| label.name == NAME_LABEL);
        let name = named.map_or(UNNAMED, |label| &label.value);
        let pairs = series.labels.iter();
        let pairs = pairs.filter(|label| label.name != NAME_LABEL && !label.value.is_empty());
        let tags = TagSet::from_pairs(pairs.map(|label| (&*label.name, &*label.value)));
        let (Ok(tags), false) = (tags, name.is_empty()) else {
            parsed.rejected += series.samples.len();
            continue;
        };
        let (measurement, tag_set) = (parsed.batch.name(name), parsed.batch.tag_set(&tags));
        for sample in &series.samples {
            if !sample.value.is_finite() {
                parsed.not_finite += 1;
            } else if let Some(time) = sample.timestamp.checked_mul(NS_PER_MS) {
                let value = FieldValue::Float(sample.value);
                let fields = [(field, value)];
                parsed
                    .batch
                    .push(measurement, tag_set, Timestamp(time), fields);
            } else {
                parsed.rejected += 1;
            }
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
        let label = |(name, value): &(&str, &str)| Label {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        let sample = |(value, timestamp): &(f64, i64)| Sample {
            value: *value,
            timestamp: *timestamp,
        };
        TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: samples.iter().map(sample).collect(),
        }
    }

    fn packed(timeseries: Vec<TimeSeries>) -> Vec<u8> {
        pack(&WriteRequest { timeseries }).unwrap()
    }

    #[test]
    fn a_name_is_a_measurement_and_labels_are_tags() {
        let body = packed(vec![
            series(
                &[("__name__", "up"), ("job", "k"), ("none", "")],
                &[(1.0, 5), (0.0, -6)],
            ),
            series(&[("job", "k")], &[(2.0, 7)]),
        ]);
        let parsed = points(&body, 1 << 20).unwrap();
        let batch = &parsed.batch;
        let seen: Vec<_> = batch
            .points()
            .map(|point| {
                let name = &*batch.names()[point.measurement as usize];
                let tags = batch.tag_sets()[point.tag_set as usize].as_str();
                (name, tags, point.time.0, point.fields[0].1.clone())
            })
            .collect();
        let value = FieldValue::Float;
        let expected = [
            ("up", "job=k", 5_000_000, value(1.0)),
            ("up", "job=k", -6_000_000, value(0.0)),
            (UNNAMED, "job=k", 7_000_000, value(2.0)),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_cannot_be_stored_is_counted_by_its_reason() {
        let body = packed(vec![
            series(
                &[("__name__", "a")],
                &[(f64::NAN, 1), (f64::INFINITY, 2), (1.0, i64::MAX)],
            ),
            series(&[("__name__", "")], &[(1.0, 1)]),
            series(
                &[("__name__", "a"), ("x", "1"), ("x", "2")],
                &[(1.0, 1), (1.0, 2)],
            ),
        ]);
        let parsed = points(&body, 1 << 20).unwrap();
        assert_eq!((parsed.not_finite, parsed.rejected), (2, 4));
        assert!(parsed.batch.is_empty());
    }

    #[test]
    fn a_body_that_is_no_request_says_why() {
        let body = packed(vec![series(&[("__name__", "a")], &[(1.0, 1)])]);
        let error = |body: &[u8], max| points(body, max).unwrap_err().to_string();
        assert!(error(&body, 5).contains("more than the 5 that are allowed"));
        assert!(error(b"", 100).contains("snappy"));
        assert!(error(b"not packed", 1 << 30).contains("snappy"));
        let text = snap::raw::Encoder::new()
            .compress_vec(b"no protobuf")
            .unwrap();
        assert!(error(&text, 100).contains("protobuf"));
    }
}
