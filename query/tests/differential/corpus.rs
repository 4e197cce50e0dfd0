//! The queries of public dashboards, and points that they find something in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::tz::TimeZone;
use plimsoll_engine::{Batch, FieldValue, TagSet, Timestamp};
use plimsoll_query::ast::{Expr, MeasurementName, Operator, Select, Source, Statement};
use plimsoll_query::check::group_by_interval;
use plimsoll_query::condition;

use crate::data::{SECOND, START};

/// How many are answered alike, and refused alike. None differs: a deviation would be a third count.
pub const COUNTS: (usize, usize) = (727, 60);

/// What the queries name of one measurement.
#[derive(Default)]
struct Named {
    fields: BTreeSet<String>,
    tags: BTreeSet<String>,
    /// The values that one of them asks for, each of which has a series.
    asked: BTreeSet<BTreeMap<String, String>>,
}

/// One line of the corpus, as it is sent.
pub struct Request {
    /// The text.
    pub text: String,
    /// Its statements; none where it does not parse.
    pub statements: Vec<Statement>,
}

/// All lines, with macros replaced. All read one database: their places are taken out. Windows that
/// would go on until now, which is another time there, end with the points.
pub fn requests(corpus: &str) -> Vec<Request> {
    corpus.lines().map(request).collect()
}

fn request(line: &str) -> Request {
    let text = expand(line);
    let Ok(mut statements) = plimsoll_query::parse(&text, &Default::default()) else {
        return Request {
            text,
            statements: Vec::new(),
        };
    };
    let mut is_changed = false;
    for statement in &mut statements {
        match statement {
            Statement::Select(select) => {
                unplace(select);
                close(select);
            }
            Statement::ShowTagKeys(show)
            | Statement::ShowTagValues(show)
            | Statement::ShowFieldKeys(show)
            | Statement::ShowMeasurements(show) => {
                show.database = None;
                for source in &mut show.sources {
                    if let Source::Measurement(measurement) = source {
                        measurement.database.clear();
                        measurement.policy.clear();
                    }
                }
            }
            _ => continue,
        }
        is_changed = true;
    }
    let printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
    Request {
        text: if is_changed { printed.join("; ") } else { text },
        statements,
    }
}

/// Bounds windows above that are not.
fn close(select: &mut Select) {
    if is_open(select) {
        let end = format!("SELECT v FROM m WHERE time <= {}", START + 600 * SECOND);
        let end = plimsoll_query::parse(&end, &Default::default()).expect("it is a statement");
        let [Statement::Select(bound)] = end.as_slice() else {
            panic!("it is a SELECT");
        };
        let bound = bound.condition.clone().expect("it has a condition");
        select.condition = Some(match select.condition.take() {
            None => bound,
            Some(own) => Expr::Binary {
                op: Operator::And,
                left: Box::new(Expr::Paren(Box::new(own))),
                right: Box::new(bound),
            },
        });
    }
    for source in &mut select.sources {
        if let Source::Subquery(inner) = source {
            close(inner);
        }
    }
}

/// Whether its windows go on until now.
fn is_open(select: &Select) -> bool {
    let split = condition::split(select.condition.as_ref(), Timestamp(START), &TimeZone::UTC);
    split.is_ok_and(|(_, bounds)| bounds.end.is_none())
        && matches!(group_by_interval(select), Ok(Some(_)))
}

/// Replaces the macros of Grafana and Chronograf.
fn expand(query: &str) -> String {
    let time = format!("time >= {START} AND time <= {}", START + 600 * SECOND);
    let mut text = query.to_owned();
    for (from, to) in [
        ("$timeFilter", time.as_str()),
        ("[[timeFilter]]", time.as_str()),
        ("time > :dashboardTime:", time.as_str()),
        (":dashboardTime:", "0"),
        (":upperDashboardTime:", "1711800600000000000"),
        ("$__interval", "30s"),
        ("$interval", "30s"),
        (":interval:", "30s"),
    ] {
        text = text.replace(from, to);
    }
    // The variables that are left stand for all.
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        let name_len = rest[at + 1..]
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len() - at - 1);
        out.push_str(&rest[..at]);
        out.push_str(if name_len == 0 { "$" } else { ".*" });
        rest = &rest[at + 1 + name_len..];
    }
    out + rest
}

fn unplace(select: &mut Select) {
    for source in &mut select.sources {
        match source {
            Source::Measurement(measurement) => {
                measurement.database.clear();
                measurement.policy.clear();
            }
            Source::Subquery(inner) => unplace(inner),
        }
    }
}

