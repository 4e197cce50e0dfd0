//! A series' columns as lines.

use std::fmt::Write;

use plimsoll_engine::model::ValueRef;
use plimsoll_engine::{Column, TagSet};

/// The lines of one series, a field after the other, to be merged by time.
pub(super) struct Lines {
    /// Measurement and tags, escaped.
    key: String,
    columns: Vec<(String, Column)>,
}

/// What was written of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) lines: u64,
    pub(super) values: u64,
    /// Values that line protocol has no word for.
    pub(super) left_out: u64,
}

impl Lines {
    pub(super) fn new(measurement: &str, tags: &TagSet) -> Self {
        let mut key = escaped(measurement, &[',', ' ']);
        if !tags.as_str().is_empty() {
            key.push(',');
            // Canonical text is escaped as line protocol is.
            key.push_str(tags.as_str());
        }
        Self {
            key,
            columns: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, field: &str, column: Column) {
        if !column.times.is_empty() {
            self.columns
                .push((escaped(field, &[',', '=', ' ']), column));
        }
    }

    /// Appends a line for each time.
    pub(super) fn write(&self, out: &mut String) -> Count {
        let mut count = Count::default();
        let mut next = vec![0; self.columns.len()];
        loop {
            let times = self.columns.iter().zip(&next);
            let time = times
                .filter_map(|((_, column), at)| column.times.get(*at))
                .min();
            let Some(time) = time.copied() else {
                return count;
            };
            let start = out.len();
            out.push_str(&self.key);
            let mut separator = ' ';
            for ((field, column), at) in self.columns.iter().zip(&mut next) {
                if column.times.get(*at) != Some(&time) {
                    continue;
                }
                let value = column.values.value(*at);
                *at += 1;
                if matches!(value, ValueRef::Float(v) if !v.is_finite()) {
                    count.left_out += 1;
                    continue;
                }
                out.push(separator);
                separator = ',';
                out.push_str(field);
                out.push('=');
                put_value(out, value);
                count.values += 1;
            }
            if separator == ' ' {
                out.truncate(start);
            } else {
                put(out, format_args!(" {time}\n"));
                count.lines += 1;
            }
        }
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
}

fn put_value(out: &mut String, value: ValueRef<'_>) {
    match value {
        // The shortest text that reads back as the same number.
        ValueRef::Float(v) => put(out, format_args!("{v:?}")),
        ValueRef::Integer(v) => put(out, format_args!("{v}i")),
        ValueRef::Unsigned(v) => put(out, format_args!("{v}u")),
        ValueRef::Boolean(v) => put(out, format_args!("{v}")),
        ValueRef::String(v) => {
            out.push('"');
            for c in v.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
    }
}

fn escaped(name: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use plimsoll_engine::model::Values;
    use plimsoll_engine::{FieldType, FieldValue, Timestamp};
    use plimsoll_ingest::line::{Precision, parse};

    use super::*;

    fn column(times: &[i64], values: &[FieldValue]) -> Column {
        let mut out = Values::new(values[0].field_type());
        for value in values {
            out.push(value.as_ref());
        }
        Column {
            times: times.to_vec(),
            values: out,
        }
    }

    #[test]
    fn fields_of_one_time_make_one_line_and_every_line_reads_back() {
        let tags = TagSet::from_canonical(r"a\ b=c\,d,e=f");
        let mut lines = Lines::new("cpu usage,x", &tags);
        lines.add(
            "v 1",
            column(&[1, 3], &[FieldValue::Float(0.1), FieldValue::Float(1e300)]),
        );
        lines.add(
            "n",
            column(
                &[1, 2],
                &[FieldValue::Integer(-5), FieldValue::Integer(i64::MAX)],
            ),
        );
        lines.add(
            "s",
            column(&[3], &[FieldValue::String("a \"b\" \\ c\n".into())]),
        );
        lines.add("u", column(&[2], &[FieldValue::Unsigned(u64::MAX)]));
        lines.add("on", column(&[2], &[FieldValue::Boolean(true)]));
        let mut text = String::new();
        let count = lines.write(&mut text);
        let key = r"cpu\ usage\,x,a\ b=c\,d,e=f";
        assert_eq!(
            text,
            format!(
                "{key} v\\ 1=0.1,n=-5i 1\n\
                 {key} n=9223372036854775807i,u=18446744073709551615u,on=true 2\n\
                 {key} v\\ 1=1e300,s=\"a \\\"b\\\" \\\\ c\n\" 3\n"
            )
        );
        assert_eq!((count.lines, count.values, count.left_out), (3, 7, 0));
        let parsed = parse(text.as_bytes(), Precision::Nanoseconds, Timestamp(0));
        assert_eq!((parsed.rejected_count, parsed.batch.len()), (0, 3));
        assert_eq!(parsed.batch.values_count(), 7);
        assert_eq!(parsed.batch.tag_sets(), [tags]);
        assert_eq!(
            FieldType::Float,
            parsed.batch.points().next().unwrap().fields[0]
                .1
                .field_type()
        );
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_counted() {
        let mut lines = Lines::new("m", &TagSet::default());
        let values = [FieldValue::Float(f64::NAN), FieldValue::Float(-0.0)];
        lines.add("v", column(&[1, 2], &values));
        let mut text = String::new();
        let count = lines.write(&mut text);
        assert_eq!(text, "m v=-0.0 2\n");
        assert_eq!((count.lines, count.values, count.left_out), (1, 1, 1));
    }
}
