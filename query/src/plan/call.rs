//! Calls of functions, checked and with their arguments read.

use plimsoll_engine::model::FieldType;

use crate::ast::{self, Expr, Reference};
use crate::exec::error::{Error, Result};
use crate::functions::counter::Counter;
use crate::functions::holt_winters::{Forecast, HoltWinters};
use crate::functions::technical::{Indicator, Technical, Warmup};
use crate::functions::{Fold, Sign, Transform, Whole};

/// A call that is ready to run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// Its name, for messages.
    pub(crate) name: String,
    /// What it does.
    pub(crate) function: Function,
    /// What it reads.
    pub(crate) input: Input,
    /// top() and bottom(): one point for each combination of these.
    pub(crate) by: Vec<Reference>,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    /// Series by series.
    Fold(Fold),
    /// Over whole windows.
    Whole(Whole),
    /// Over the steps of each series.
    Counter(Counter),
    /// Sketches of distinct values.
    Sketch,
    /// How many values sketches hold.
    CountSketch,
    /// Area in a unit of ns.
    Integral(i64),
    /// Over neighbours; a derivative's unit of 0 is the default.
    Transform(Transform),
    /// What is to come, of windows.
    HoltWinters(HoltWinters),
}

/// What a call reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// A field, or a column of a subquery.
    Reference(Reference),
    /// Another call.
    Call(Box<Call>),
}

impl Call {
    /// Reads a call.
    ///
    /// # Errors
    /// [`Error::Invalid`] with InfluxDB's text.
    pub(crate) fn read(call: &ast::Call) -> Result<Self> {
        let name = call.name.as_str();
        let arguments = call.arguments.as_slice();
        let Some(first) = arguments.first() else {
            return Err(Error::invalid(format!(
                "invalid number of arguments for {name}, expected at least 1, got 0"
            )));
        };
        let mut by = Vec::new();
        if let ("count", Some(distinct)) = (name, nested_distinct(first)) {
            return Ok(Self {
                name: name.to_owned(),
                function: Function::Whole(Whole::CountDistinct),
                input: Input::Reference(distinct),
                by,
            });
        }
        let function = match (name, &arguments[1..]) {
            ("median", []) => Function::Whole(Whole::Median),
            ("mode", []) => Function::Whole(Whole::Mode),
            ("stddev", []) => Function::Whole(Whole::Stddev),
            ("distinct", []) => Function::Whole(Whole::Distinct),
            ("percentile", [Expr::Number(rank)]) => Function::Whole(Whole::Percentile(*rank)),
            ("percentile", [Expr::Integer(rank)]) => {
                Function::Whole(Whole::Percentile(crate::functions::Number::float(*rank)))
            }
            ("percentile", [_]) => {
                return Err(Error::invalid("expected float argument in percentile()"));
            }
            ("sample", [Expr::Integer(n)]) => Function::Whole(Whole::Sample(size(name, *n)?)),
            ("sample", [_]) => {
                return Err(Error::invalid("expected integer argument in sample()"));
            }
            ("top" | "bottom", [tags @ .., Expr::Integer(n)]) => {
                by = references(name, tags)?;
                let n = size(name, *n)?;
                Function::Whole(if name == "top" {
                    Whole::Top(n)
                } else {
                    Whole::Bottom(n)
                })
            }
            ("top" | "bottom", _) => {
                let last = arguments.last().unwrap_or(first);
                return Err(Error::invalid(format!(
                    "expected integer as last argument in {name}(), found {last}"
                )));
            }
            ("rate", unit) => Function::Counter(Counter::Rate(unit_of(name, unit, 1_000_000_000)?)),
            ("increase", []) => Function::Counter(Counter::Increase),
            ("sum_hll", []) => Function::Sketch,
            ("count_hll", []) => Function::CountSketch,
            ("integral", unit) => Function::Integral(unit_of(name, unit, 1_000_000_000)?),
            ("derivative", unit) => {
                Function::Transform(Transform::Derivative(unit_of(name, unit, 0)?, Sign::Any))
            }
            ("non_negative_derivative", unit) => {
                let unit = unit_of(name, unit, 0)?;
                Function::Transform(Transform::Derivative(unit, Sign::NonNegative))
            }
            ("difference", []) => Function::Transform(Transform::Difference(Sign::Any)),
            ("non_negative_difference", []) => {
                Function::Transform(Transform::Difference(Sign::NonNegative))
            }
            ("cumulative_sum", []) => Function::Transform(Transform::CumulativeSum),
            ("elapsed", unit) => Function::Transform(Transform::Elapsed(unit_of(name, unit, 1)?)),
            ("moving_average", [Expr::Integer(n)]) => {
                if *n <= 1 {
                    return Err(Error::invalid(format!(
                        "moving_average window must be greater than 1, got {n}"
                    )));
                }
                Function::Transform(Transform::MovingAverage(size(name, *n)?))
            }
            (
                "holt_winters" | "holt_winters_with_fit",
                [Expr::Integer(n), Expr::Integer(season)],
            ) => Function::HoltWinters(HoltWinters {
                steps: at_most(name, "points", *n)?,
                season: at_most(name, "season", *season)?,
                answer: if name == "holt_winters" {
                    Forecast::Future
                } else {
                    Forecast::WithFit
                },
            }),
            (_, rest) if Indicator::named(name).is_some() => {
                Function::Transform(Transform::Technical(technical(name, rest)?))
            }
            (_, rest) => match Fold::named(name) {
                Some(fold) if rest.is_empty() => Function::Fold(fold),
                None if !is_known(name) => {
                    return Err(Error::invalid(format!("undefined function {name}()")));
                }
                _ => {
                    let expected = if is_known(name) && Fold::named(name).is_none() {
                        expected_arguments(name)
                    } else {
                        1
                    };
                    return Err(Error::invalid(format!(
                        "invalid number of arguments for {name}, expected {expected}, got {}",
                        arguments.len()
                    )));
                }
            },
        };
        let is_transform = matches!(
            function,
            Function::Transform(_) | Function::HoltWinters(_) | Function::CountSketch
        );
        let input = match first {
            Expr::Reference(reference) => Input::Reference(reference.clone()),
            Expr::Call(inner) if is_transform => Input::Call(Box::new(Self::read(inner)?)),
            Expr::Distinct(inner) if is_transform => {
                Input::Call(Box::new(Self::read(&ast::Call {
                    name: "distinct".to_owned(),
                    arguments: vec![Expr::Reference(Reference {
                        name: inner.clone(),
                        cast: None,
                    })],
                })?))
            }
            _ => {
                return Err(Error::invalid(format!(
                    "expected field argument in {name}()"
                )));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            function,
            input,
            by,
        })
    }

