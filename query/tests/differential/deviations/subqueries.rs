//! Deviations of what a query makes of the rows of a subquery.

use plimsoll_query::ast::{Expr, Fill, Select, Source};
use serde_json::Value;

use super::{
    Difference, calls, error, rewritten, rows, same_but_for_order, selects, split, without_numbers,
};

/// Rows of a subquery that groups by tags, and not by time: 1.6.7 answers series after series, the
/// newest line and we by time.
pub fn rows_of_subqueries(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select.sources.iter().any(|source| match source {
            Source::Subquery(inner) => !inner.dimensions.is_empty(),
            Source::Measurement(_) => false,
        });
    });
    has && same_but_for_order(difference)
}

/// LIMIT, OFFSET and fill() of a subquery that groups by tags: there they start again whenever the
/// rows of its series take turns; so are the rows of several functions joined as they come. Columns are the same; where the query around it computes nothing,
/// its rows are some of those that there are without them.
pub fn series_of_subquery(difference: &Difference<'_>) -> bool {
    let (mut has, mut is_cut_only) = (false, true);
    selects(difference.statement, &mut |select| {
        let outer_groups = !select.dimensions.is_empty();
        for source in &select.sources {
            let Source::Subquery(inner) = source else {
                continue;
            };
            let mut all = inner.dimensions.iter();
            let has_tags = all.any(|dimension| !matches!(dimension.expr, Expr::Call(_)));
            let is_cut = inner.limit > 0 || inner.offset > 0;
            let is_filled = !matches!(inner.fill, Fill::Null | Fill::None);
            let has_several = inner.fields.len() > 1 && plimsoll_query::check::has_call(inner);
            let by_cut = is_cut && (has_tags || outer_groups);
            // What LIMIT and OFFSET around it cut off comes series by series, too.
            let chooses =
                |field: &plimsoll_query::ast::Field| calls(&field.expr, &["top", "bottom"]);
            let is_outer_cut = select.limit > 0 || select.offset > 0;
            let by_cut = by_cut || (is_outer_cut && has_tags && inner.fields.iter().any(chooses));
            let by_rest = (is_filled && (has_tags || outer_groups)) || (has_several && has_tags);
            has |= by_cut || by_rest;
            is_cut_only &= !by_rest;
        }
        is_cut_only &= !plimsoll_query::check::has_call(select);
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    if !is_cut_only {
        return rows::columns(difference.ours).is_none_or(|ours| {
            rows::columns(difference.theirs).is_none_or(|theirs| ours == theirs)
        });
    }
    let all = difference.with(&|select| {
        rewritten::each(select, &mut |select| (select.limit, select.offset) = (0, 0));
    });
    all.is_some_and(|all| rows::are_some_of(difference.theirs, &all))
}

/// Rows of a subquery whose window began before the range of the query around it, or of its
/// integral(), which stand at 1970: there a function without windows answers nothing then. So does
/// count() of distinct()'s, in a range that ends before.
pub fn rows_before_the_range(difference: &Difference<'_>) -> bool {
    fn begins_before(select: &Select) -> bool {
        let mut dimensions = select.dimensions.iter();
        let mut fields = select.fields.iter();
        dimensions.any(|dimension| matches!(dimension.expr, Expr::Call(_)))
            || fields.any(|field| calls(&field.expr, &["integral"]))
            || has_below(select)
    }
    fn has_below(select: &Select) -> bool {
        select.sources.iter().any(|source| match source {
            Source::Subquery(inner) => begins_before(inner),
            Source::Measurement(_) => false,
        })
    }
    let (mut has, mut counts) = (false, false);
    selects(difference.statement, &mut |select| {
        let mut dimensions = select.dimensions.iter();
        let is_windowed = dimensions.any(|dimension| matches!(dimension.expr, Expr::Call(_)));
        has |= has_below(select) && !is_windowed && plimsoll_query::check::has_call(select);
        let mut fields = select.fields.iter();
        counts |= !is_windowed
            && ends_before_1970(select)
            && fields.any(|field| calls(&field.expr, &["distinct"]));
    });
    let is_nothing = difference.theirs.get("series").is_none();
    error(difference.theirs).is_empty()
        && ((has || counts) && is_nothing || counts && has_columns_of_nulls(difference))
}

fn ends_before_1970(select: &Select) -> bool {
    split(select).is_some_and(|(_, bounds)| bounds.end.is_some_and(|end| end < 0))
}

/// A call over several sources of which a subquery lacks its argument: influxd drops all of them. Of
/// several calls the others' columns are as ours; where a number fills in, it stands for what is dropped.
pub fn source_without_argument(difference: &Difference<'_>) -> bool {
    let (mut has, mut is_filled) = (false, false);
    selects(difference.statement, &mut |select| {
        let has_subquery = select
            .sources
            .iter()
            .any(|source| matches!(source, Source::Subquery(_)));
        has |= select.sources.len() > 1 && has_subquery && plimsoll_query::check::has_call(select);
        is_filled |= has && matches!(select.fill, Fill::Number(_));
    });
    let is_nothing = difference.theirs.get("series").is_none();
    let is_as_long = without_numbers(difference.ours) == without_numbers(difference.theirs);
    has && error(difference.theirs).is_empty()
        && (is_nothing
            || has_columns_of_nulls(difference)
            || (is_filled && is_as_long)
            || without_null_rows(difference.ours) == without_null_rows(difference.theirs))
}

/// A result without the rows that hold nothing but a time.
fn without_null_rows(result: &Value) -> Value {
    let mut result = result.clone();
    for series in result["series"].as_array_mut().into_iter().flatten() {
        if let Some(rows) = series["values"].as_array_mut() {
            rows.retain(|row| {
                let cells = row.as_array().into_iter().flatten();
                cells.skip(1).any(|cell| !cell.is_null())
            });
        }
    }
    if let Some(series) = result["series"].as_array_mut() {
        series.retain(|series| {
            series["values"]
                .as_array()
                .is_none_or(|rows| !rows.is_empty())
        });
    }
    result
}

/// Whether theirs is ours with nothing but nulls in some columns.
fn has_columns_of_nulls(difference: &Difference<'_>) -> bool {
    let mut ours = difference.ours.clone();
    for (at, series) in ours["series"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let theirs = &difference.theirs["series"][at]["values"];
        let theirs = theirs.as_array().map_or(&[][..], Vec::as_slice);
        let count = series["columns"].as_array().map_or(0, Vec::len);
        let is_null = |column: &usize| theirs.iter().all(|row| row[*column].is_null());
        let nulls: Vec<usize> = (0..count).filter(is_null).collect();
        for row in series["values"].as_array_mut().into_iter().flatten() {
            nulls
                .iter()
                .for_each(|column| row[*column] = serde_json::Value::Null);
        }
    }
    ours == *difference.theirs
}
