//! Points at random, from a seed: what containers report, and what they should not.

use plimsoll_engine::{Batch, Engine, FieldValue, TagSet, Timestamp};

use super::data::{DAY, HOUR, Point, SECOND, START};
use super::random::Random;

/// What the generator of queries knows of a measurement.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// As it is called.
    pub name: &'static str,
    pub numbers: &'static [&'static str],
    pub texts: &'static [&'static str],
    pub flags: &'static [&'static str],
    pub tags: &'static [&'static str],
    /// Where its points lie.
    pub start: i64,
    pub end: i64,
    /// Windows that suit it.
    pub windows: &'static [&'static str],
    /// Whether several of its series have points at one time.
    pub has_ties: bool,
    /// Whether a sum of its floats depends on their order.
    pub is_inexact: bool,
}

const WEEK: i64 = 7 * DAY;
const SHORT: &[&str] = &["7s", "10s", "15s", "30s", "1m", "100s", "1m30s", "5m"];
const DAYS: &[&str] = &["1h", "3h", "6h", "12h", "1d", "36h"];
const WEEKS: &[&str] = &["1d", "3d", "1w", "10d", "4w"];
const YEARS: &[&str] = &["520w", "100w", "3650d", "1000w"];

/// All measurements, in the default policy; some are in the policy `other`, too.
pub const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "cpu",
        numbers: &["usage", "ticks", "rare"],
        texts: &["state"],
        flags: &["up"],
        tags: &["pod", "node", "zone"],
        start: START,
        end: START + 400 * SECOND,
        windows: SHORT,
        has_ties: false,
        is_inexact: false,
    },
    Measurement {
        name: "net",
        numbers: &["rx", "tx"],
        texts: &[],
        flags: &["link"],
        tags: &["pod", "if"],
        start: START,
        end: START + 400 * SECOND,
        windows: SHORT,
        has_ties: true,
        is_inexact: false,
    },
    Measurement {
        name: "wild",
        numbers: &["f", "i"],
        texts: &["s"],
        flags: &[],
        tags: &["k"],
        start: START,
        end: START + 120 * SECOND,
        windows: SHORT,
        has_ties: false,
        is_inexact: true,
    },
    Measurement {
        name: "mixed",
        numbers: &["v", "n"],
        texts: &["w"],
        flags: &[],
        tags: &["k"],
        start: START - 5 * WEEK,
        end: START,
        windows: WEEKS,
        has_ties: false,
        is_inexact: false,
    },
    Measurement {
        name: "old",
        numbers: &["v", "x"],
        texts: &[],
        flags: &["b"],
        tags: &["k"],
        start: -90 * SECOND,
        end: 90 * SECOND,
        windows: SHORT,
        has_ties: false,
        is_inexact: false,
    },
    Measurement {
        name: "clash",
        numbers: &["v"],
        texts: &["host"],
        flags: &[],
        tags: &["host", "v"],
        start: START,
        end: START + 60 * SECOND,
        windows: SHORT,
        has_ties: false,
        is_inexact: false,
    },
    Measurement {
        name: "my, m",
        numbers: &["f \"1\"", "select"],
        texts: &["it's"],
        flags: &[],
        tags: &["a b"],
        start: START,
        end: START + 100 * SECOND,
        windows: SHORT,
        has_ties: false,
        is_inexact: false,
    },
    Measurement {
        name: "hourly",
        numbers: &["v"],
        texts: &[],
        flags: &[],
        tags: &["z"],
        start: START - 12 * HOUR,
        end: START + 48 * HOUR,
        windows: DAYS,
        has_ties: false,
        is_inexact: false,
    },
    Measurement {
        name: "ancient",
        numbers: &["v"],
        texts: &[],
        flags: &[],
        tags: &["k"],
        start: -3_000 * WEEK,
        end: 200 * WEEK,
        windows: YEARS,
        has_ties: false,
        is_inexact: false,
    },
];

/// The measurements of the policy `other`.
pub const OTHER: &[Measurement] = &[
    MEASUREMENTS[0],
    Measurement {
        name: "only_here",
        tags: &["t"],
        numbers: &["x"],
        texts: &[],
        flags: &[],
        ..MEASUREMENTS[2]
    },
];

/// Points of one write.
pub struct Write {
    /// Empty: the default.
    pub policy: &'static str,
    pub points: Vec<Point>,
}

