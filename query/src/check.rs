//! What a SELECT must fulfil before it runs, with InfluxDB's messages.
//!
//! It looks at the statement alone: which fields there are and of what type, the planner finds out.
//! Source: `query/compile.go` of InfluxDB 1.12.

mod call;
mod dimension;
mod statement;

use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;

use crate::ast::{Call, Expr, Field, Fill, Operator, Reference, Select, Source};
use crate::condition::{self, ConditionError};
use crate::functions::math::Math;
use crate::reduce::{Calls, Reducer, is_literal};

pub use dimension::group_by_interval;
pub use statement::check_statement;

/// Why a statement cannot run, in InfluxDB's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Its WHERE clause.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// The rule that it breaks.
    #[error("{0}")]
    Rule(String),
}

impl CheckError {
    fn rule(text: impl Into<String>) -> Self {
        Self::Rule(text.into())
    }
}

type Result<T = (), E = CheckError> = std::result::Result<T, E>;

/// A SELECT that may run, and what was found out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The statement, `DISTINCT x` as a call and constants folded in its fields and GROUP BY, in
    /// subqueries too. Conditions are as written: [`condition::split`] takes them apart.
    pub select: Select,
    /// The name of the column of times: `time` or its alias.
    pub time_column: String,
    /// All calls but those of single numbers, from the outermost in.
    pub calls: Vec<Call>,
    /// What its columns are made of.
    pub shape: Shape,
    /// GROUP BY time, ns.
    pub interval: Option<i64>,
    /// How many windows before the range (behind it, if descending) transforms read.
    pub extra_windows: i64,
}

/// What the columns of a SELECT are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Points as they are.
    Raw,
    /// Chosen points: each value stands for a point that exists.
    Selectors,
    /// Computed values.
    Aggregates,
}

/// Checks a SELECT and its subqueries; `now` is what `now()` stands for.
///
/// # Errors
/// [`CheckError`], for the first rule that is broken, in InfluxDB's order.
pub fn check(select: &Select, now: Timestamp) -> Result<Checked> {
    let mut checker = Checker::new(select, now)?;
    let select = checker.compile(select)?;
    Ok(Checked {
        select,
        shape: match (checker.calls.is_empty(), checker.has_only_selectors) {
            (true, _) => Shape::Raw,
            (false, true) => Shape::Selectors,
            (false, false) => Shape::Aggregates,
        },
        time_column: checker.time_column,
        calls: checker.calls,
        interval: Some(checker.interval).filter(|ns| *ns != 0),
        extra_windows: checker.extra_windows,
    })
}

/// Whether a SELECT calls a function in its fields.
#[must_use]
pub fn has_call(select: &Select) -> bool {
    fn calls(expr: &Expr) -> bool {
        match expr {
            Expr::Call(_) => true,
            Expr::Binary { left, right, .. } => calls(left) || calls(right),
            Expr::Paren(inner) => calls(inner),
            _ => false,
        }
    }
    select.fields.iter().any(|field| calls(&field.expr))
}

/// `DISTINCT name` as the call that it stands for.
fn distinct_call(name: &str) -> Call {
    Call {
        name: "distinct".to_owned(),
        arguments: vec![Expr::Reference(Reference {
            name: name.to_owned(),
            cast: None,
        })],
    }
}

/// Whether the interval is the statement's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interval {
    Own,
    Inherited,
}

/// What is known of one SELECT so far.
struct Checker {
    now: Timestamp,
    is_ascending: bool,
    limit: u64,
    has_target: bool,
    fill: Fill,
    /// GROUP BY time, ns; 0 is none.
    interval: i64,
    interval_from: Interval,
    dimensions: Vec<crate::ast::Dimension>,
    field_count: usize,
    calls: Vec<Call>,
    has_only_selectors: bool,
    has_distinct: bool,
    /// `top` or `bottom`, if one was met.
    top_bottom: Option<String>,
    /// Whether there are names outside calls.
    has_names: bool,
    extra_windows: i64,
    time_column: String,
}

impl Checker {
    /// Looks at what stands behind the fields.
    fn new(select: &Select, now: Timestamp) -> Result<Self> {
        let timezone = select
            .timezone
            .as_deref()
            .and_then(condition::timezone)
            .unwrap_or(TimeZone::UTC);
        let (rest, _) = condition::split(select.condition.as_ref(), now, &timezone)?;
        if let Some(rest) = &rest {
            check_condition(rest)?;
        }
        let (interval, dimensions) = dimension::check(&select.dimensions, &timezone)?;
        Ok(Self {
            now,
            is_ascending: select.is_ascending(),
            limit: select.limit,
            has_target: select.target.is_some(),
            fill: select.fill,
            interval,
            interval_from: Interval::Own,
            dimensions,
            field_count: 0,
            calls: Vec::new(),
            has_only_selectors: true,
            has_distinct: false,
            top_bottom: None,
            has_names: false,
            extra_windows: 0,
            time_column: "time".to_owned(),
        })
    }

    /// Looks at fields and subqueries, and answers the statement with its constants folded.
    fn compile(&mut self, select: &Select) -> Result<Select> {
        let mut folded = select.clone();
        folded.dimensions = std::mem::take(&mut self.dimensions);
        folded.fields = self.fields(&select.fields)?;
        self.check_fields()?;
        for source in &mut folded.sources {
            if let Source::Subquery(inner) = source {
                **inner = self.subquery(inner)?;
            }
        }
        Ok(folded)
    }

