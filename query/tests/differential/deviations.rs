//! Where an answer may differ from influxd 1.6.7: the table of docs/influxql.md as predicates.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use plimsoll_engine::Timestamp;
use plimsoll_query::ast::{Expr, Fill, Select, Source, Statement};
use plimsoll_query::condition::{self, TimeBounds};
use serde_json::Value;

use super::case::{each_select, measurements};

#[path = "deviations/errors.rs"]
mod errors;
#[path = "deviations/names.rs"]
mod names;
#[path = "deviations/neighbours.rs"]
mod neighbours;
#[path = "deviations/numbers.rs"]
mod numbers;
#[path = "deviations/rewritten.rs"]
mod rewritten;
#[path = "deviations/rows.rs"]
mod rows;
#[path = "deviations/subqueries.rs"]
mod subqueries;

pub use errors::forgets_an_error;
pub use names::comes_in_unmarked_pieces;
pub use numbers::without_numbers;

use errors::has_empty_column;
use names::without_empty_tags;
use numbers::MATHEMATICS;

/// Two results of one statement that are not equal.
pub struct Difference<'a> {
    pub statement: &'a Statement,
    pub ours: &'a Value,
    pub theirs: &'a Value,
    /// Our result for another statement: where a deviation can be said as one, theirs has to equal
    /// it.
    pub instead: &'a dyn Fn(&Statement) -> Value,
}

impl Difference<'_> {
    /// Whether neither side refuses the statement.
    fn is_of_rows(&self) -> bool {
        error(self.ours).is_empty() && error(self.theirs).is_empty()
    }

    /// Our result for the statement with its SELECT changed.
    fn with(&self, change: &dyn Fn(&mut Select)) -> Option<Value> {
        let Statement::Select(select) = self.statement else {
            return None;
        };
        let mut select = select.clone();
        change(&mut select);
        Some((self.instead)(&Statement::Select(select)))
    }
}

type Deviation = (&'static str, fn(&Difference<'_>) -> bool);

const DEVIATIONS: &[Deviation] = &[
    ("internal names", errors::internal_names),
    ("three digits", errors::three_digits),
    ("write limits", names::write_limits),
    ("no window before", no_window_before),
    ("ties", ties),
    ("first of ties", rows::first_of_ties),
    ("rows of subqueries", subqueries::rows_of_subqueries),
    ("neighbours of ties", neighbours_of_ties),
    ("digits of mathematics", numbers::digits_of_mathematics),
    ("offset without limit", rewritten::offset_without_limit),
    ("mathematics over a subquery", rewritten::mathematics),
    ("abs of integers", rewritten::abs_of_integers),
    (
        "series that a subquery leaves out",
        rewritten::slimit_of_subquery,
    ),
    ("series of a subquery", subqueries::series_of_subquery),
    ("inexact sums", numbers::inexact_sums),
    ("names of other shards", names::names_of_other_shards),
    ("order of integrals", order_of_integrals),
    (
        "a type where there is no point",
        errors::type_without_points,
    ),
    ("limit of ties", limit_of_ties),
    ("top() from the end", rows::top_from_the_end),
    ("a limit on what top() reads", rows::limit_of_top),
    ("top() by a field", rows::top_by_field),
    (
        "top() by a tag that a subquery hides",
        rows::top_by_hidden_tag,
    ),
    ("equally frequent", rows::mode_of_ties),
    ("equal values", rows::percentile_of_equals),
    ("rows before the range", subqueries::rows_before_the_range),
    ("forecasts behind the range", rows::behind_the_range),
    ("a percentile that is none", percentile_of_none),
    ("distinct from the end", distinct_from_the_end),
    ("series by shard", names::series_by_shard),
    ("tags of SHOW", names::or_of_missing_tags),
    ("a type that nothing is read of", errors::unread_type),
    ("series without rows", series_without_rows),
    ("one measurement twice", neighbours::same_measurement_twice),
    (
        "neighbours in a subquery's rows",
        neighbours::over_unordered_rows,
    ),
    (
        "an offset of a window that is not read",
        errors::unread_offset,
    ),
    (
        "a source without the argument",
        subqueries::source_without_argument,
    ),
    ("order of sums", numbers::order_of_sums),
];

