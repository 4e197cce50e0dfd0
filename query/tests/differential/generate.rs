//! Queries at random, from a seed: the grammar of SELECT, and the clauses below it.

#[path = "generate/broken.rs"]
mod broken;
#[path = "generate/calls.rs"]
mod calls;
#[path = "generate/condition.rs"]
mod condition;
#[path = "generate/show.rs"]
mod show;

use super::random::Random;
use super::world::{MEASUREMENTS, Measurement, OTHER};

/// The request of case `number` of a seed.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the test of parallel execution asks for SELECTs only"
)]
pub fn query(seed: u64, number: u64) -> String {
    let mut random = Random::of(seed, number);
    match random.below(100) {
        0..8 => show::statement(&mut random),
        8..14 => {
            let query = select(&mut random);
            broken::query(&mut random, &query)
        }
        14..17 => {
            let count = 2 + random.below(2);
            let statements: Vec<String> = (0..count)
                .map(|_| match random.below(4) {
                    0 => show::statement(&mut random),
                    _ => select(&mut random),
                })
                .collect();
            statements.join(["; ", ";", " ;; "][random.below(3)])
        }
        _ => select(&mut random),
    }
}

/// The first SELECTs of a seed that are no requests of several statements.
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "only the test of parallel execution asks it"
)]
pub fn selects(seed: u64, count: u64) -> Vec<String> {
    (0..count)
        .map(|number| select(&mut Random::of(seed, number)))
        .collect()
}

fn select(random: &mut Random) -> String {
    let depth = [0, 0, 0, 1, 1, 2, 3][random.below(7)];
    Generator { random }.select(depth, Bounds::Any).0
}

/// What a FROM offers to the SELECT above it.
#[derive(Clone)]
struct Shape {
    numbers: Vec<String>,
    texts: Vec<String>,
    flags: Vec<String>,
    tags: Vec<String>,
    start: i64,
    end: i64,
    windows: &'static [&'static str],
    has_ties: bool,
}

impl Shape {
    fn of(measurement: &Measurement) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| quoted(name)).collect();
        Self {
            numbers: owned(measurement.numbers),
            texts: owned(measurement.texts),
            flags: owned(measurement.flags),
            tags: owned(measurement.tags),
            start: measurement.start,
            end: measurement.end,
            windows: measurement.windows,
            has_ties: measurement.has_ties,
        }
    }

    fn add(&mut self, other: Self) {
        self.numbers.extend(other.numbers);
        self.texts.extend(other.texts);
        self.flags.extend(other.flags);
        self.tags.extend(other.tags);
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.has_ties |= other.has_ties;
        if self.end - self.start > 100 * super::data::HOUR {
            self.windows = &["1w", "4w", "10d"];
        }
    }
}

/// Whether a SELECT must bound its time above, so that its windows do not go on until now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bounds {
    Any,
    /// The query around it does it.
    Outside,
}

/// A name as a query writes it.
fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain && !["if", "select"].contains(&name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\\\""))
}

struct Generator<'a> {
    random: &'a mut Random,
}

/// What kind of columns a SELECT has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Raw,
    Aggregates,
    Selector,
    /// A function of neighbours over fields.
    Neighbours,
}

