//! Calls: how many arguments, of what kind, and what may nest in what.

use crate::ast::{Call, Expr};
use crate::functions::math::Math;
use crate::parser::format_duration;
use crate::reduce::is_literal;

use super::{CheckError, Column, Interval, Result, Wildcards, distinct_call, not_combined};

/// `expected` is a number, or says how many.
pub(super) fn wrong_count(call: &Call, expected: &str) -> CheckError {
    CheckError::rule(format!(
        "invalid number of arguments for {}, expected {expected}, got {}",
        call.name,
        call.arguments.len()
    ))
}

fn count(call: &Call, least: usize, most: usize) -> Result {
    if (least..=most).contains(&call.arguments.len()) {
        return Ok(());
    }
    Err(if least == most {
        wrong_count(call, &least.to_string())
    } else {
        wrong_count(call, &format!("at least {least} but no more than {most}"))
    })
}

impl Column<'_> {
    pub(super) fn call(&mut self, call: &Call) -> Result {
        if let Some(expected) = Math::named(&call.name).map(Math::arity) {
            count(call, expected, expected)?;
            let mut arguments = call.arguments.iter().filter(|a| !is_literal(a));
            return arguments.try_for_each(|argument| self.expression(argument));
        }
        self.all.calls.push(call.clone());
        match call.name.as_str() {
            "percentile" => self.percentile(call),
            "sample" => self.sample(call),
            "distinct" => self.distinct(call, Nesting::Outermost),
            "top" | "bottom" => self.top_bottom(call),
            "derivative" | "non_negative_derivative" | "elapsed" => {
                count(call, 1, 2)?;
                check_unit(call)?;
                self.transform(call, 1)
            }
            "difference" | "non_negative_difference" | "cumulative_sum" => {
                count(call, 1, 1)?;
                self.transform(call, 1)
            }
            "moving_average" => self.moving_average(call),
            "exponential_moving_average"
            | "double_exponential_moving_average"
            | "triple_exponential_moving_average"
            | "relative_strength_index"
            | "triple_exponential_derivative" => {
                self.technical(call, 4, &["exponential", "simple"])
            }
            "kaufmans_efficiency_ratio" | "kaufmans_adaptive_moving_average" => {
                self.technical(call, 3, &[])
            }
            "chande_momentum_oscillator" => {
                self.technical(call, 4, &["none", "exponential", "simple"])
            }
            "integral" => self.integral(call),
            "rate" => {
                count(call, 1, 2)?;
                self.counter(call)
            }
            "increase" => {
                count(call, 1, 1)?;
                self.counter(call)
            }
            "count_hll" => {
                count(call, 1, 1)?;
                self.all.has_only_selectors = false;
                match &call.arguments[0] {
                    Expr::Call(inner) => self.call(inner),
                    other => self.symbol(call, other),
                }
            }
            "holt_winters" | "holt_winters_with_fit" => self.holt_winters(call),
            _ => self.function(call),
        }
    }

    /// A function of one field.
    fn function(&mut self, call: &Call) -> Result {
        match call.name.as_str() {
            "max" | "min" | "first" | "last" => {}
            "count" | "sum" | "mean" | "median" | "mode" | "stddev" | "spread" | "sum_hll" => {
                self.all.has_only_selectors = false;
            }
            name => return Err(CheckError::rule(format!("undefined function {name}()"))),
        }
        count(call, 1, 1)?;
        if call.name == "count" {
            match &call.arguments[0] {
                Expr::Call(inner) if inner.name == "distinct" => {
                    return self.distinct(inner, Nesting::Inner);
                }
                Expr::Distinct(name) => {
                    return self.distinct(&distinct_call(name), Nesting::Inner);
                }
                _ => {}
            }
        }
        self.symbol(call, &call.arguments[0])
    }

    /// An argument that must be a field, or stand for several.
    fn symbol(&mut self, call: &Call, argument: &Expr) -> Result {
        let name = &call.name;
        let what = match argument {
            Expr::Reference(_) => return Ok(()),
            Expr::Wildcard(_) => "wildcard",
            Expr::Regex(_) => "regex field",
            _ => {
                return Err(CheckError::rule(format!(
                    "expected field argument in {name}()"
                )));
            }
        };
        if self.wildcards == Wildcards::Refused {
            return Err(CheckError::rule(format!(
                "unsupported expression with {what}: {name}()"
            )));
        }
        self.all.has_only_selectors = false;
        Ok(())
    }

    /// A call inside a call.
    fn nested(&mut self, call: &Call) -> Result {
        if call.name == "distinct" {
            self.distinct(call, Nesting::Inner)
        } else {
            self.call(call)
        }
    }

    fn percentile(&mut self, call: &Call) -> Result {
        count(call, 2, 2)?;
        if !matches!(call.arguments[1], Expr::Integer(_) | Expr::Number(_)) {
            return Err(CheckError::rule("expected float argument in percentile()"));
        }
        self.symbol(call, &call.arguments[0])
    }

    fn sample(&mut self, call: &Call) -> Result {
        count(call, 2, 2)?;
        match call.arguments[1] {
            Expr::Integer(size) if size <= 0 => Err(CheckError::rule(format!(
                "sample window must be greater than 1, got {size}"
            ))),
            Expr::Integer(_) => self.symbol(call, &call.arguments[0]),
            _ => Err(CheckError::rule("expected integer argument in sample()")),
        }
    }

    fn distinct(&mut self, call: &Call, nesting: Nesting) -> Result {
        let message = match call.arguments.as_slice() {
            [Expr::Reference(_)] => {
                self.all.has_distinct |= nesting == Nesting::Outermost;
                self.all.has_only_selectors = false;
                return Ok(());
            }
            [] => "distinct function requires at least one argument",
            [_] => "expected field argument in distinct()",
            _ => "distinct function can only have one argument",
        };
        Err(CheckError::rule(message))
    }

    fn top_bottom(&mut self, call: &Call) -> Result {
        if let Some(name) = &self.all.top_bottom {
            return Err(not_combined(name));
        }
        let name = &call.name;
        let [field, between @ .., last] = call.arguments.as_slice() else {
            return Err(wrong_count(call, "at least 2"));
        };
        let Expr::Integer(limit) = last else {
            return Err(CheckError::rule(format!(
                "expected integer as last argument in {name}(), found {last}"
            )));
        };
        let rows = self.all.limit;
        match u64::try_from(*limit) {
            Ok(0) | Err(_) => {
                return Err(CheckError::rule(format!(
                    "limit ({limit}) in {name} function must be at least 1"
                )));
            }
            Ok(limit) if rows > 0 && limit > rows => {
                return Err(CheckError::rule(format!(
                    "limit ({limit}) in {name} function can not be larger than the LIMIT ({rows}) \
                     in the select statement"
                )));
            }
            Ok(_) => {}
        }
        if !matches!(field, Expr::Reference(_)) {
            return Err(CheckError::rule(format!(
                "expected first argument to be a field in {name}(), found {field}"
            )));
        }
        for other in between {
            if !matches!(other, Expr::Reference(_)) {
                return Err(CheckError::rule(format!(
                    "only fields or tags are allowed in {name}(), found {other}"
                )));
            }
            // Each becomes a column of its own, but not in what is written to a target.
            if !self.all.has_target {
                self.all.field_count += 1;
                self.all.has_names = true;
            }
        }
        self.all.top_bottom = Some(name.clone());
        Ok(())
    }

    fn moving_average(&mut self, call: &Call) -> Result {
        count(call, 2, 2)?;
        match &call.arguments[1] {
            Expr::Integer(window) if *window <= 1 => Err(CheckError::rule(format!(
                "moving_average window must be greater than 1, got {window}"
            ))),
            Expr::Integer(window) => self.transform(call, *window),
            other => Err(CheckError::rule(format!(
                "second argument for moving_average must be an integer, got {other}"
            ))),
        }
    }

    /// A function of field, period, and maybe a hold period and a way to warm up.
    fn technical(&mut self, call: &Call, most: usize, warmups: &[&str]) -> Result {
        count(call, 2, most)?;
        let name = &call.name;
        let rule = |text: &str| Err(CheckError::rule(format!("{name} {text}")));
        let period = match &call.arguments[1] {
            Expr::Integer(period) if *period < 1 => {
                return rule("period must be greater than or equal to 1");
            }
            Expr::Integer(period) => *period,
            _ => return rule("period must be an integer"),
        };
        match call.arguments.get(2) {
            None | Some(Expr::Integer(-1)) => {}
            Some(Expr::Integer(hold)) if *hold < 1 && name == "triple_exponential_derivative" => {
                return rule("hold period must be greater than or equal to 1");
            }
            Some(Expr::Integer(hold)) if *hold < 0 => {
                return rule("hold period must be greater than or equal to 0");
            }
            Some(Expr::Integer(_)) => {}
            Some(_) => return rule("hold period must be an integer"),
        }
        match call.arguments.get(3) {
            Some(Expr::String(warmup)) if !warmups.contains(&warmup.as_str()) => {
                let known: Vec<String> = warmups.iter().map(|name| format!("'{name}'")).collect();
                return rule(&format!("warmup type must be one of: {}", known.join(" ")));
            }
            None | Some(Expr::String(_)) => {}
            Some(_) => return rule("warmup type must be a string"),
        }
        match &call.arguments[0] {
            // Here distinct() counts as a function of its own, which then does not go with others.
            Expr::Call(inner) if inner.name == "distinct" && self.all.interval != 0 => {
                self.call(inner)
            }
            _ => self.transform(call, period),
        }
    }

    fn integral(&mut self, call: &Call) -> Result {
        count(call, 1, 2)?;
        if !matches!(call.arguments.get(1), None | Some(Expr::Duration(_))) {
            return Err(CheckError::rule("second argument must be a duration"));
        }
        check_unit(call)?;
        self.all.has_only_selectors = false;
        self.symbol(call, &call.arguments[0])
    }

    /// A function of the steps of counters: an aggregate with a unit.
    fn counter(&mut self, call: &Call) -> Result {
        check_unit(call)?;
        self.all.has_only_selectors = false;
        self.all.extra_windows = self.all.extra_windows.max(1);
        self.symbol(call, &call.arguments[0])
    }

    /// The first argument of a function of neighbours: a call if rows are grouped by time, else a
    /// field. `windows` is how many windows it reads before the range.
    fn transform(&mut self, call: &Call, windows: i64) -> Result {
        let name = &call.name;
        self.all.has_only_selectors = false;
        self.all.extra_windows = self.all.extra_windows.max(windows);
        match &call.arguments[0] {
            Expr::Call(inner) if self.all.interval != 0 => self.nested(inner),
            Expr::Call(_) => Err(no_interval(name)),
            _ if self.all.interval != 0 && self.all.interval_from == Interval::Own => {
                Err(CheckError::rule(format!(
                    "aggregate function required inside the call to {name}"
                )))
            }
            other => self.symbol(call, other),
        }
    }

    fn holt_winters(&mut self, call: &Call) -> Result {
        count(call, 3, 3)?;
        let name = &call.name;
        let integer = |at: usize, place: &str| match call.arguments[at] {
            Expr::Integer(number) => Ok(number),
            _ => Err(CheckError::rule(format!(
                "expected integer argument as {place} arg in {name}"
            ))),
        };
        let steps = integer(1, "second")?;
        if steps <= 0 {
            return Err(CheckError::rule(format!(
                "second arg to {name} must be greater than 0, got {steps}"
            )));
        }
        let season = integer(2, "third")?;
        if season < 0 {
            return Err(CheckError::rule(format!(
                "third arg to {name} cannot be negative, got {season}"
            )));
        }
        self.all.has_only_selectors = false;
        match &call.arguments[0] {
            Expr::Call(inner) if self.all.interval != 0 => self.nested(inner),
            Expr::Call(_) => Err(no_interval(name)),
            _ => Err(CheckError::rule(format!(
                "must use aggregate function with {name}"
            ))),
        }
    }
}

/// Whether `distinct` stands inside another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outermost,
    Inner,
}

fn no_interval(name: &str) -> CheckError {
    CheckError::rule(format!("{name} aggregate requires a GROUP BY interval"))
}

/// A second argument must be a duration above zero.
fn check_unit(call: &Call) -> Result {
    match call.arguments.get(1) {
        Some(Expr::Duration(ns)) if *ns <= 0 => Err(CheckError::rule(format!(
            "duration argument must be positive, got {}",
            format_duration(*ns)
        ))),
        None | Some(Expr::Duration(_)) => Ok(()),
        Some(other) => Err(CheckError::rule(format!(
            "second argument to {} must be a duration, got {other}",
            call.name
        ))),
    }
}
