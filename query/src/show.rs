//! SHOW statements: what databases, policies, measurements, tags, fields and series there are.
//!
//! Where they take a time range they honour it exactly: a series without a point in it is not there.

mod cardinality;
pub(crate) mod names;
mod policies;
mod queries;
mod shards;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_engine::{Series, TimeRange, View};

use crate::ast::{Expr, MeasurementFilter, Show, ShowWildcard, Source};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
use crate::plan::{Conditions, Decision, split};
use crate::rows::{Cell, Rows};
use names::{Matcher, Scope};

pub(crate) use cardinality::cardinality;
pub(crate) use policies::{databases, retention_policies};
pub(crate) use queries::{continuous_queries, subscriptions};
pub(crate) use shards::{shard_groups, shards};
pub(crate) use tags::{tag_keys, tag_values};

/// SHOW MEASUREMENTS.
pub(crate) fn measurements(
    show: &Show,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let is_plain = show.wildcard == ShowWildcard::None && show.policy.is_none();
    let places = places(show, context)?;
    let wanted = match &show.measurement {
        None => Matcher::All,
        Some(MeasurementFilter::Equals(m) | MeasurementFilter::Matches(m)) => Matcher::of(&m.name)?,
    };
    let split = split(show.condition.as_ref(), context.now, None)?;
    let mut rows: Vec<(Arc<str>, String, String)> = Vec::new();
    for (database, policies) in places {
        let mut views = Vec::with_capacity(policies.len());
        let mut candidates = BTreeSet::new();
        for policy in &policies {
            let view = context.snapshot.view(&database, policy, split.range)?;
            candidates.extend(view.measurements()?);
            views.push(view);
        }
        let mut found = Vec::new();
        for name in candidates {
            context.cancel.check()?;
            if wanted.matches(&name)
                && names::measurement_matches(&views, &name, split.rest.as_ref())?
            {
                found.push(name);
            }
        }
        let policy = policies.first().cloned().unwrap_or_default();
        rows.extend(
            found
                .into_iter()
                .map(|name| (name, database.clone(), policy.clone())),
        );
    }
    let rows = cut(rows, show.offset, show.limit);
    if rows.is_empty() {
        return Ok(());
    }
    let columns: &[&str] = if is_plain {
        &["name"]
    } else {
        &["name", "database", "retention policy"]
    };
    let values = rows.into_iter().map(|(name, database, policy)| {
        let mut row = vec![Cell::String(name)];
        if !is_plain {
            row.extend([text(&database), text(&policy)]);
        }
        row
    });
    emitter.rows(table("measurements", columns, values.collect()))
}

/// The databases of SHOW MEASUREMENTS, each with the policies that are read together.
fn places(show: &Show, context: &Context<'_>) -> Result<Vec<(String, Vec<String>)>> {
    let catalog = context.snapshot.catalog();
    let each_policy = |database: &plimsoll_engine::catalog::Database| {
        let policies = database.policies.iter();
        policies
            .map(|policy| (database.name.clone(), vec![policy.name.clone()]))
            .collect::<Vec<_>>()
    };
    match show.wildcard {
        ShowWildcard::Everything => Ok(catalog.databases.values().flat_map(each_policy).collect()),
        ShowWildcard::Databases => Ok(Vec::new()),
        ShowWildcard::Policies => {
            let name = names::database(show, context)?;
            let database = catalog.database(name);
            let database =
                database.map_err(|_| Error::invalid(format!("unknown database {name}")))?;
            Ok(each_policy(database))
        }
        ShowWildcard::None => {
            // 1.x lists nothing for a database that is not there.
            let Ok(database) = catalog.database(names::database(show, context)?) else {
                return Ok(Vec::new());
            };
            let policies = match &show.policy {
                Some(policy) => vec![policy.clone()],
                None => database.policies.iter().map(|p| p.name.clone()).collect(),
            };
            Ok(vec![(database.name.clone(), policies)])
        }
    }
}

