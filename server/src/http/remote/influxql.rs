//! A remote read as InfluxQL, and its rows as series.

use std::fmt::Write;

use plimsoll_ingest::remote::{
    FIELD, Label, LabelMatcher, MatchType, NAME_LABEL, Query, QueryResult, Sample, TimeSeries,
};
use plimsoll_query::rows::{Cell, Message, Rows};
use plimsoll_query::{Error, Sink};

const NS_PER_MS: i64 = 1_000_000;
const MEMORY: &str = "writing to memory does not fail";

/// The SELECT that answers a query.
///
/// # Errors
/// A text for the client: a matcher of a kind that is not known.
pub(super) fn select(query: &Query) -> Result<String, String> {
    let mut source = None;
    let mut condition = String::new();
    for matcher in &query.matchers {
        let kind = kind(matcher)?;
        if matcher.name != NAME_LABEL {
            let operand = match kind {
                MatchType::Equal => format!("= {}", text(&matcher.value)),
                MatchType::NotEqual => format!("!= {}", text(&matcher.value)),
                MatchType::Matches => format!("=~ {}", whole(&matcher.value)),
                MatchType::MatchesNot => format!("!~ {}", whole(&matcher.value)),
            };
            let name = name(&matcher.name);
            write!(condition, "{name}::tag {operand} AND ").expect(MEMORY);
            continue;
        }
        // What the source cannot say is left to `Found`.
        match kind {
            MatchType::Equal => source = Some(name(&matcher.value)),
            MatchType::Matches if source.is_none() => source = Some(whole(&matcher.value)),
            MatchType::Matches | MatchType::NotEqual | MatchType::MatchesNot => {}
        }
    }
    let source = source.unwrap_or_else(|| "/.*/".to_owned());
    let time = |ms: i64| ms.saturating_mul(NS_PER_MS);
    // The last ms is part of the range.
    let end = time(query.end_timestamp_ms).saturating_add(NS_PER_MS - 1);
    Ok(format!(
        "SELECT {FIELD} FROM {source} WHERE {condition}time >= {} AND time <= {end} GROUP BY *",
        time(query.start_timestamp_ms)
    ))
}

fn kind(matcher: &LabelMatcher) -> Result<MatchType, String> {
    MatchType::try_from(matcher.kind).map_err(|_| {
        let LabelMatcher { kind, name, .. } = matcher;
        format!("the matcher of label {name:?} has the type {kind}, which is not known")
    })
}

fn name(name: &str) -> String {
    format!("\"{}\"", escaped(name, '"'))
}

fn text(text: &str) -> String {
    format!("'{}'", escaped(text, '\''))
}

fn escaped(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            _ => {
                if char == '\\' || char == quote {
                    out.push('\\');
                }
                out.push(char);
            }
        }
    }
    out
}

/// A regular expression of Prometheus, which matches a value as a whole.
fn whole(pattern: &str) -> String {
    format!("/^(?:{})$/", pattern.replace('/', "\\/"))
}

/// Whether a measurement's name is one that is asked for.
type Condition = Box<dyn Fn(&str) -> bool>;

/// Takes rows as series.
pub(super) struct Found {
    /// What a measurement's name must be; the source alone cannot say all of it.
    names: Vec<Condition>,
    series: Vec<TimeSeries>,
    /// Whether the last one goes on.
    open: bool,
}

impl Found {
    /// # Errors
    /// A text for the client: a regular expression that does not compile.
    pub(super) fn new(query: &Query) -> Result<Self, String> {
        let matchers = query.matchers.iter();
        let names = matchers.filter(|matcher| matcher.name == NAME_LABEL);
        Ok(Self {
            names: names.map(condition).collect::<Result<_, _>>()?,
            series: Vec::new(),
            open: false,
        })
    }

    pub(super) fn finish(self) -> QueryResult {
        QueryResult {
            timeseries: self.series,
        }
    }
}