    /// Whether it answers points of its input.
    pub(crate) fn is_selector(&self) -> bool {
        match self.function {
            Function::Fold(fold) => fold.is_selector(),
            Function::Whole(whole) => whole.is_selector(),
            Function::Counter(_)
            | Function::Sketch
            | Function::CountSketch
            | Function::Integral(_)
            | Function::Transform(_)
            | Function::HoltWinters(_) => false,
        }
    }

    /// The call that reads it.
    pub(crate) fn innermost(&self) -> &Self {
        match &self.input {
            Input::Reference(_) => self,
            Input::Call(inner) => inner.innermost(),
        }
    }

    /// Whether each of its results in a query by windows has the time of a window's start.
    pub(crate) fn answers_windows(&self) -> bool {
        match (self.function, &self.input) {
            (Function::Fold(_), Input::Reference(_)) => true,
            (Function::Transform(_), Input::Call(inner)) => inner.answers_windows(),
            _ => false,
        }
    }

    /// Whether it takes values of this type.
    pub(crate) fn takes(&self, field_type: FieldType) -> bool {
        match self.function {
            Function::Fold(fold) => fold.takes(field_type),
            Function::Whole(whole) => whole.takes(field_type),
            Function::Transform(transform) => transform.takes(field_type),
            Function::Counter(_) => Counter::takes(field_type),
            Function::Sketch | Function::CountSketch => true,
            Function::Integral(_) | Function::HoltWinters(_) => Fold::Sum.takes(field_type),
        }
    }

    /// The field that is read in the end.
    pub(crate) fn reference(&self) -> &Reference {
        match &self.input {
            Input::Reference(reference) => reference,
            Input::Call(inner) => inner.reference(),
        }
    }

    /// How many windows before the range InfluxDB lets a statement with this call read.
    pub(crate) fn windows_before_at_most(&self) -> i64 {
        let own = match self.function {
            Function::Transform(Transform::MovingAverage(n)) => {
                i64::try_from(n).unwrap_or(i64::MAX)
            }
            Function::Transform(Transform::Technical(technical)) => i64::from(technical.period),
            Function::Transform(_) => 1,
            _ => 0,
        };
        own.max(match &self.input {
            Input::Reference(_) => 0,
            Input::Call(inner) => inner.windows_before_at_most(),
        })
    }