/// The writes of a seed, in their order; later ones overwrite.
pub fn writes(seed: u64) -> Vec<Write> {
    let mut random = Random::of(seed, 0);
    let mut points = Vec::new();
    cpu(&mut random, &mut points);
    net(&mut random, &mut points);
    wild(&mut random, &mut points);
    mixed(&mut random, &mut points);
    old(&mut random, &mut points);
    odd_names(&mut random, &mut points);
    hourly(&mut random, &mut points);
    // Points come late and in disorder, and some come again with another value.
    let mut parts: Vec<Vec<Point>> = vec![Vec::new(), Vec::new(), Vec::new()];
    for point in points {
        let part = if random.is(80) {
            usize::from(point.time > START + 200 * SECOND)
        } else {
            random.below(3)
        };
        if random.is(4) {
            let mut again = point.clone();
            for (_, value) in &mut again.fields {
                if let FieldValue::Integer(value) = value {
                    *value = value.wrapping_add(1);
                }
            }
            let keep = 1 + random.below(again.fields.len());
            again.fields.truncate(keep);
            parts[2].push(again);
        }
        parts[part].push(point);
    }
    let mut writes: Vec<Write> = parts
        .into_iter()
        .map(|points| Write { policy: "", points })
        .collect();
    let mut other = Vec::new();
    for step in 0..random.between(3, 12) {
        other.push(Point {
            measurement: "cpu",
            tags: vec![("pod", "z")],
            fields: vec![("usage", FieldValue::Float(77.5)), ("extra", integer(step))],
            time: START + step * 10 * SECOND,
        });
        other.push(Point {
            measurement: "only_here",
            tags: vec![("t", "v")],
            fields: vec![("x", integer(step * step))],
            time: START + step * 7 * SECOND,
        });
    }
    writes.push(Write {
        policy: "other",
        points: other,
    });
    writes
}

fn integer(value: i64) -> FieldValue {
    FieldValue::Integer(value)
}

/// A float of which any sum is exact.
fn eighths(random: &mut Random, low: i64, high: i64) -> FieldValue {
    let eighths = i32::try_from(random.between(low * 8, high * 8)).unwrap();
    FieldValue::Float(f64::from(eighths) / 8.0)
}