fn condition(matcher: &LabelMatcher) -> Result<Condition, String> {
    let value = matcher.value.clone();
    let pattern = || {
        let whole = format!("^(?:{})$", matcher.value);
        plimsoll_query::regex::compile(&whole).map_err(|error| error.to_string())
    };
    Ok(match kind(matcher)? {
        MatchType::Equal => Box::new(move |name| name == value),
        MatchType::NotEqual => Box::new(move |name| name != value),
        MatchType::Matches => {
            let pattern = pattern()?;
            Box::new(move |name| pattern.is_match(name))
        }
        MatchType::MatchesNot => {
            let pattern = pattern()?;
            Box::new(move |name| !pattern.is_match(name))
        }
    })
}

impl Sink for Found {
    fn series(&mut self, rows: Rows) -> Result<(), Error> {
        if !self.names.iter().all(|condition| condition(&rows.name)) {
            return Ok(());
        }
        let samples = rows.values.iter().filter_map(|row| {
            let [Cell::Time(ns), value] = &row[..] else {
                return None;
            };
            Some(Sample {
                value: number(value)?,
                timestamp: ns.div_euclid(NS_PER_MS),
            })
        });
        if !self.open {
            let label = |name: &str, value: &str| Label {
                name: name.to_owned(),
                value: value.to_owned(),
            };
            let tags = rows.tags.iter().filter(|(_, value)| !value.is_empty());
            let mut labels: Vec<_> = tags.map(|(name, value)| label(name, value)).collect();
            labels.push(label(NAME_LABEL, &rows.name));
            labels.sort_by(|a, b| a.name.cmp(&b.name));
            self.series.push(TimeSeries {
                labels,
                samples: Vec::new(),
            });
        }
        if let Some(last) = self.series.last_mut() {
            last.samples.extend(samples);
        }
        self.open = rows.partial;
        Ok(())
    }

    fn message(&mut self, message: Message) {
        tracing::debug!(
            text = message.text,
            "a remote read was answered with a note"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floats only")]
fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Float(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        Cell::Unsigned(value) => Some(*value as f64),
        Cell::Boolean(value) => Some(f64::from(u8::from(*value))),
        Cell::Null | Cell::Time(_) | Cell::String(_) | Cell::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(matchers: &[(MatchType, &str, &str)]) -> Query {
        let matcher = |(kind, name, value): &(MatchType, &str, &str)| LabelMatcher {
            kind: *kind as i32,
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Query {
            start_timestamp_ms: -1,
            end_timestamp_ms: 2,
            matchers: matchers.iter().map(matcher).collect(),
        }
    }

    #[test]
    fn matchers_become_a_source_and_a_condition() {
        let time = "time >= -1000000 AND time <= 2999999 GROUP BY *";
        let select = |matchers: &[_]| select(&query(matchers)).unwrap();
        assert_eq!(select(&[]), format!("SELECT value FROM /.*/ WHERE {time}"));
        let found = select(&[
            (MatchType::Equal, "__name__", "a\"b"),
            (MatchType::NotEqual, "x", "it's \\"),
            (MatchType::MatchesNot, "y", "a/b|c"),
        ]);
        let condition = r#""x"::tag != 'it\'s \\' AND "y"::tag !~ /^(?:a\/b|c)$/ AND "#;
        let expected = format!(r#"SELECT value FROM "a\"b" WHERE {condition}{time}"#);
        assert_eq!(found, expected);
        assert_eq!(parsed(&found), 1);
        let found = select(&[(MatchType::Matches, "__name__", "up.*")]);
        assert!(found.starts_with("SELECT value FROM /^(?:up.*)$/ WHERE time"));
    }

    fn parsed(text: &str) -> usize {
        let statements = plimsoll_query::parse(text, &plimsoll_query::Params::default());
        statements.unwrap().len()
    }

    #[test]
    fn an_unknown_kind_of_matcher_is_refused() {
        let mut unknown = query(&[(MatchType::Equal, "x", "y")]);
        unknown.matchers[0].kind = 9;
        assert!(
            select(&unknown)
                .unwrap_err()
                .contains("\"x\" has the type 9")
        );
    }
}
