//! Which points DELETE, DROP SERIES, DROP MEASUREMENT and `/api/v2/delete` mean.
//!
//! It reads names only, and deletes nothing: a [`Deletion`] is for the engine.

mod v2;

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_engine::model::{TIME_MAX, TIME_MIN};
use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Chosen, Deletion, TimeRange, View};

use crate::ast::{Cast, Expr, Operator, Source, Statement};
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
use crate::plan::{Conditions, split};
use crate::show::names::Matcher;

pub use v2::{Request, v2};

/// InfluxDB says so with the number of a shard before it, which there is none of here.
const FIELDS: &str = "fields not supported in WHERE clause during deletion";
/// InfluxDB takes any operator but `=` for `!=`, and would delete what is not meant.
const OPERATOR: &str =
    "only =, !=, =~ and !~ are supported on tags in WHERE clause during deletion";

/// What a statement deletes; `None` where it is not one that deletes points.
///
/// # Errors
/// [`Error::Invalid`] with InfluxDB's text, [`Error::Engine`].
pub(crate) fn of_statement(
    statement: &Statement,
    context: &Context<'_>,
) -> Result<Option<Vec<Deletion>>> {
    let (sources, condition) = match statement {
        Statement::Delete { sources, condition } | Statement::DropSeries { sources, condition } => {
            (sources, condition)
        }
        Statement::DropMeasurement { name } => {
            context.snapshot.catalog().database(context.database)?;
            return Ok(Some(vec![Deletion {
                database: context.database.to_owned(),
                policy: None,
                measurements: BTreeSet::from([name.as_str().into()]),
                series: Chosen::Where(TagPredicate::All),
                range: TimeRange::ALL,
            }]));
        }
        _ => return Ok(None),
    };
    let database = context.snapshot.catalog().database(context.database)?;
    let (policy, matchers) = named(sources)?;
    if policy.is_some_and(|name| database.policy(name).is_err()) {
        // As in InfluxDB: no shard is of that policy.
        return Ok(Some(Vec::new()));
    }
    let wanted =
        |name: &str| matchers.is_empty() || matchers.iter().any(|matcher| matcher.matches(name));
    resolve(
        context,
        context.database,
        policy,
        &wanted,
        condition.as_ref(),
    )
    .map(Some)
}

/// The policy and the measurements of FROM.
fn named(sources: &[Source]) -> Result<(Option<&str>, Vec<Matcher>)> {
    let mut policy: Option<&str> = None;
    let mut matchers = Vec::new();
    for source in sources {
        let Source::Measurement(measurement) = source else {
            return Err(Error::invalid(format!(
                "unsupported source type in delete {source}"
            )));
        };
        let there = measurement.policy.as_str();
        let first = *policy.get_or_insert(there);
        if first != there {
            return Err(Error::invalid(format!(
                "mixed retention policies not supported, wanted {first:?} got {there:?}"
            )));
        }
        matchers.push(Matcher::of(&measurement.name)?);
    }
    Ok((policy.filter(|name| !name.is_empty()), matchers))
}

/// The deletions of a condition over the measurements that are `wanted`: one for those that it
/// means the same tags in.
fn resolve(
    context: &Context<'_>,
    database: &str,
    policy: Option<&str>,
    wanted: &dyn Fn(&str) -> bool,
    condition: Option<&Expr>,
) -> Result<Vec<Deletion>> {
    let split = split(condition, context.now, None)?;
    if split.range.is_empty() {
        return Ok(Vec::new());
    }
    let whole = TimeRange {
        start: TIME_MIN,
        end: TIME_MAX,
    };
    let range = if split.range == whole {
        TimeRange::ALL
    } else {
        split.range
    };
    let views = views(context, database, policy)?;
    let mut names = BTreeSet::new();
    for view in &views {
        names.extend(view.measurements()?.into_iter().filter(|name| wanted(name)));
    }
    let mut deletions: Vec<Deletion> = Vec::new();
    for name in names {
        context.cancel.check()?;
        let predicate = predicate(&views, &name, split.rest.as_ref())?;
        if predicate == TagPredicate::None {
            continue;
        }
        let series = Chosen::Where(predicate);
        match deletions.iter_mut().find(|there| there.series == series) {
            Some(there) => {
                there.measurements.insert(name);
            }
            None => deletions.push(Deletion {
                database: database.to_owned(),
                policy: policy.map(str::to_owned),
                measurements: BTreeSet::from([name]),
                series,
                range,
            }),
        }
    }
    Ok(deletions)
}

fn views(context: &Context<'_>, database: &str, policy: Option<&str>) -> Result<Vec<View>> {
    let there = context.snapshot.catalog().database(database)?;
    let policies = there.policies.iter().map(|policy| policy.name.as_str());
    policies
        .filter(|name| policy.is_none_or(|wanted| wanted == *name))
        .map(|name| {
            let view = context.snapshot.view(database, name, TimeRange::ALL);
            view.map_err(Error::from)
        })
        .collect()
}

/// What the rest of a WHERE says about the tags of a measurement, of which it may speak only.
fn predicate(views: &[View], measurement: &Arc<str>, rest: Option<&Expr>) -> Result<TagPredicate> {
    let Some(rest) = rest else {
        return Ok(TagPredicate::All);
    };
    let mut fields = BTreeSet::new();
    for view in views {
        fields.extend(view.fields(measurement)?.into_iter().map(|(name, _)| name));
    }
    let is_field = |name: &str| name != "_name" && fields.contains(name);
    check(rest, &is_field)?;
    let conditions = Conditions::compile(Some(rest), measurement, &is_field)?;
    let predicate = conditions.condition.of_tags();
    predicate.ok_or_else(|| Error::invalid(FIELDS))
}

/// Refuses what is no condition on tags, so that nothing is deleted which is not meant.
fn check(expr: &Expr, is_field: &dyn Fn(&str) -> bool) -> Result<()> {
    let is_tag = |expr: &Expr| match expr {
        Expr::Reference(reference) => match reference.cast {
            Some(cast) => cast == Cast::Tag,
            None => !is_field(&reference.name),
        },
        _ => false,
    };
    match expr {
        Expr::Paren(inner) => check(inner, is_field),
        Expr::Boolean(_) => Ok(()),
        Expr::Binary {
            op: Operator::And | Operator::Or,
            left,
            right,
        } => {
            check(left, is_field)?;
            check(right, is_field)
        }
        Expr::Binary { op, left, right } => {
            let (tag, value) = if is_tag(left) {
                (left, right)
            } else {
                (right, left)
            };
            let is_comparable =
                is_tag(value) || matches!(&**value, Expr::String(_) | Expr::Regex(_));
            let is_equality = matches!(
                op,
                Operator::Equal | Operator::NotEqual | Operator::Matches | Operator::NotMatches
            );
            if !is_tag(tag) || !is_comparable {
                Err(Error::invalid(FIELDS))
            } else if !is_equality {
                Err(Error::invalid(OPERATOR))
            } else {
                Ok(())
            }
        }
        other => Err(Error::invalid(format!(
            "invalid condition expression: {other}"
        ))),
    }
}