fn text(random: &mut Random, from: &[&'static str]) -> FieldValue {
    FieldValue::String(random.one(from).into())
}

fn cpu(random: &mut Random, points: &mut Vec<Point>) {
    let pods = ["a", "b", "c", "d", "e"];
    for (number, pod) in (0_i64..).zip(&pods[..2 + random.below(4)]) {
        let mut tags = vec![("node", random.one(&["n1", "n2"])), ("pod", *pod)];
        if random.is(60) {
            tags.push(("zone", random.one(&["eu", "us"])));
        }
        let gap = random.between(0, 40);
        for step in 0..40 {
            if random.is(10) || (gap..gap + 6).contains(&step) {
                continue;
            }
            let mut fields = vec![("usage", eighths(random, -20, 100))];
            if random.is(90) {
                fields.push(("ticks", integer(random.between(-20, 60))));
            }
            if random.is(50) {
                fields.push(("up", FieldValue::Boolean(random.is(50))));
            }
            if random.is(50) {
                fields.push(("state", text(random, &["ok", "warn", "bad", ""])));
            }
            if random.is(25) {
                fields.push(("rare", integer(step)));
            }
            if random.is(10) {
                fields.remove(0);
            }
            if fields.is_empty() {
                continue;
            }
            points.push(Point {
                measurement: "cpu",
                tags: tags.clone(),
                fields,
                // No two series have a point at one time.
                time: START + step * 10 * SECOND + number * SECOND + number,
            });
        }
    }
}

fn net(random: &mut Random, points: &mut Vec<Point>) {
    for (number, pod) in (0_i64..).zip(["a", "b", "c"]) {
        let (mut rx, mut tx) = (number * 1000, 0);
        for step in 0..40 {
            rx += random.between(0, 300);
            tx += random.between(0, 3);
            if random.is(4) {
                rx = 0;
            }
            if random.is(20) {
                continue;
            }
            let mut fields = vec![("rx", integer(rx))];
            if random.is(80) {
                let tx = f64::from(i32::try_from(tx).unwrap());
                fields.push(("tx", FieldValue::Float(tx / 4.0)));
            }
            if random.is(30) {
                fields.push(("link", FieldValue::Boolean(random.is(70))));
            }
            points.push(Point {
                measurement: "net",
                tags: vec![
                    ("if", if number == 2 { "eth1" } else { "eth0" }),
                    ("pod", pod),
                ],
                fields,
                time: START + step * 10 * SECOND,
            });
        }
    }
}

/// The ends of each type.
fn wild(random: &mut Random, points: &mut Vec<Point>) {
    let floats = [
        0.1,
        -0.0,
        0.0,
        1e-7,
        1e21,
        1e20,
        0.3,
        123_456.789,
        -1e-9,
        1e300,
        -1e300,
        5e-324,
        f64::MAX,
        f64::MIN,
        1.0,
        2.0,
    ];
    let integers = [
        i64::MAX,
        i64::MIN,
        -1,
        0,
        1,
        1 << 53,
        (1 << 53) + 1,
        7,
        -7,
        1 << 62,
    ];
    for (number, k) in (0_i64..).zip(["x", "y"]) {
        for step in 0..random.between(3, 14) {
            let mut fields = Vec::new();
            if random.is(80) {
                // The greatest ones are rare: a result that is no number breaks influxd's answer.
                let end = if random.is(10) { floats.len() } else { 9 };
                fields.push(("f", FieldValue::Float(floats[random.below(end)])));
            }
            if random.is(80) {
                fields.push(("i", integer(*random.pick(&integers))));
            }
            if random.is(40) {
                fields.push((
                    "s",
                    text(random, &["", "<&>", "a\"b\\", "é\u{2028}", " x "]),
                ));
            }
            if !fields.is_empty() {
                points.push(Point {
                    measurement: "wild",
                    tags: vec![("k", k)],
                    fields,
                    time: START + step * 9 * SECOND + number,
                });
            }
        }
    }
}

/// Fields whose types change from week to week.
fn mixed(random: &mut Random, points: &mut Vec<Point>) {
    let kinds: Vec<usize> = (0..6).map(|_| random.below(4)).collect();
    for (number, k) in (0_i64..).zip(["p", "q"]) {
        for (week, kind) in (0_i64..).zip(&kinds) {
            for step in 0..random.between(0, 3) {
                let v = match kind {
                    0 => integer(random.between(-5, 5)),
                    1 => eighths(random, -5, 5),
                    2 => text(random, &["one", "two"]),
                    _ => FieldValue::Boolean(random.is(50)),
                };
                let mut fields = vec![("n", integer(week * 10 + step))];
                if random.is(70) {
                    fields.push(("v", v));
                }
                if random.is(30) {
                    fields.push(("w", text(random, &["x", "y"])));
                }
                points.push(Point {
                    measurement: "mixed",
                    tags: vec![("k", k)],
                    fields,
                    time: START - week * WEEK + step * HOUR + number * SECOND,
                });
            }
        }
    }
}

/// Around 1970, and long before it.
fn old(random: &mut Random, points: &mut Vec<Point>) {
    for (number, k) in (0_i64..).zip(["x", "y"]) {
        for step in -9..9 {
            if random.is(25) {
                continue;
            }
            let mut fields = vec![("v", integer(random.between(-9, 9)))];
            if random.is(50) {
                fields.push(("x", eighths(random, -3, 3)));
            }
            if random.is(30) {
                fields.push(("b", FieldValue::Boolean(random.is(50))));
            }
            points.push(Point {
                measurement: "old",
                tags: vec![("k", k)],
                fields,
                time: step * 10 * SECOND + number * SECOND - 1,
            });
        }
        for year in 0..random.between(1, 6) {
            points.push(Point {
                measurement: "ancient",
                tags: vec![("k", k)],
                fields: vec![("v", integer(random.between(-9, 9)))],
                time: (-3_000 + year * 600) * WEEK + number,
            });
        }
    }
}

fn odd_names(random: &mut Random, points: &mut Vec<Point>) {
    for step in 0..random.between(2, 8) {
        let mut tags = vec![("host", random.one(&["t", "u"]))];
        if random.is(50) {
            tags.push(("v", "tag"));
        }
        points.push(Point {
            measurement: "clash",
            tags,
            fields: vec![
                ("host", text(random, &["f", "g", "t"])),
                ("v", integer(random.between(0, 9))),
            ],
            time: START + step * 7 * SECOND,
        });
        points.push(Point {
            measurement: "my, m",
            tags: vec![("a b", random.one(&["x,y=z", "'q'", "ü"]))],
            fields: vec![
                ("f \"1\"", eighths(random, 0, 9)),
                ("it's", text(random, &["one <&> two", "\\"])),
                ("select", integer(step)),
            ],
            time: START + step * 13 * SECOND,
        });
    }
}

/// Over a change of the clocks.
fn hourly(random: &mut Random, points: &mut Vec<Point>) {
    for (number, z) in (0_i64..).zip(["e", "f"]) {
        for hour in -12..48 {
            if random.is(70) {
                points.push(Point {
                    measurement: "hourly",
                    tags: vec![("z", z)],
                    fields: vec![("v", integer(hour))],
                    time: START + hour * HOUR + number * SECOND,
                });
            }
        }
    }
}

/// Where points are to lie.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test wants both"
)]
pub enum Place {
    /// All in the head.
    Head,
    /// Some in merged segments, some in others, some in the head.
    Spread,
}

/// Writes to an engine of ours.
pub fn store(engine: &Engine, writes: &[Write], place: Place) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    for (number, write) in writes.iter().enumerate() {
        let mut batch = Batch::default();
        for point in &write.points {
            let tags = TagSet::from_pairs(point.tags.iter().copied()).unwrap();
            let fields = point.fields.iter().cloned();
            batch.add(point.measurement, &tags, Timestamp(point.time), fields);
        }
        let written = engine.write("d", write.policy, &batch).unwrap();
        let rejected = &written.rejected;
        assert_eq!(written.points_stored, write.points.len(), "{rejected:?}");
        if place == Place::Head {
            continue;
        }
        if number < 2 {
            engine.flush().unwrap();
        }
        if number == 1 {
            while engine.compact_step(&stop).unwrap().is_some() {}
        }
    }
}