    fn subquery(&self, select: &Select) -> Result<Select> {
        let mut inner = Self::new(select, self.now)?;
        if !select.sort.is_empty() && inner.is_ascending != self.is_ascending {
            return Err(CheckError::rule(
                "subqueries must be ordered in the same direction as the query itself",
            ));
        }
        inner.is_ascending = self.is_ascending;
        // Inside, windows without points are not made only to be left out again.
        if inner.interval != 0 && inner.fill == Fill::Null {
            inner.fill = Fill::None;
        }
        if self.interval != 0 && inner.interval == 0 {
            inner.interval = self.interval;
            inner.interval_from = Interval::Inherited;
        }
        inner.compile(select)
    }

    fn fields(&mut self, fields: &[Field]) -> Result<Vec<Field>> {
        let reducer = Reducer {
            calls: Calls::Math,
            timezone: &TimeZone::UTC,
        };
        let mut folded = Vec::with_capacity(fields.len());
        for field in fields {
            if let Expr::Reference(reference) = &field.expr
                && reference.name == "time"
            {
                if let Some(alias) = &field.alias {
                    self.time_column.clone_from(alias);
                }
                folded.push(field.clone());
                continue;
            }
            let expr = match reducer.reduce(&field.expr) {
                Expr::Distinct(name) => Expr::Call(distinct_call(&name)),
                other => other,
            };
            self.field_count += 1;
            let mut column = Column {
                all: self,
                wildcards: Wildcards::Allowed,
            };
            column.expression(&expr)?;
            folded.push(Field {
                expr,
                alias: field.alias.clone(),
            });
        }
        Ok(folded)
    }

    /// Whether the fields go together.
    fn check_fields(&self) -> Result {
        if self.field_count == 0 {
            return Err(CheckError::rule(
                "at least 1 non-time field must be queried",
            ));
        }
        match &self.top_bottom {
            Some(name) if self.calls.len() > 1 => return Err(not_combined(name)),
            _ => {}
        }
        if self.calls.is_empty() {
            let fill = match self.fill {
                Fill::None => Some("fill(none) must be used with a function"),
                Fill::Linear => Some("fill(linear) must be used with a function"),
                _ => None,
            };
            if let Some(message) = fill {
                return Err(CheckError::rule(message));
            }
            if self.interval != 0 && self.interval_from == Interval::Own {
                return Err(CheckError::rule(
                    "GROUP BY requires at least one aggregate function",
                ));
            }
        }
        if self.has_distinct && (self.calls.len() != 1 || self.has_names) {
            return Err(CheckError::rule(
                "aggregate function distinct() cannot be combined with other functions or fields",
            ));
        }
        if self.has_names && !self.has_only_selectors {
            return Err(CheckError::rule(
                "mixing aggregate and non-aggregate queries is not supported",
            ));
        }
        if self.has_names && self.calls.len() > 1 {
            return Err(CheckError::rule(
                "mixing multiple selector functions with tags or fields is not supported",
            ));
        }
        Ok(())
    }
}

fn not_combined(name: &str) -> CheckError {
    CheckError::rule(format!(
        "selector function {name}() cannot be combined with other functions"
    ))
}

/// Whether `*` and regular expressions may stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    Allowed,
    Refused,
}

/// One field while it is checked.
struct Column<'a> {
    all: &'a mut Checker,
    wildcards: Wildcards,
}

impl Column<'_> {
    fn expression(&mut self, expr: &Expr) -> Result {
        match expr {
            Expr::Reference(_) => {
                self.all.has_names = true;
                Ok(())
            }
            Expr::Wildcard(_) | Expr::Regex(_) => {
                self.all.has_names = true;
                if self.wildcards == Wildcards::Allowed {
                    return Ok(());
                }
                let what = match expr {
                    Expr::Regex(_) => "regex",
                    _ => "wildcard",
                };
                Err(CheckError::rule(format!(
                    "unable to use {what} in a binary expression"
                )))
            }
            Expr::Call(call) => self.call(call),
            Expr::Distinct(name) => self.call(&distinct_call(name)),
            Expr::Binary { left, right, .. } => {
                self.wildcards = Wildcards::Refused;
                match (is_literal(left), is_literal(right)) {
                    (true, true) => Err(CheckError::rule(
                        "cannot perform a binary expression on two literals",
                    )),
                    (true, false) => self.expression(right),
                    (false, true) => self.expression(left),
                    (false, false) => {
                        self.expression(left)?;
                        self.expression(right)
                    }
                }
            }
            Expr::Paren(inner) => self.expression(inner),
            _ => Err(CheckError::rule("field must contain at least one variable")),
        }
    }
}

/// Whether a condition, its times taken out, holds only what can be evaluated per row.
fn check_condition(expr: &Expr) -> Result {
    match expr {
        Expr::Binary {
            op: Operator::Matches | Operator::NotMatches,
            right,
            ..
        } if !matches!(**right, Expr::Regex(_)) => Err(CheckError::rule(format!(
            "likely malformed statement, unable to rewrite: {expr}"
        ))),
        Expr::Binary { left, right, .. } => {
            check_condition(left)?;
            check_condition(right)
        }
        Expr::Paren(inner) => check_condition(inner),
        Expr::Call(call) => {
            let Some(expected) = Math::named(&call.name).map(Math::arity) else {
                return Err(CheckError::rule(format!(
                    "invalid function call in condition: {call}"
                )));
            };
            if call.arguments.len() != expected {
                return Err(call::wrong_count(call, &expected.to_string()));
            }
            call.arguments.iter().try_for_each(check_condition)
        }
        _ => Ok(()),
    }
}