    /// How many windows it reads more than the range has.
    pub(crate) fn windows_before(&self) -> i64 {
        let own = match self.function {
            Function::Transform(transform) => i64::from(transform.reads_window_before()),
            _ => 0,
        };
        own + match &self.input {
            Input::Reference(_) => 0,
            Input::Call(inner) => inner.windows_before(),
        }
    }
}

/// The field of `distinct(field)` or `DISTINCT field`.
fn nested_distinct(expr: &Expr) -> Option<Reference> {
    match expr {
        Expr::Distinct(name) => Some(Reference {
            name: name.clone(),
            cast: None,
        }),
        Expr::Call(call) if call.name == "distinct" => match call.arguments.as_slice() {
            [Expr::Reference(reference)] => Some(reference.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The largest period, season and number of forecast points: each costs memory.
const PERIOD_MAX: i64 = 1_000_000;

fn at_most(name: &str, what: &str, n: i64) -> Result<usize> {
    match usize::try_from(n) {
        Ok(size) if n <= PERIOD_MAX => Ok(size),
        _ => Err(Error::invalid(format!(
            "{name} {what} must be at most {PERIOD_MAX}, got {n}"
        ))),
    }
}

/// The period, and maybe how many points are held back, and how it starts.
fn technical(name: &str, arguments: &[Expr]) -> Result<Technical> {
    let (Some(indicator), [Expr::Integer(period), rest @ ..]) = (Indicator::named(name), arguments)
    else {
        return Err(Error::invalid(format!("{name} period must be an integer")));
    };
    let warmup = match rest.get(1) {
        None => indicator.default_warmup(),
        Some(Expr::String(text)) if text == "simple" => Warmup::Simple,
        Some(Expr::String(text)) if text == "none" => Warmup::None,
        Some(_) => Warmup::Exponential,
    };
    if *period < 2 && indicator == Indicator::Momentum && warmup == Warmup::None {
        return Err(Error::invalid(format!(
            "{name} period must be greater than or equal to 2 without a warmup type"
        )));
    }
    let period = u32::try_from(at_most(name, "period", *period)?)
        .unwrap_or(1)
        .max(1);
    let hold = match rest.first() {
        Some(Expr::Integer(hold)) if *hold >= 0 => Some(u32::try_from(*hold).unwrap_or(u32::MAX)),
        _ => None,
    };
    Ok(Technical {
        indicator,
        period,
        hold,
        warmup,
    })
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "median"
            | "mode"
            | "stddev"
            | "distinct"
            | "percentile"
            | "sample"
            | "top"
            | "bottom"
            | "integral"
            | "derivative"
            | "non_negative_derivative"
            | "difference"
            | "non_negative_difference"
            | "cumulative_sum"
            | "elapsed"
            | "moving_average"
            | "rate"
            | "increase"
            | "sum_hll"
            | "count_hll"
    ) || Fold::named(name).is_some()
}

fn expected_arguments(name: &str) -> usize {
    match name {
        "percentile" | "sample" | "moving_average" => 2,
        _ => 1,
    }
}

fn size(name: &str, n: i64) -> Result<usize> {
    match usize::try_from(n) {
        Ok(n) if n > 0 => Ok(n),
        _ if name == "sample" => Err(Error::invalid(format!(
            "sample window must be greater than 1, got {n}"
        ))),
        _ => Err(Error::invalid(format!(
            "limit ({n}) in {name} function must be at least 1"
        ))),
    }
}

fn unit_of(name: &str, arguments: &[Expr], default: i64) -> Result<i64> {
    match arguments {
        [] => Ok(default),
        [Expr::Duration(unit)] if *unit > 0 => Ok(*unit),
        [Expr::Duration(unit)] => Err(Error::invalid(format!(
            "duration argument must be positive, got {}",
            crate::parser::format_duration(*unit)
        ))),
        [_] => Err(Error::invalid(format!(
            "second argument to {name} must be a duration"
        ))),
        more => Err(Error::invalid(format!(
            "invalid number of arguments for {name}, expected at least 1 but no more than 2, got {}",
            more.len() + 1
        ))),
    }
}

fn references(name: &str, arguments: &[Expr]) -> Result<Vec<Reference>> {
    arguments
        .iter()
        .map(|argument| match argument {
            Expr::Reference(reference) => Ok(reference.clone()),
            other => Err(Error::invalid(format!(
                "only fields or tags are allowed in {name}(), found {other}"
            ))),
        })
        .collect()
}