/// Deviations of whole bodies.
const OF_BODIES: [&str; 3] = ["not finite", "influxd panics", "an error before others"];

/// The names of all that can be met by one request for a whole answer.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEVIATIONS.iter().map(|(name, _)| *name).chain(OF_BODIES)
}

/// The deviation that explains a difference.
pub fn name(difference: &Difference<'_>) -> Option<&'static str> {
    let find = |difference: &Difference<'_>| {
        let mut all = DEVIATIONS.iter();
        let found = all.find(|(_, explains)| explains(difference));
        found.map(|(name, _)| *name)
    };
    find(difference).or_else(|| {
        // Another one beside the tags of other shards.
        let instead = |statement: &Statement| without_empty_tags(&(difference.instead)(statement));
        let (ours, theirs) = (
            without_empty_tags(difference.ours),
            without_empty_tags(difference.theirs),
        );
        find(&Difference {
            statement: difference.statement,
            ours: &ours,
            theirs: &theirs,
            instead: &instead,
        })
    })
}

/// The deviation that explains a difference of whole bodies: influxd lost its way, or a number that is not finite breaks
/// theirs, or a piece of it, and is null in ours.
pub fn of_request(ours: &str, theirs: &str) -> Option<&'static str> {
    if theirs.contains(" [panic:runtime error: ") {
        return Some("influxd panics");
    }
    let is_broken = |line: &str| line.contains("unsupported value: ") && !line.starts_with('{');
    if !theirs.lines().any(is_broken) {
        return None;
    }
    if ours.lines().count() != theirs.lines().count() {
        // Its only piece is broken, and of ours there are more.
        let is_all = theirs.lines().count() == 1 && ours.contains("null");
        return is_all.then_some("not finite");
    }
    let sizes = |line: &str| {
        (
            line.matches("],[").count(),
            line.contains("\"partial\":true"),
        )
    };
    let mut pieces = ours.lines().zip(theirs.lines());
    pieces
        .all(|(ours, theirs)| {
            if is_broken(theirs) {
                ours.contains("null")
            } else {
                sizes(ours) == sizes(theirs)
            }
        })
        .then_some("not finite")
}

fn error(result: &Value) -> &str {
    result["error"].as_str().unwrap_or_default()
}

/// A WHERE without its times, and their bounds; none where it makes no sense.
fn split(select: &Select) -> Option<(Option<Expr>, TimeBounds)> {
    condition::split(select.condition.as_ref(), Timestamp(0), &TimeZone::UTC).ok()
}

/// Before the earliest time there is no window: influxd's sum wraps, and it answers nothing.
fn no_window_before(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let is_open = split(select).is_some_and(|(_, bounds)| bounds.start.is_none());
        let reads_before = |select: &Select| {
            let mut fields = select.fields.iter();
            fields.any(|field| has_nested_call(&field.expr) || is_over_points(&field.expr))
        };
        has |= is_open && reads_before(select);
    });
    let (ours, theirs) = (error(difference.ours), error(difference.theirs));
    if !theirs.is_empty() {
        // No shard lies in a range that wrapped: fields have no types there.
        let types = regex::Regex::new("::(float|integer|string|boolean|unsigned)").unwrap();
        return has && types.replace_all(ours, "") == types.replace_all(theirs, "");
    }
    // Beside another call its cells are empty.
    let is_beside = matches!(difference.statement, Statement::Select(_))
        && times(difference.ours) == times(difference.theirs);
    let mut has_several = false;
    selects(difference.statement, &mut |select| {
        has_several |= select.fields.len() > 1
    });
    has && (difference.theirs.get("series").is_none() || (has_several && is_beside))
}

fn has_nested_call(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => match call.arguments.first() {
            Some(Expr::Call(_)) => call.name != "count",
            _ => false,
        },
        Expr::Binary { left, right, .. } => has_nested_call(left) || has_nested_call(right),
        Expr::Paren(inner) => has_nested_call(inner),
        _ => false,
    }
}

const NEIGHBOURS: &[&str] = &[
    "derivative",
    "non_negative_derivative",
    "difference",
    "non_negative_difference",
    "cumulative_sum",
    "moving_average",
    "elapsed",
    "integral",
];

