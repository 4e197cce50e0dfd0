//! One request on both sides, statement by statement.

use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;
use plimsoll_query::ast::{Expr, MeasurementName, Select, Source, Statement};
use plimsoll_query::check::group_by_interval;
use plimsoll_query::condition;

use super::world::{MEASUREMENTS, Measurement};

/// Windows of one series that a generated statement may ask for.
const WINDOWS_MAX: i64 = 3_000;

/// The SELECTs of a statement: it, and all below it.
pub fn each_select<'a>(select: &'a Select, visit: &mut dyn FnMut(&'a Select)) {
    visit(select);
    for source in &select.sources {
        if let Source::Subquery(inner) = source {
            each_select(inner, visit);
        }
    }
}

/// The measurements that a SELECT may read, its subqueries too.
pub fn measurements(select: &Select) -> Vec<&'static Measurement> {
    let mut found = Vec::new();
    each_select(select, &mut |select| {
        for source in &select.sources {
            let Source::Measurement(measurement) = source else {
                continue;
            };
            found.extend(MEASUREMENTS.iter().filter(|known| match &measurement.name {
                MeasurementName::Name(name) => name == known.name,
                _ => true,
            }));
        }
    });
    found
}

/// Whether a statement asks for so many windows that influxd would be busy for long.
pub fn is_endless(statement: &Statement, now: Timestamp) -> bool {
    match statement {
        Statement::Select(select) | Statement::Explain { select, .. } => {
            has_too_many(select, now, (first_point(select), i64::MAX), None)
        }
        _ => false,
    }
}

fn first_point(select: &Select) -> i64 {
    let starts = measurements(select);
    let starts = starts.iter().map(|known| known.start);
    starts.min().unwrap_or(0)
}

fn is_shifted(select: &Select) -> bool {
    select
        .dimensions
        .iter()
        .any(|dimension| matches!(&dimension.expr, Expr::Call(call) if call.arguments.len() > 1))
}

fn has_too_many(select: &Select, now: Timestamp, outer: (i64, i64), every: Option<i64>) -> bool {
    let outer_start = first_point(select);
    let own = group_by_interval(select).ok().flatten();
    let own = own.filter(|every| *every > 0);
    let zone = select.timezone.as_deref();
    let zone = zone.and_then(|name| TimeZone::get(name).ok());
    let split = condition::split(
        select.condition.as_ref(),
        now,
        &zone.unwrap_or(TimeZone::UTC),
    );
    let Ok((_, bounds)) = split else {
        return false;
    };
    let start = bounds.start.unwrap_or(i64::MIN).max(outer.0);
    let mut end = bounds.end.unwrap_or(i64::MAX).min(outer.1);
    if own.is_some() && bounds.end.is_none() {
        end = end.min(now.0);
    }
    let every = own.or(every);
    let below = select.sources.iter().any(|source| match source {
        Source::Subquery(inner) => has_too_many(inner, now, (start, end), every),
        Source::Measurement(_) => false,
    });
    // influxd fills shifted windows from the year 1677 on where no start is given.
    if own.is_some() && bounds.start.is_none() && outer.0 == outer_start && is_shifted(select) {
        return true;
    }
    let span = end.saturating_sub(start);
    below || every.is_some_and(|every| span / every > WINDOWS_MAX)
}