/// Points of each measurement that is named, in series that each query finds, and three at least: as line
/// protocol, and as a batch.
pub fn points(requests: &[Request]) -> (String, Batch) {
    let mut named: BTreeMap<String, Named> = BTreeMap::new();
    for statement in requests.iter().flat_map(|request| &request.statements) {
        if let Statement::Select(select) = statement {
            collect(select, &mut named);
        }
    }
    let (mut lines, mut batch) = (String::new(), Batch::default());
    for (measurement, names) in &named {
        let none = BTreeMap::new();
        let asked = names.asked.iter().chain(std::iter::repeat_n(&none, 3));
        for (series, asked) in (0_i64..).zip(asked) {
            let value = |tag: &String| match asked.get(tag) {
                Some(value) if !value.is_empty() => value.clone(),
                _ => format!("v{}", series % 3),
            };
            let mut tags: BTreeMap<String, String> = names
                .tags
                .iter()
                .map(|tag| (tag.clone(), value(tag)))
                .collect();
            tags.insert("series".to_owned(), format!("s{series}"));
            let pairs = tags
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            let tag_set = TagSet::from_pairs(pairs).unwrap();
            for step in 0..40 {
                // No two series have a point at one time: the order of those is not influxd's.
                let time = START + step * 20 * SECOND + series * (SECOND / 10);
                let fields = (0_i64..).zip(&names.fields);
                let fields = fields.filter(|(_, field)| !tags.contains_key(*field));
                let fields: Vec<_> = fields
                    .map(|(number, field)| {
                        let value = step * 1000 * (number + 1) - (step / 15) * 11_000 + series;
                        (field.as_str(), FieldValue::Integer(value))
                    })
                    .collect();
                if fields.is_empty() {
                    continue;
                }
                let texts: Vec<String> = fields
                    .iter()
                    .map(|(field, value)| {
                        let FieldValue::Integer(value) = value else {
                            panic!("integers were made")
                        };
                        format!("{}={value}i", escape(field))
                    })
                    .collect();
                writeln!(
                    lines,
                    "{},{} {} {time}",
                    measurement.replace(',', "\\,").replace(' ', "\\ "),
                    tag_set.as_str(),
                    texts.join(",")
                )
                .unwrap();
                batch.add(measurement, &tag_set, Timestamp(time), fields);
            }
        }
    }
    (lines, batch)
}

fn escape(text: &str) -> String {
    text.replace(',', "\\,")
        .replace('=', "\\=")
        .replace(' ', "\\ ")
}

fn collect(select: &Select, named: &mut BTreeMap<String, Named>) {
    for source in &select.sources {
        match source {
            Source::Subquery(inner) => collect(inner, named),
            Source::Measurement(measurement) => {
                let MeasurementName::Name(name) = &measurement.name else {
                    continue;
                };
                let names = named.entry(name.clone()).or_default();
                for field in &select.fields {
                    fields(&field.expr, names);
                }
                for dimension in &select.dimensions {
                    if let Expr::Reference(reference) = &dimension.expr {
                        names.tags.insert(reference.name.clone());
                    }
                }
                if let Some(condition) = &select.condition {
                    let mut asked = BTreeMap::new();
                    tags(condition, &mut asked);
                    names.tags.extend(asked.keys().cloned());
                    names.asked.insert(asked);
                }
            }
        }
    }
}

fn fields(expr: &Expr, names: &mut Named) {
    match expr {
        Expr::Reference(reference) if reference.name != "time" => {
            names.fields.insert(reference.name.clone());
        }
        Expr::Call(call) => call.arguments.iter().for_each(|a| fields(a, names)),
        Expr::Binary { left, right, .. } => {
            fields(left, names);
            fields(right, names);
        }
        Expr::Paren(inner) => fields(inner, names),
        _ => {}
    }
}

fn tags(expr: &Expr, asked: &mut BTreeMap<String, String>) {
    match expr {
        Expr::Paren(inner) => tags(inner, asked),
        Expr::Binary { op, left, right } => match (&**left, &**right) {
            (Expr::Reference(reference), Expr::String(value)) if reference.name != "time" => {
                let value = match op {
                    Operator::Equal => value.clone(),
                    _ => String::new(),
                };
                asked.insert(reference.name.clone(), value);
            }
            (Expr::Reference(reference), Expr::Regex(_)) => {
                asked.entry(reference.name.clone()).or_default();
            }
            (left, right) => {
                tags(left, asked);
                tags(right, asked);
            }
        },
        _ => {}
    }
}