impl Generator<'_> {
    fn select(&mut self, depth: usize, bounds: Bounds) -> (String, Shape) {
        let (from, shape) = self.from(depth);
        let style = match self.random.below(20) {
            0..6 => Style::Raw,
            6..14 => Style::Aggregates,
            14..18 => Style::Selector,
            // Whose neighbour a point is depends on the order of those of one time.
            _ if shape.has_ties => Style::Raw,
            _ => Style::Neighbours,
        };
        let is_windowed =
            matches!(style, Style::Aggregates | Style::Selector) && self.random.is(60);
        let (columns, numbers) = self.columns(style, &shape, is_windowed);
        let mut query = format!("SELECT {} FROM {from}", columns.join(", "));
        let conditions = self.conditions(&shape, is_windowed && bounds == Bounds::Any);
        if !conditions.is_empty() {
            query.push_str(&format!(" WHERE {conditions}"));
        }
        let (groups, tags) = self.groups(&shape, is_windowed);
        if !groups.is_empty() {
            query.push_str(&format!(" GROUP BY {}", groups.join(", ")));
        }
        if self.random.is(if is_windowed { 60 } else { 3 }) {
            let fill = self.random.one(&[
                "null", "none", "0", "previous", "linear", "2.5", "-3", "7.9", "100",
            ]);
            query.push_str(&format!(" fill({fill})"));
        }
        self.tail(&mut query, bounds);
        let shape = Shape {
            numbers,
            texts: Vec::new(),
            flags: Vec::new(),
            tags,
            ..shape
        };
        (query, shape)
    }

    fn tail(&mut self, query: &mut String, bounds: Bounds) {
        if self.random.is(if bounds == Bounds::Any { 15 } else { 4 }) {
            query.push_str(self.random.one(&[
                " ORDER BY time DESC",
                " ORDER BY time ASC",
                " ORDER BY time",
            ]));
        }
        if self.random.is(18) {
            query.push_str(&format!(" LIMIT {}", self.random.below(7)));
        }
        if self.random.is(8) {
            query.push_str(&format!(" OFFSET {}", self.random.below(5)));
        }
        if self.random.is(5) {
            query.push_str(&format!(" SLIMIT {}", self.random.below(4)));
            if self.random.is(40) {
                query.push_str(&format!(" SOFFSET {}", self.random.below(3)));
            }
        }
        if self.random.is(6) {
            let zone = self.random.one(&[
                "Europe/Berlin",
                "America/New_York",
                "Asia/Kolkata",
                "UTC",
                "Australia/Lord_Howe",
            ]);
            query.push_str(&format!(" tz('{zone}')"));
        }
    }

    fn from(&mut self, depth: usize) -> (String, Shape) {
        if depth > 0 {
            let inside = if self.random.is(60) {
                Bounds::Any
            } else {
                Bounds::Outside
            };
            let (query, mut shape) = self.select(depth - 1, inside);
            let mut from = format!("({query})");
            if self.random.is(8) {
                let (other, more) = match self.random.below(2) {
                    0 => {
                        let (query, shape) = self.select(0, inside);
                        (format!("({query})"), shape)
                    }
                    _ => self.measurement(),
                };
                shape.add(more);
                from = format!("{from}, {other}");
            }
            return (from, shape);
        }
        match self.random.below(30) {
            0 => {
                let (a, mut shape) = self.measurement();
                let (b, more) = self.measurement();
                shape.add(more);
                (format!("{a}, {b}"), shape)
            }
            1 => {
                let pattern =
                    self.random
                        .one(&["/^(cpu|net)$/", "/c/", "/.*/", "/^nothing$/", "/,/"]);
                let mut shape = Shape::of(&MEASUREMENTS[0]);
                shape.add(Shape::of(&MEASUREMENTS[1]));
                (pattern.to_owned(), shape)
            }
            2 => {
                let other = *self.random.pick(OTHER);
                let database = self.random.one(&["", "d."]);
                (format!("{database}other.{}", other.name), Shape::of(&other))
            }
            3 => {
                let (name, shape) = self.measurement();
                let place =
                    self.random
                        .one(&["autogen.", "d..", "d.autogen.", "nope.", "x..", "other."]);
                (format!("{place}{name}"), shape)
            }
            _ => self.measurement(),
        }
    }

    fn measurement(&mut self) -> (String, Shape) {
        let number = [0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8][self.random.below(15)];
        let measurement = &MEASUREMENTS[number];
        (quoted(measurement.name), Shape::of(measurement))
    }

    fn groups(&mut self, shape: &Shape, is_windowed: bool) -> (Vec<String>, Vec<String>) {
        let mut groups = Vec::new();
        let mut tags = Vec::new();
        if is_windowed {
            let every = self.random.one(shape.windows);
            let offset = self.random.one(&[
                "",
                "",
                "",
                "",
                ", 3s",
                ", -4s",
                ", 1h",
                ", '1970-01-01T00:00:03Z'",
            ]);
            groups.push(format!("time({every}{offset})"));
        }
        match self.random.below(10) {
            0 => {
                groups.push("*".to_owned());
                tags.extend(shape.tags.iter().cloned());
            }
            1 => {
                groups.push(self.random.one(&["/./", "/o/", "/^(pod|k)$/"]).to_owned());
            }
            2 => groups.push("nothing".to_owned()),
            3..6 if !shape.tags.is_empty() => {
                for _ in 0..=self.random.below(2) {
                    let tag = self.random.pick(&shape.tags).clone();
                    if !tags.contains(&tag) {
                        groups.push(tag.clone());
                        tags.push(tag);
                    }
                }
            }
            _ => {}
        }
        (groups, tags)
    }
}
