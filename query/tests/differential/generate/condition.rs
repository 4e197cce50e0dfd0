//! WHERE: time in all its forms, tags, fields.

use plimsoll_engine::Timestamp;

use super::super::data::SECOND;
use super::{Generator, Shape};

impl Generator<'_> {
    /// A condition, or nothing.
    pub(super) fn conditions(&mut self, shape: &Shape, must_end: bool) -> String {
        let mut all = Vec::new();
        let span = shape.end - shape.start;
        let place = |percent: i64| shape.start - span / 10 + span / 100 * percent;
        let low = self.random.between(0, 70);
        let high = low + self.random.between(5, 110 - low);
        if self.random.is(70) {
            let start = place(low) + self.random.between(-2, 2) * SECOND;
            all.push(self.time(start, &[">=", ">=", ">"]));
        }
        if must_end || self.random.is(60) {
            all.push(self.time(place(high), &["<", "<", "<="]));
        }
        for _ in 0..[0, 0, 0, 1, 1, 2][self.random.below(6)] {
            let test = self.test(shape);
            all.push(match self.random.below(8) {
                0 => format!("({test} OR {})", self.test(shape)),
                1 => format!("({test} AND {})", self.test(shape)),
                2 => format!("({test})"),
                _ => test,
            });
        }
        if self.random.is(2) {
            let other = self.test(shape);
            all.push(other);
            return all.join(" OR ");
        }
        if self.random.is(20) {
            all.reverse();
        }
        all.join(" AND ")
    }

    fn time(&mut self, ns: i64, operators: &[&'static str]) -> String {
        let operator = self.random.one(operators);
        let seconds = ns.div_euclid(SECOND);
        let literal = match self.random.below(12) {
            0 => format!("{ns}"),
            1 | 2 => format!("{seconds}s"),
            3 => format!("{}ms", ns.div_euclid(1_000_000)),
            4 => format!("'{}' + {}s", text(ns - 10 * SECOND, 'T', "Z"), 10),
            5 => format!("'{}'", text(ns, ' ', "")),
            6 => format!("{seconds}s + 1m - 60s"),
            7 => format!("'{}'", &text(ns, 'T', "Z")[..10]),
            _ => format!("'{}'", text(ns, 'T', "Z")),
        };
        // A day alone starts before the time that was asked for: not where the end must be behind it.
        if self.random.is(10) {
            let turned = match operator {
                ">=" => "<=",
                ">" => "<",
                "<" => ">",
                _ => ">=",
            };
            return format!("{literal} {turned} time");
        }
        format!("time {operator} {literal}")
    }

    fn test(&mut self, shape: &Shape) -> String {
        match self.random.below(20) {
            0..8 if !shape.tags.is_empty() => {
                let tag = self.random.pick(&shape.tags).clone();
                self.tag_test(&tag)
            }
            8 => self
                .random
                .one(&[
                    "nothing = ''",
                    "nothing != 'x'",
                    "nothing = 'x'",
                    "nothing =~ /.*/",
                    "nothing > 1",
                ])
                .to_owned(),
            9 if !shape.texts.is_empty() => {
                let field = self.random.pick(&shape.texts).clone();
                let test = self.random.one(&[
                    "= 'ok'",
                    "!= 'ok'",
                    "=~ /^[wf]/",
                    "!~ /a/",
                    "= ''",
                    "> 'a'",
                    "= 5",
                ]);
                format!("{field} {test}")
            }
            10 if !shape.flags.is_empty() => {
                let field = self.random.pick(&shape.flags).clone();
                let test = self
                    .random
                    .one(&["= true", "!= true", "", "= false", "= 1"]);
                format!("{field} {test}").trim_end().to_owned()
            }
            11 => format!("{} > {}", self.number(shape), self.number(shape)),
            12 => format!(
                "{} * 2 > {}",
                self.number(shape),
                self.random.between(-5, 40)
            ),
            13 => format!("abs({}) > 2.5", self.number(shape)),
            14 => {
                let any = self.any(shape);
                let value = self.random.one(&["'a'", "1", "true", "\"pod\"", "1.5"]);
                format!("{any} {} {value}", self.random.one(&["=", "!=", "<", ">="]))
            }
            15 => self
                .random
                .one(&["true", "false", "1 = 1", "_name = 'cpu'"])
                .to_owned(),
            _ => {
                let operator = self.random.one(&[">", "<", ">=", "<=", "=", "!="]);
                let value = match self.random.below(3) {
                    0 => self
                        .random
                        .one(&["0.125", "2.5", "-1", "1e3"])
                        .replace("1e3", "1000.5"),
                    _ => self.random.between(-5, 60).to_string(),
                };
                format!("{} {operator} {value}", self.number(shape))
            }
        }
    }

    fn tag_test(&mut self, tag: &str) -> String {
        let value = self
            .random
            .one(&["a", "b", "n1", "eu", "x", "p", "t", "eth0", "e", ""]);
        let test = match self.random.below(8) {
            0..3 => format!("= '{value}'"),
            3 | 4 => format!("!= '{value}'"),
            5 => format!(
                "=~ {}",
                self.random
                    .one(&["/^(a|b|x)$/", "/n/", "/.*/", "/^$/", "/[^a]/"])
            ),
            6 => format!(
                "!~ {}",
                self.random.one(&["/^(a|b|x)$/", "/n/", "/.+/", "/^$/"])
            ),
            _ => self
                .random
                .one(&["< 'b'", "= 1", "= \"node\"", "= true"])
                .to_owned(),
        };
        format!("{tag} {test}")
    }
}

/// A time as a query writes it.
fn text(ns: i64, between: char, zone: &str) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(Timestamp(ns).0)).unwrap();
    let time = time.strftime("%Y-%m-%dT%H:%M:%S%.f").to_string();
    time.replace('T', &between.to_string()) + zone
}