/// SHOW FIELD KEYS.
pub(crate) fn field_keys(
    show: &Show,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let mut found: BTreeMap<Arc<str>, BTreeSet<(Arc<str>, String)>> = BTreeMap::new();
    each_measurement(show, context, Policies::Default, |view, name, _| {
        let fields = view.fields(name)?.into_iter();
        let fields = fields.map(|(field, kind)| (field, kind.to_string()));
        found.entry(Arc::clone(name)).or_default().extend(fields);
        Ok(())
    })?;
    for (name, fields) in found {
        let fields = cut(fields, show.offset, show.limit);
        if !fields.is_empty() {
            let values = fields
                .into_iter()
                .map(|(field, kind)| vec![Cell::String(field), text(&kind)]);
            emitter.rows(table(&name, &["fieldKey", "fieldType"], values.collect()))?;
        }
    }
    Ok(())
}

/// SHOW SERIES.
pub(crate) fn series(show: &Show, context: &Context<'_>, emitter: &mut Emitter<'_>) -> Result<()> {
    let mut found = BTreeSet::new();
    each_measurement(show, context, Policies::Named, |view, name, chosen| {
        let all;
        let series = match chosen {
            Chosen::Some(series) => series,
            Chosen::All => {
                all = view.series(name, &plimsoll_engine::predicate::TagPredicate::All)?;
                &all
            }
        };
        for series in series {
            found.insert((Arc::clone(name), series.tags.clone()));
        }
        Ok(())
    })?;
    let keys = cut(found, show.offset, show.limit);
    if keys.is_empty() {
        return Ok(());
    }
    let values = keys.into_iter().map(|(name, tags)| {
        let mut key = name.replace(',', "\\,").replace(' ', "\\ ");
        if !tags.as_str().is_empty() {
            key.push(',');
            key.push_str(tags.as_str());
        }
        vec![text(&key)]
    });
    emitter.rows(table("", &["key"], values.collect()))
}

/// Which policies a statement reads where FROM names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policies {
    /// All of the database, even if FROM names one.
    All,
    /// All of the database, or the one that FROM names.
    Named,
    /// The default one, or the one that FROM or the request names.
    Default,
}

/// Which series of a measurement are meant.
enum Chosen<'a> {
    /// All of the view.
    All,
    /// These.
    Some(&'a [Series]),
}

/// What a series is whose WHERE compares fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowTests {
    /// Chosen, whatever its rows are.
    Kept,
    /// Not chosen.
    Refused,
}

