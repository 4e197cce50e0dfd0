//! Which database and which measurements a SHOW means.

use std::sync::Arc;

use plimsoll_engine::View;
use plimsoll_engine::predicate::{TagPredicate, ValueTest};

use crate::ast::{Expr, MeasurementName, Operator, Show};
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
use crate::plan::compile_regex;

/// One policy, and which of its measurements are meant.
pub(super) struct Scope {
    pub(super) database: String,
    pub(super) policy: String,
    pub(super) matcher: Matcher,
}

/// Which measurements are meant.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    All,
    Name(String),
    Regex(::regex::Regex),
}

impl Matcher {
    /// What a name or a regex means.
    pub(crate) fn of(name: &MeasurementName) -> Result<Self> {
        Ok(match name {
            MeasurementName::Name(name) => Self::Name(name.clone()),
            MeasurementName::Regex(pattern) => Self::Regex(compile_regex(&pattern.0)?),
            MeasurementName::BackReference => return Err(Error::invalid("invalid measurement")),
        })
    }

    /// Whether a measurement is meant.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(wanted) => wanted == name,
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

/// ON, or the request's database.
pub(super) fn database<'a>(show: &'a Show, context: &'a Context<'_>) -> Result<&'a str> {
    match show.database.as_deref().unwrap_or(context.database) {
        "" => Err(Error::DatabaseRequired),
        name => Ok(name),
    }
}

/// Whether WHERE of SHOW MEASUREMENTS keeps a measurement: `=` where some series has the value,
/// `!=` where none has.
pub(super) fn measurement_matches(
    views: &[View],
    measurement: &Arc<str>,
    rest: Option<&Expr>,
) -> Result<bool> {
    let Some(rest) = rest else {
        return has_series(views, measurement, &TagPredicate::All);
    };
    match rest {
        Expr::Paren(inner) => measurement_matches(views, measurement, Some(inner)),
        Expr::Boolean(value) => Ok(*value),
        Expr::Binary { op, left, right } => match op {
            Operator::And => Ok(measurement_matches(views, measurement, Some(left))?
                && measurement_matches(views, measurement, Some(right))?),
            Operator::Or => Ok(measurement_matches(views, measurement, Some(left))?
                || measurement_matches(views, measurement, Some(right))?),
            _ => compare(views, measurement, *op, left, right),
        },
        other => Err(Error::invalid(format!(
            "invalid condition expression: {other}"
        ))),
    }
}

fn compare(
    views: &[View],
    measurement: &Arc<str>,
    op: Operator,
    left: &Expr,
    right: &Expr,
) -> Result<bool> {
    let (Expr::Reference(reference), value) = (left, right) else {
        return Err(Error::invalid(format!(
            "left side of '{}' must be a tag key",
            op.symbol()
        )));
    };
    let test = match (op, value) {
        (Operator::Equal | Operator::NotEqual, Expr::String(text)) => {
            ValueTest::In(Arc::new([text.as_str().into()]))
        }
        (Operator::Matches | Operator::NotMatches, Expr::Regex(pattern)) => {
            ValueTest::Matches(compile_regex(&pattern.0)?)
        }
        _ => {
            return Err(Error::invalid(format!(
                "right side of '{}' must be a tag value string",
                op.symbol()
            )));
        }
    };
    let is_positive = matches!(op, Operator::Equal | Operator::Matches);
    if reference.name == "_name" {
        return Ok(test.passes(measurement) == is_positive);
    }
    let predicate = TagPredicate::Tag {
        key: reference.name.as_str().into(),
        test: ValueTest::Custom(Arc::new(move |value: &str| {
            !value.is_empty() && test.passes(value)
        })),
    };
    let has = has_series(views, measurement, &predicate)?;
    // A measurement without the tag is not considered at all.
    let with_tag = TagPredicate::Tag {
        key: reference.name.as_str().into(),
        test: ValueTest::Custom(Arc::new(|value: &str| !value.is_empty())),
    };
    Ok(has == is_positive && (has || has_series(views, measurement, &with_tag)?))
}

/// Whether a series that fulfils the predicate has a point in the views' range.
fn has_series(views: &[View], measurement: &str, predicate: &TagPredicate) -> Result<bool> {
    for view in views {
        if view.any_points(measurement, predicate)? {
            return Ok(true);
        }
    }
    Ok(false)
}
