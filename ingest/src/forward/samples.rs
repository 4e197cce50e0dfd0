//! Batches as series of a remote write.

use std::collections::HashMap;

use plimsoll_engine::{Batch, FieldValue};

use crate::remote::{FIELD, Label, NAME_LABEL, Sample, TimeSeries};

/// The label that holds the database, as VictoriaMetrics has it for line protocol.
const DATABASE_LABEL: &str = "db";
const NS_PER_MS: i64 = 1_000_000;

/// The series of a batch, at most `samples_max` samples a part, and how many values are no
/// numbers and left out.
///
/// A metric is called as its measurement, with the field behind a `_` unless that is `value`;
/// samples of a series are in the order of their times, and of two in one ms the later line
/// counts: Prometheus takes them so alone.
pub(super) fn series(
    batch: &Batch,
    database: &str,
    samples_max: usize,
) -> (Vec<Vec<TimeSeries>>, usize) {
    let mut places: HashMap<(u32, u32, u32), usize> = HashMap::new();
    let mut all: Vec<TimeSeries> = Vec::new();
    let mut left_out = 0;
    let mut names: HashMap<(u32, u32), String> = HashMap::new();
    for point in batch.points() {
        for (field, value) in point.fields {
            let Some(value) = number(value) else {
                left_out += 1;
                continue;
            };
            let key = (point.tag_set, point.measurement, *field);
            let place = *places.entry(key).or_insert_with(|| {
                let name = names.entry((point.measurement, *field)).or_insert_with(|| {
                    let of = |id: u32| &*batch.names()[id as usize];
                    metric_name(of(point.measurement), of(*field))
                });
                let tags = &batch.tag_sets()[point.tag_set as usize];
                all.push(TimeSeries {
                    labels: labels(name, database, tags),
                    samples: Vec::new(),
                });
                all.len() - 1
            });
            all[place].samples.push(Sample {
                value,
                timestamp: point.time.0.div_euclid(NS_PER_MS),
            });
        }
    }
    for series in &mut all {
        in_order(&mut series.samples);
    }
    (parts(all, samples_max), left_out)
}

fn number(value: &FieldValue) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the protocol's numbers are floats; a count is exact to 2^53"
    )]
    Some(match value {
        FieldValue::Float(value) => *value,
        FieldValue::Integer(value) => *value as f64,
        FieldValue::Unsigned(value) => *value as f64,
        FieldValue::Boolean(value) => f64::from(u8::from(*value)),
        FieldValue::String(_) => return None,
    })
}

fn metric_name(measurement: &str, field: &str) -> String {
    let name = match field {
        FIELD => measurement.to_owned(),
        _ => format!("{measurement}_{field}"),
    };
    sanitized(&name, ":")
}

/// Letters, digits, `_` and `more` alone, and no digit at the start.
fn sanitized(name: &str, more: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let is_digit_first = out.is_empty() && c.is_ascii_digit();
        if is_digit_first {
            out.push('_');
        }
        match c.is_ascii_alphanumeric() || more.contains(c) {
            true => out.push(c),
            false => out.push('_'),
        }
    }
    out
}

fn labels(name: &str, database: &str, tags: &plimsoll_engine::TagSet) -> Vec<Label> {
    let label = |name: String, value: &str| Label {
        name,
        value: value.to_owned(),
    };
    let mut labels = vec![label(NAME_LABEL.to_owned(), name)];
    labels.extend(
        tags.pairs()
            .map(|(key, value)| label(sanitized(&key, ""), &value)),
    );
    if tags.value(DATABASE_LABEL).is_none() {
        labels.push(label(DATABASE_LABEL.to_owned(), database));
    }
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    // Two keys may be one once what labels cannot hold is gone.
    labels.dedup_by(|later, first| later.name == first.name);
    labels
}

fn in_order(samples: &mut Vec<Sample>) {
    if samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
        return;
    }
    samples.sort_by_key(|sample| sample.timestamp);
    samples.dedup_by(|later, first| {
        let is_one = later.timestamp == first.timestamp;
        if is_one {
            *first = *later;
        }
        is_one
    });
}

fn parts(all: Vec<TimeSeries>, samples_max: usize) -> Vec<Vec<TimeSeries>> {
    let mut parts = Vec::new();
    let (mut part, mut count) = (Vec::new(), 0);
    for series in all {
        if count + series.samples.len() > samples_max && count > 0 {
            parts.push(std::mem::take(&mut part));
            count = 0;
        }
        count += series.samples.len();
        part.push(series);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}