/// A function of neighbours, or fill(previous) of rows, over series that have points at one time, where
/// the order of these is a heap's there: times are the same, values are not.
fn neighbours_of_ties(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let reads_ties = measurements(select)
            .iter()
            .any(|measurement| measurement.has_ties);
        let mut fields = select.fields.iter();
        let fills = select.fill == Fill::Previous && !plimsoll_query::check::has_call(select);
        has |= reads_ties && (fills || fields.any(|field| is_over_points(&field.expr)));
    });
    has && times(difference.ours) == times(difference.theirs)
}

fn is_over_points(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => match call.arguments.first() {
            Some(Expr::Reference(_) | Expr::Wildcard(_) | Expr::Regex(_)) => {
                NEIGHBOURS.contains(&call.name.as_str())
            }
            Some(inner) => is_over_points(inner),
            None => false,
        },
        Expr::Binary { left, right, .. } => is_over_points(left) || is_over_points(right),
        Expr::Paren(inner) => is_over_points(inner),
        _ => false,
    }
}

/// A result with the times of its rows only.
fn times(result: &Value) -> Value {
    let mut times = result.clone();
    if let Some(series) = times.get_mut("series").and_then(Value::as_array_mut) {
        for series in series {
            if let Some(rows) = series.get_mut("values").and_then(Value::as_array_mut) {
                rows.iter_mut().for_each(|row| *row = row[0].take());
            }
        }
    }
    times
}

/// Whether an expression calls one of these functions.
fn calls(expr: &Expr, names: &[&str]) -> bool {
    match expr {
        Expr::Call(call) => {
            names.contains(&call.name.as_str()) || call.arguments.iter().any(|a| calls(a, names))
        }
        Expr::Binary { left, right, .. } => calls(left, names) || calls(right, names),
        Expr::Paren(inner) => calls(inner, names),
        _ => false,
    }
}

/// integral() GROUP BY: influxd answers the last window of each series in random order, as a series
/// of its own.
fn order_of_integrals(difference: &Difference<'_>) -> bool {
    let (mut has, mut is_joined) = (false, false);
    selects(difference.statement, &mut |select| {
        let mut fields = select.fields.iter();
        let groups = !select.dimensions.is_empty();
        if !groups || !fields.any(|field| calls(&field.expr, &["integral"])) {
            return;
        }
        has = true;
        let is_alone = select.fields.len() == 1
            && matches!(&select.fields[0].expr, Expr::Call(call)
                if matches!(call.arguments.first(), Some(Expr::Reference(_))));
        is_joined |= !is_alone;
    });
    if !has || !difference.is_of_rows() {
        return false;
    }
    let (ours, theirs) = (
        rows::by_tags(difference.ours),
        rows::by_tags(difference.theirs),
    );
    // What stands beside an integral is joined with the series that comes by chance: the series
    // and columns are the same.
    if is_joined {
        return theirs.keys().all(|series| ours.contains_key(series));
    }
    // Of points of one time it takes one after the other by chance, too.
    let has_ties = matches!(difference.statement, Statement::Select(select)
        if measurements(select).iter().any(|known| known.has_ties));
    let sizes = |rows: &BTreeMap<String, Vec<String>>| -> Vec<(String, usize)> {
        let sizes = rows
            .iter()
            .map(|(series, rows)| (series.clone(), rows.len()));
        sizes.collect()
    };
    if has_ties && sizes(&ours) == sizes(&theirs) {
        return true;
    }
    let is_cut = matches!(difference.statement, Statement::Select(select)
        if select.limit > 0 || select.offset > 0);
    if is_cut {
        let all = difference.with(&|select| (select.limit, select.offset) = (0, 0));
        return all.is_some_and(|all| {
            let there = rows::by_tags(&all);
            let has_all = theirs.keys().all(|series| there.contains_key(series));
            rows::are_some_of(difference.theirs, &all) || (has_ties && has_all)
        });
    }
    let is_nested = matches!(difference.statement, Statement::Select(select)
        if select.sources.iter().any(|source| matches!(source, Source::Subquery(_))));
    ours == theirs || (is_nested && ours.keys().eq(theirs.keys()))
}

