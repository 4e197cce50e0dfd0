//! Columns: names, arithmetic, and all functions.

use super::{Generator, Shape, Style};

impl Generator<'_> {
    /// Columns, and the names that a query around them can use.
    pub(super) fn columns(
        &mut self,
        style: Style,
        shape: &Shape,
        is_windowed: bool,
    ) -> (Vec<String>, Vec<String>) {
        let count = match style {
            Style::Selector => 1,
            _ => 1 + [0, 0, 0, 1, 1, 2][self.random.below(6)],
        };
        let mut columns = Vec::new();
        let mut names = Vec::new();
        for number in 0..count {
            let column = match style {
                Style::Raw => self.raw(shape),
                Style::Aggregates => self.aggregate_column(shape, is_windowed),
                Style::Selector => self.selector(shape),
                Style::Neighbours => {
                    let field = self.field(shape);
                    self.neighbours(&field, false)
                }
            };
            if self.random.is(60) {
                let name = ["x", "y", "z"][number];
                names.push(name.to_owned());
                columns.push(format!("{column} AS {name}"));
            } else {
                names.push(name_of(&column));
                columns.push(column);
            }
        }
        if style == Style::Selector && self.random.is(50) {
            for _ in 0..=self.random.below(2) {
                let column = match self.random.below(4) {
                    0 => "*".to_owned(),
                    1 if !shape.tags.is_empty() => self.random.pick(&shape.tags).clone(),
                    _ => self.any(shape),
                };
                names.push(column.clone());
                columns.push(column);
            }
        }
        if self.random.is(2) {
            columns.push(
                self.random
                    .one(&["time", "time AS t", "1", "nothing", "'a'"])
                    .to_owned(),
            );
        }
        if names.iter().any(|name| name == "*") {
            names = shape.numbers.clone();
        }
        names.retain(|name| !name.is_empty());
        if names.is_empty() {
            names.push("x".to_owned());
        }
        (columns, names)
    }

    /// Mostly a number.
    pub(super) fn field(&mut self, shape: &Shape) -> String {
        match self.random.below(100) {
            0..2 => "nothing".to_owned(),
            2..10 => self.any(shape),
            _ => self.number(shape),
        }
    }

    pub(super) fn number(&mut self, shape: &Shape) -> String {
        self.random.pick(&shape.numbers).clone()
    }

    pub(super) fn any(&mut self, shape: &Shape) -> String {
        let names = [&shape.numbers, &shape.texts, &shape.flags, &shape.tags];
        let names = names[self.random.below(4)];
        if names.is_empty() {
            return self.number(shape);
        }
        self.random.pick(names).clone()
    }

    fn raw(&mut self, shape: &Shape) -> String {
        match self.random.below(24) {
            0..8 => self.number(shape),
            8..12 => self.any(shape),
            12 => self.random.one(&["*", "*::field", "*::tag"]).to_owned(),
            13 => self
                .random
                .one(&["/^u/", "/./", "/^[vx]$/", "/nothing/"])
                .to_owned(),
            14 => {
                let cast = self
                    .random
                    .one(&["integer", "float", "string", "boolean", "field", "tag"]);
                format!("{}::{cast}", self.any(shape))
            }
            15 | 16 => {
                let field = self.number(shape);
                self.mathematics(&field)
            }
            _ => self.arithmetic(shape),
        }
    }

    fn mathematics(&mut self, field: &str) -> String {
        match self.random.below(6) {
            0 => format!("atan2({field}, 2)"),
            1 => format!("pow({field}, {})", self.random.one(&["2", "0.5", "-1"])),
            2 => format!("log({field}, {})", self.random.one(&["2", "10"])),
            _ => {
                let name = self.random.one(&[
                    "abs", "sin", "cos", "tan", "atan", "exp", "ln", "log2", "log10", "sqrt",
                    "floor", "ceil", "round", "asin", "acos",
                ]);
                format!("{name}({field})")
            }
        }
    }

    fn arithmetic(&mut self, shape: &Shape) -> String {
        let operators = ["+", "-", "*", "/", "%", "+", "-", "*", "/", "&", "|", "^"];
        let left = self.field(shape);
        let operator = self.random.one(&operators);
        let right = match self.random.below(4) {
            0 => self.field(shape),
            1 if self.random.is(50) => {
                format!("({} {} 3)", self.number(shape), self.random.one(&operators))
            }
            _ => self
                .random
                .one(&["2", "0", "-1", "1.5", "7", "0.1", "100", "3"])
                .to_owned(),
        };
        match self.random.below(4) {
            0 => format!("{right} {operator} {left}"),
            _ => format!("{left} {operator} {right}"),
        }
    }

    fn aggregate_column(&mut self, shape: &Shape, is_windowed: bool) -> String {
        let call = self.aggregate(shape);
        let call = match self.random.below(10) {
            0..3 if is_windowed => self.neighbours(&call, true),
            3 if is_windowed && self.random.is(30) => self.forecast(&call),
            _ => call,
        };
        match self.random.below(12) {
            0 => format!("{call} / 3"),
            1 => format!("{call} * 2 + 1"),
            2 => format!("{call} - {}", self.aggregate(shape)),
            3 => format!("{call} / {}", self.aggregate(shape)),
            4 => self.mathematics(&call),
            _ => call,
        }
    }

    fn aggregate(&mut self, shape: &Shape) -> String {
        let argument = match self.random.below(40) {
            0 => "*".to_owned(),
            1 => "/./".to_owned(),
            _ => self.field(shape),
        };
        match self.random.below(20) {
            0 | 1 => format!("count({argument})"),
            2 | 3 => format!("sum({argument})"),
            4 | 5 => format!("mean({argument})"),
            6 => format!("min({argument})"),
            7 => format!("max({argument})"),
            8 => format!("first({argument})"),
            9 => format!("last({argument})"),
            10 => format!("spread({argument})"),
            11 => format!("median({argument})"),
            12 => format!("stddev({argument})"),
            13 => format!("mode({argument})"),
            14 => self.percentile(&argument),
            15 => {
                let unit = self.random.one(&["", "", ", 10s", ", 1m", ", 1ms"]);
                format!("integral({argument}{unit})")
            }
            16 => format!("count(distinct({argument}))"),
            17 if self.random.is(30) => format!("distinct({argument})"),
            _ => format!("mean({argument})"),
        }
    }

    fn percentile(&mut self, argument: &str) -> String {
        let rank = self
            .random
            .one(&["5", "50", "90", "99.5", "0", "100", "33.3", "1"]);
        format!("percentile({argument}, {rank})")
    }

    fn selector(&mut self, shape: &Shape) -> String {
        let field = self.field(shape);
        match self.random.below(9) {
            0 => format!("min({field})"),
            1 | 2 => format!("max({field})"),
            3 => format!("first({field})"),
            4 => format!("last({field})"),
            5 => self.percentile(&field),
            6 => format!("distinct({field})"),
            _ => {
                let name = self.random.one(&["top", "bottom"]);
                let count = 1 + self.random.below(5);
                if self.random.is(40) && !shape.tags.is_empty() {
                    let tag = self.random.pick(&shape.tags).clone();
                    if tag == field {
                        return format!("{name}({field}, {count})");
                    }
                    return format!("{name}({field}, {tag}, {count})");
                }
                format!("{name}({field}, {count})")
            }
        }
    }

    /// A function of neighbours over a field or, with windows, over an aggregate.
    fn neighbours(&mut self, over: &str, is_over_call: bool) -> String {
        let unit = self.random.one(&["", "", ", 1s", ", 10s", ", 1m"]);
        match self.random.below(16) {
            0 | 1 => format!("derivative({over}{unit})"),
            2 | 3 => format!("non_negative_derivative({over}{unit})"),
            4 => format!("difference({over})"),
            5 => format!("non_negative_difference({over})"),
            6 | 7 => format!("cumulative_sum({over})"),
            8 | 9 => format!("moving_average({over}, {})", 2 + self.random.below(3)),
            10 => format!("elapsed({over}{unit})"),
            11 if is_over_call => format!("difference({over})"),
            _ => {
                // 1.7 and newer: 1.6.7 refuses these names.
                let name = self
                    .random
                    .one(&["derivative", "cumulative_sum", "difference"]);
                format!("{name}({over})")
            }
        }
    }

    fn forecast(&mut self, call: &str) -> String {
        let name = self.random.one(&["holt_winters", "holt_winters_with_fit"]);
        let season = self.random.one(&["0", "0", "2", "4"]);
        format!("{name}({call}, {}, {season})", 1 + self.random.below(4))
    }
}

/// How InfluxDB calls a column, roughly: what a query around it may name.
fn name_of(column: &str) -> String {
    match column.split_once('(') {
        Some((name, _)) if !name.contains(' ') && !name.is_empty() => name.to_owned(),
        _ if column.starts_with('/') => String::new(),
        _ if column.contains(' ') => column.split(' ').next().unwrap_or_default().to_owned(),
        _ => column.split("::").next().unwrap_or_default().to_owned(),
    }
}
