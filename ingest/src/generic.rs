//! Any Prometheus endpoint: a metric's name is its measurement, its labels are tags, its value
//! is field `value`, a float; rules say otherwise.

use std::borrow::Cow;

use plimsoll_engine::model::TagSetBuilder;
use plimsoll_engine::{FieldValue, TagSet, Timestamp};

use crate::choice::{Choice, NOT_CHOSEN};
use crate::labels::LABEL_BYTES_MAX;
use crate::names::Mapped;
use crate::prometheus::{self, Label};

/// What metrics are called; the first rule that fits a metric decides.
///
/// Written `NAME=MEASUREMENT`, `NAME=MEASUREMENT:FIELD` or `NAME=` (dropped), where a `*` at the
/// end of `NAME` stands for the rest, and a `*` in its place on the right side puts it there.
///
/// ```
/// use plimsoll_ingest::generic::Rules;
///
/// let rules = Rules::parse(["go_*=", "node_*=node:*", "up=target/up_gauge"]).unwrap();
/// assert_eq!(rules.names("go_threads"), None);
/// assert_eq!(rules.names("node_load1"), Some(("node".into(), "load1".into())));
/// assert_eq!(rules.names("up"), Some(("target/up_gauge".into(), "value".into())));
/// assert_eq!(rules.names("other"), Some(("other".into(), "value".into())));
/// assert!(Rules::parse(["=x"]).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Rule {
    name: String,
    takes_rest: bool,
    /// Measurement and field; none drops.
    to: Option<(String, String)>,
}

impl Rules {
    /// Reads rules.
    ///
    /// # Errors
    /// The first that is none, in words.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut rules = Vec::new();
        for text in texts {
            let wrong = || format!("`{text}` is not of the form NAME=MEASUREMENT:FIELD");
            let (name, to) = text.trim().split_once('=').ok_or_else(wrong)?;
            let (start, takes_rest) = match name.strip_suffix('*') {
                Some(start) => (start, true),
                None => (name, false),
            };
            if name.is_empty() || start.contains('*') {
                return Err(wrong());
            }
            let to = match to {
                "" => None,
                _ => {
                    let (measurement, field) = to.rsplit_once(':').unwrap_or((to, "value"));
                    if measurement.is_empty() || field.is_empty() {
                        return Err(wrong());
                    }
                    Some((measurement.to_owned(), field.to_owned()))
                }
            };
            rules.push(Rule {
                name: start.to_owned(),
                takes_rest,
                to,
            });
        }
        Ok(Self(rules))
    }

    /// Measurement and field of a metric; none where it is dropped.
    #[must_use]
    pub fn names<'a>(&'a self, metric: &'a str) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
        for rule in &self.0 {
            let Some(rest) = metric.strip_prefix(rule.name.as_str()) else {
                continue;
            };
            if !rest.is_empty() && !rule.takes_rest {
                continue;
            }
            let (measurement, field) = rule.to.as_ref()?;
            let put = |text: &'a str| match text.contains('*') && rule.takes_rest {
                true => Cow::Owned(text.replace('*', rest)),
                false => Cow::Borrowed(text),
            };
            return Some((put(measurement), put(field)));
        }
        Some((Cow::Borrowed(metric), Cow::Borrowed("value")))
    }
}

/// Measurement and field of a metric in a batch, or why it has none.
type Names = Result<(u32, u32), &'static str>;

