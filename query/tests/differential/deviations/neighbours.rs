//! Deviations of functions of neighbours: whose neighbour a point is.

use plimsoll_query::ast::{Expr, Select, Source, Statement};
use serde_json::Value;

use super::{Difference, calls, is_over_points, rows, selects};

/// A function of neighbours over a measurement that FROM names twice: there the points of the second
/// come behind those of the first. Series and columns are the same.
pub fn same_measurement_twice(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let mut names: Vec<String> = select.sources.iter().map(ToString::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        let mut fields = select.fields.iter();
        has |= names.len() < count && fields.any(|field| is_over_points(&field.expr));
    });
    let theirs = rows::by_tags(difference.theirs);
    if !has || !difference.is_of_rows() {
        return false;
    }
    // Behind an OFFSET some series have no rows left on one side.
    let all = difference.with(&|select| (select.limit, select.offset) = (0, 0));
    let is_cut = matches!(difference.statement, Statement::Select(select)
        if select.limit > 0 || select.offset > 0);
    match all.filter(|_| is_cut) {
        Some(all) => {
            let all = rows::by_tags(&all);
            theirs.keys().all(|series| all.contains_key(series))
        }
        None => rows::by_tags(difference.ours).keys().eq(theirs.keys()),
    }
}

/// A function of neighbours, or integral(), over a subquery that groups by tags: there its rows come
/// series by series, in whatever order of time. There are as many rows.
pub fn over_unordered_rows(difference: &Difference<'_>) -> bool {
    let groups = |select: &Select| {
        let mut dimensions = select.dimensions.iter();
        dimensions.any(|dimension| !matches!(dimension.expr, Expr::Call(_)))
    };
    let (mut has, mut has_area) = (false, false);
    selects(difference.statement, &mut |select| {
        let reads_groups = select.sources.iter().any(|source| match source {
            Source::Subquery(inner) => groups(inner),
            Source::Measurement(_) => false,
        });
        let calls_it = |names: &[&str]| select.fields.iter().any(|f| calls(&f.expr, names));
        has |= reads_groups
            && select
                .fields
                .iter()
                .any(|field| is_over_points(&field.expr));
        has_area |= reads_groups && calls_it(&["integral"]);
    });
    if has_area && difference.is_of_rows() {
        // Where an area ends, and so whether there is a row, depends on the order, too.
        let theirs = rows::columns(difference.theirs);
        return theirs.is_none_or(|theirs| rows::columns(difference.ours) == Some(theirs));
    }
    let counts = |result: &Value| {
        let series = rows::by_tags(result).into_iter();
        series
            .map(|(key, rows)| (key, rows.len()))
            .collect::<Vec<_>>()
    };
    has && difference.is_of_rows() && counts(difference.ours) == counts(difference.theirs)
}