/// What LIMIT and OFFSET cut off of rows of one time.
fn limit_of_ties(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let reads_ties = measurements(select)
            .iter()
            .any(|measurement| measurement.has_ties);
        has |= reads_ties && (select.limit > 0 || select.offset > 0);
    });
    if !has || times(difference.ours) != times(difference.theirs) {
        return false;
    }
    // The rows are some of those of their times.
    let all = difference.with(&|select| (select.limit, select.offset) = (0, 0));
    let is_flat = matches!(difference.statement, Statement::Select(select)
        if select.sources.iter().all(|source| matches!(source, Source::Measurement(_))));
    !is_flat || all.is_some_and(|all| rows::are_some_of(difference.theirs, &all))
}

/// percentile() by windows: influxd ends at the first window that has none. Its rows are among ours.
fn percentile_of_none(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        let mut dimensions = select.dimensions.iter();
        let is_windowed = dimensions.any(|dimension| matches!(dimension.expr, Expr::Call(_)));
        let mut fields = select.fields.iter();
        has |= is_windowed && fields.any(|field| calls(&field.expr, &["percentile"]));
    });
    let is_alone = matches!(difference.statement, Statement::Select(select)
        if select.fields.len() == 1
            && select.sources.iter().all(|source| matches!(source, Source::Measurement(_))));
    let count = |result: &Value| rows::by_tags(result).values().map(Vec::len).sum::<usize>();
    has && difference.is_of_rows()
        && if is_alone {
            rows::are_some_of(difference.theirs, difference.ours)
        } else {
            count(difference.theirs) <= count(difference.ours)
        }
}

/// SLIMIT and SOFFSET: there they count series without rows, too, and in each shard by themselves. Its
/// rows are among those that there are without them.
fn series_without_rows(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    if select.slimit == 0 || !difference.is_of_rows() {
        return false;
    }
    let all = difference.with(&|select| {
        (select.slimit, select.soffset) = (0, 0);
        (select.limit, select.offset) = (0, 0);
    });
    let is_computed = plimsoll_query::check::has_call(select);
    all.is_some_and(|all| rows::are_of_series_of(difference.theirs, &all, is_computed))
}

/// distinct() in a descending query: 1.6.7 reads from the start, the newest line from the end.
fn distinct_from_the_end(difference: &Difference<'_>) -> bool {
    let mut has = false;
    selects(difference.statement, &mut |select| {
        has |= select
            .fields
            .iter()
            .any(|field| calls(&field.expr, &["distinct"]));
    });
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    has && !select.is_ascending() && times(difference.ours) == times(difference.theirs)
}

fn selects<'a>(statement: &'a Statement, visit: &mut dyn FnMut(&'a Select)) {
    if let Statement::Select(select) | Statement::Explain { select, .. } = statement {
        each_select(select, visit);
    }
}

fn ties(difference: &Difference<'_>) -> bool {
    let Statement::Select(select) = difference.statement else {
        return false;
    };
    let mut all = measurements(select).into_iter();
    // Sources that read the same points have ties, too.
    if select.sources.len() < 2 && !all.any(|measurement| measurement.has_ties) {
        return false;
    }
    // Of points of one time and value top() chooses one: what stands beside it is that one's.
    let chooses = |field: &plimsoll_query::ast::Field| calls(&field.expr, &["top", "bottom"]);
    if select.fields.iter().any(chooses) && difference.is_of_rows() {
        let (ours, theirs) = (
            rows::chosen(difference.ours),
            rows::chosen(difference.theirs),
        );
        return rows::by_tags(&ours) == rows::by_tags(&theirs);
    }
    same_but_for_order(difference)
}

fn same_but_for_order(difference: &Difference<'_>) -> bool {
    let (mut ours, mut theirs) = (difference.ours.clone(), difference.theirs.clone());
    sort_ties(&mut ours);
    sort_ties(&mut theirs);
    ours == theirs
}

/// Sorts rows of one time by their text.
fn sort_ties(result: &mut Value) {
    let Some(series) = result.get_mut("series").and_then(Value::as_array_mut) else {
        return;
    };
    for series in series {
        if let Some(rows) = series.get_mut("values").and_then(Value::as_array_mut) {
            rows.sort_by_cached_key(|row| (row[0].to_string(), row.to_string()));
        }
    }
}

/// Whether two results have the same rows in the same columns.
fn same(a: &Value, b: &Value) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    sort_ties(&mut a);
    sort_ties(&mut b);
    a["series"] == b["series"]
}