/// Maps a page; `tags` stand on every row, and win over labels of the same name, which then are
/// `exported_…`, as with Prometheus.
#[must_use]
pub fn map(
    text: &str,
    rules: &Rules,
    choice: &Choice,
    tags: &[(String, String)],
    now: Timestamp,
) -> (Mapped, prometheus::Parsed) {
    let mut mapped = Mapped::default();
    // Samples of a metric stand together, so that its names are looked up once.
    let mut last: Option<(String, Names)> = None;
    let mut builder = TagSetBuilder::default();
    let parsed = prometheus::parse(text, |sample| {
        if last.as_ref().is_none_or(|(name, _)| name != sample.name) {
            let names = match rules.names(sample.name) {
                None => Err("dropped by a rule"),
                Some((measurement, field)) if !choice.takes(&measurement, &field) => {
                    Err(NOT_CHOSEN)
                }
                Some((measurement, field)) => {
                    Ok((mapped.batch.name(&measurement), mapped.batch.name(&field)))
                }
            };
            last = Some((sample.name.to_owned(), names));
        }
        let (measurement, field) = match &last {
            Some((_, Ok(names))) => *names,
            Some((_, Err(reason))) => return mapped.drop_samples(reason, 1),
            None => unreachable!("it was set above"),
        };
        if !sample.value.is_finite() {
            return mapped.drop_samples("not a number", 1);
        }
        let Some(tag_set) = tag_set(&mut builder, tags, sample.labels) else {
            return mapped.drop_samples("label too long or named twice", 1);
        };
        let tag_set = mapped.batch.tag_set(&tag_set);
        let time = sample
            .timestamp_ms
            .map_or(now, |ms| Timestamp(ms.saturating_mul(1_000_000)));
        let value = FieldValue::Float(sample.value);
        mapped
            .batch
            .push(measurement, tag_set, time, [(field, value)]);
        mapped.kept += 1;
    });
    (mapped, parsed)
}

fn tag_set(
    builder: &mut TagSetBuilder,
    tags: &[(String, String)],
    labels: &[Label<'_>],
) -> Option<TagSet> {
    builder.clear();
    for (key, value) in tags {
        push(builder, key, value)?;
    }
    for (key, value) in labels {
        if key.len() + value.len() > LABEL_BYTES_MAX {
            return None;
        }
        let is_taken = key == "time" || tags.iter().any(|(taken, _)| taken == key);
        match is_taken {
            true => push(builder, &format!("exported_{key}"), value)?,
            false => push(builder, key, value)?,
        }
    }
    Some(TagSet::from_canonical(builder.finish().ok()?))
}

/// An empty value is an absent tag.
fn push(builder: &mut TagSetBuilder, key: &str, value: &str) -> Option<()> {
    // A `\` at a value's end would escape the comma behind it.
    let value = value.trim_end_matches('\\');
    match value.is_empty() {
        true => Some(()),
        false => builder.push(key, value).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_points_and_what_does_not_is_counted() {
        let text = "node_load1 0.5 1000\nhttp_total{code=\"200\",instance=\"own\",empty=\"\"} 7\n\
                    go_threads 5\nother_x{a=\"1\"} 1\nother_x{a=\"2\"} 1\nbad NaN\ntwice{a=\"1\",a=\"2\"} 1\nno value\n";
        let rules = Rules::parse(["go_*=", "node_*=node:*"]).unwrap();
        let tags = [("instance".to_owned(), "h:9100".to_owned())];
        let choice = Choice::parse([], ["other_*"]).unwrap();
        let (mapped, parsed) = map(text, &rules, &choice, &tags, Timestamp(5));
        let batch = &mapped.batch;
        let points: Vec<String> = batch
            .points()
            .map(|point| {
                let (field, value) = &point.fields[0];
                format!(
                    "{},{} {}={value:?} {}",
                    batch.names()[point.measurement as usize],
                    batch.tag_sets()[point.tag_set as usize],
                    batch.names()[*field as usize],
                    point.time.0
                )
            })
            .collect();
        assert_eq!(
            points,
            [
                "node,instance=h:9100 load1=Float(0.5) 1000000000",
                "http_total,code=200,exported_instance=own,instance=h:9100 value=Float(7.0) 5",
            ]
        );
        let dropped: Vec<_> = mapped.dropped.into_iter().collect();
        assert_eq!(
            dropped,
            [
                ("dropped by a rule", 1),
                ("label too long or named twice", 1),
                ("not a number", 1),
                ("not chosen", 2),
            ]
        );
        assert_eq!((mapped.kept, parsed.rejected), (2, 1));
    }

    #[test]
    fn rules_that_are_none_are_refused() {
        for text in ["", "a", "=b", "a=:f", "a=m:", "*a=b"] {
            assert!(Rules::parse([text]).is_err(), "{text}");
        }
    }
}
