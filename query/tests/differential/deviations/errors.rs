//! Deviations of what is refused, and in which words.

use plimsoll_query::ast::Source;
use serde_json::Value;

use super::{Difference, error, selects};

/// An error there names types of its program; ours says the same of fields, or what was written.
pub fn internal_names(difference: &Difference<'_>) -> bool {
    let (ours, theirs) = (error(difference.ours), error(difference.theirs));
    let of_fields =
        r"^unsupported [\w ]+ iterator type: \*query\.(string|boolean|float|integer)\w*$";
    let of_fields = regex::Regex::new(of_fields).unwrap();
    if let Some(found) = of_fields.captures(theirs) {
        // Of several calls, here or in a subquery, any may be named.
        let mut has_several = false;
        selects(difference.statement, &mut |select| {
            let mut sources = select.sources.iter();
            has_several |= select.fields.len() > 1
                || sources.any(|source| matches!(source, Source::Subquery(_)));
        });
        let refusal = "() is not supported on a field of type ";
        return ours.ends_with(&format!("{refusal}{}", &found[1]))
            || (has_several && ours.contains(refusal));
    }
    if theirs.contains("[panic:") {
        return !ours.is_empty();
    }
    if !theirs.contains("*influxql.") {
        return false;
    }
    let name = regex::Regex::new(r"\\\*influxql\\\.\w+").unwrap();
    let escaped = regex::escape(theirs);
    let pattern = format!("^{}$", name.replace_all(&escaped, "(?s:.+)"));
    regex::Regex::new(&pattern).unwrap().is_match(ours)
}

/// 1.6.7 forgets the error of a statement that others follow, and the last of these.
pub fn forgets_an_error(ours: &[Value], theirs: &[Value]) -> Option<usize> {
    // What it forgot may be one that is none here, where there is no point of the wrong type.
    if let Some((last, before)) = theirs.split_last()
        && error(last) == "not executed"
        && before.iter().all(|result| error(result).is_empty())
        && ours[..theirs.len().min(ours.len())]
            .iter()
            .all(|result| error(result).is_empty())
        && ours
            .get(before.len())
            .is_some_and(|ours| ours.get("series").is_none())
    {
        return Some(before.len());
    }
    let failed = ours.iter().position(|result| !error(result).is_empty())?;
    let is_so = ours.len() > failed + 1
        && ours[failed + 1..]
            .iter()
            .all(|result| error(result) == "not executed")
        && theirs.len() == failed + 1
        && error(&theirs[failed]) == "not executed";
    is_so.then_some(failed)
}

/// 1.6.7 prints a float of a statement with three digits.
pub fn three_digits(difference: &Difference<'_>) -> bool {
    let (ours, theirs) = (error(difference.ours), error(difference.theirs));
    let number = regex::Regex::new(r"[0-9]+\.[0-9]+").unwrap();
    let cut = number.replace_all(ours, |found: &regex::Captures<'_>| {
        format!("{:.3}", found[0].parse::<f64>().unwrap())
    });
    !ours.is_empty() && cut == theirs
}

/// A function on a field of a type that it does not take, where no series has a point in the range:
/// refused there for what the shard holds outside of it, empty here.
pub fn type_without_points(difference: &Difference<'_>) -> bool {
    let is_nothing = |result: &Value| result.get("series").is_none() || has_empty_column(result);
    let (ours, theirs) = (error(difference.ours), error(difference.theirs));
    // The other way: a shard before the range has a type that would fit, and that goes first there.
    (theirs.starts_with("unsupported ")
        && theirs.contains(" iterator type: *query.")
        && ours.is_empty()
        && is_nothing(difference.ours))
        || (ours.contains("() is not supported on a field of type ")
            && theirs.is_empty()
            && difference.theirs.get("series").is_some()
            && has_empty_column(difference.theirs))
}

/// Whether some column of each series holds nothing.
pub fn has_empty_column(result: &Value) -> bool {
    let mut series = result["series"].as_array().into_iter().flatten();
    series.all(|series| {
        let count = series["columns"].as_array().map_or(0, Vec::len);
        let rows = || series["values"].as_array().into_iter().flatten();
        (1..count).any(|at| rows().all(|row| row[at].is_null()))
    })
}

/// A function on a column whose type it does not take, in a subquery of which only a column without
/// a type is read: influxd does not notice.
pub fn unread_type(difference: &Difference<'_>) -> bool {
    let ours = error(difference.ours);
    let mut is_nested = false;
    selects(difference.statement, &mut |select| {
        let mut sources = select.sources.iter();
        is_nested |= sources.any(|source| matches!(source, Source::Subquery(_)));
    });
    // So with columns whose type is that of a call on one whose own types do not go together.
    (ours.contains("() is not supported on a field of type ")
        || (is_nested && ours.starts_with("type error: ")))
        && error(difference.theirs).is_empty()
        && difference.theirs.get("series").is_none()
}

/// The offset of a window is no duration, in a subquery of which a name is read that comes to nothing
/// (its types do not go together, or it is a tag of other shards): one side refuses what the other
/// does not look at.
pub fn unread_offset(difference: &Difference<'_>) -> bool {
    let refuses = |result: &Value| error(result).starts_with("invalid time dimension offset: ");
    let is_empty = |result: &Value| error(result).is_empty() && result.get("series").is_none();
    // influxd looks at types first.
    let is_of_types = |result: &Value| {
        let error = error(result);
        error.starts_with("type error: ") || error.contains(" iterator type: *query.")
    };
    (refuses(difference.theirs) && is_empty(difference.ours))
        || (refuses(difference.ours) && is_empty(difference.theirs))
        || (refuses(difference.ours) && is_of_types(difference.theirs))
}