/// Takes a measurement and its chosen series.
type Visit<'a> = &'a mut dyn FnMut(&View, &Arc<str>, Chosen<'_>) -> Result<()>;

/// Calls `visit` with each measurement of FROM, in each policy, that has a series that WHERE
/// chooses.
fn each_measurement(
    show: &Show,
    context: &Context<'_>,
    policies: Policies,
    mut visit: impl FnMut(&View, &Arc<str>, Chosen<'_>) -> Result<()>,
) -> Result<()> {
    let split = split(show.condition.as_ref(), context.now, None)?;
    let wanted = (split.rest.as_ref(), split.range);
    each_chosen(show, context, policies, wanted, &mut visit)
}

/// The same for a WHERE that is taken apart: what is left of it, and its range.
fn each_chosen(
    show: &Show,
    context: &Context<'_>,
    policies: Policies,
    (rest, range): (Option<&Expr>, TimeRange),
    visit: Visit<'_>,
) -> Result<()> {
    each_name(show, context, policies, range, |view, name| {
        if rest.is_none() && range == TimeRange::ALL {
            return visit(view, name, Chosen::All);
        }
        let series = choose(view, name, rest, range, RowTests::Kept)?;
        if series.is_empty() {
            return Ok(());
        }
        visit(view, name, Chosen::Some(&series))
    })
}

/// Calls `visit` with each measurement of FROM, in each policy.
fn each_name(
    show: &Show,
    context: &Context<'_>,
    policies: Policies,
    range: TimeRange,
    mut visit: impl FnMut(&View, &Arc<str>) -> Result<()>,
) -> Result<()> {
    for scope in scopes(show, context, policies)? {
        let view = context
            .snapshot
            .view(&scope.database, &scope.policy, range)?;
        for name in view.measurements()? {
            context.cancel.check()?;
            if scope.matcher.matches(&name) {
                visit(&view, &name)?;
            }
        }
    }
    Ok(())
}

/// The series of a measurement that WHERE chooses: by their tags, and with a point in the range.
fn choose(
    view: &View,
    measurement: &str,
    rest: Option<&Expr>,
    range: TimeRange,
    row_tests: RowTests,
) -> Result<Vec<Series>> {
    let conditions = conditions(view, measurement, rest)?;
    let mut chosen = Vec::new();
    for series in view.series(measurement, &conditions.predicate())? {
        let value = |key: &str| series.tags.value(key).map(|v| v.into_owned());
        let decision = conditions.decide(&|key| value(key).unwrap_or_default());
        let is_meant = match decision {
            Decision::All => true,
            Decision::Some(_) => row_tests == RowTests::Kept,
            Decision::None => false,
        };
        if is_meant && (range == TimeRange::ALL || view.has_points(&series)?) {
            chosen.push(series);
        }
    }
    Ok(chosen)
}

/// WHERE over a measurement, without its time.
fn conditions(view: &View, measurement: &str, rest: Option<&Expr>) -> Result<Conditions> {
    if rest.is_none() {
        return Ok(Conditions::none());
    }
    let tag_keys = view.tag_keys(measurement)?;
    let fields = view.fields(measurement)?;
    // Of a tag and a field of one name the tag is meant here.
    let is_field =
        |name: &str| !tag_keys.contains(name) && fields.iter().any(|(field, _)| &**field == name);
    Conditions::compile(rest, measurement, &is_field)
}

/// What is read: each policy with the measurements of FROM.
fn scopes(show: &Show, context: &Context<'_>, policies: Policies) -> Result<Vec<Scope>> {
    let default = names::database(show, context)?;
    let catalog = context.snapshot.catalog();
    let mut scopes = Vec::new();
    let mut add = |database: &str, policy: &str, matcher: Matcher| -> Result<()> {
        let there = catalog.database(database)?;
        let all = policies != Policies::Default && (policy.is_empty() || policies == Policies::All);
        let names: Vec<String> = if all {
            there
                .policies
                .iter()
                .map(|policy| policy.name.clone())
                .collect()
        } else if policy.is_empty() && database == context.database {
            vec![context.policy.to_owned()]
        } else {
            vec![policy.to_owned()]
        };
        scopes.extend(names.into_iter().map(|policy| Scope {
            database: database.to_owned(),
            policy,
            matcher: matcher.clone(),
        }));
        Ok(())
    };
    if show.sources.is_empty() {
        add(default, "", Matcher::All)?;
    }
    for source in &show.sources {
        let Source::Measurement(measurement) = source else {
            return Err(Error::invalid("a subquery cannot stand in FROM of SHOW"));
        };
        let database = match measurement.database.as_str() {
            "" => default,
            named => named,
        };
        add(
            database,
            &measurement.policy,
            Matcher::of(&measurement.name)?,
        )?;
    }
    Ok(scopes)
}

/// OFFSET and LIMIT; a limit of 0 is none.
fn cut<T>(items: impl IntoIterator<Item = T>, offset: u64, limit: u64) -> Vec<T> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let limit = match usize::try_from(limit) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(limit) => limit,
    };
    items.into_iter().skip(offset).take(limit).collect()
}

fn text(text: &str) -> Cell {
    Cell::String(text.into())
}

/// A series of SHOW.
fn table(name: &str, columns: &[&str], values: Vec<Vec<Cell>>) -> Rows {
    Rows {
        name: name.into(),
        columns: columns.iter().map(|column| Arc::from(*column)).collect(),
        values,
        ..Rows::default()
    }
}
