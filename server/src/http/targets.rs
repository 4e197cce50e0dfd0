//! `/targets`: what each target gives, what is kept of it, and what is dropped and why; a page for
//! people, or JSON.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use plimsoll_query::json::{Epoch, write_cell};
use plimsoll_query::rows::Cell;
use serde_json::{Value, json};

use super::identity::Identity;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use crate::app::{App, DATABASE};
use crate::collect::Seen;

const STYLE: &str = "body{font:14px sans-serif;margin:1em}table{border-collapse:collapse}\
                     td,th{border:1px solid #ccc;padding:2px 8px;text-align:left;vertical-align:top}\
                     .n{text-align:right}.down{background:#fdd}";

type Targets = Vec<(String, Arc<Seen>)>;

/// All targets; one of them, with its series, where `target=` names it. JSON where `format=json` or
/// `Accept` asks for it. For those who may read what the targets are written into.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Err((status, text)) = identity.may_read(&app, DATABASE) {
        return reply::error(status, &text, Layout::Compact);
    }
    let parameters = Parameters::of_address(query.as_deref());
    let named = parameters.value("target");
    let mut targets = app.targets.all();
    if !named.is_empty() {
        targets.retain(|(name, _)| name == named);
        if targets.is_empty() {
            let text = format!("no target is called {named:?}: /targets names all");
            return reply::error(StatusCode::NOT_FOUND, &text, Layout::Compact);
        }
    }
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let wants_json = match parameters.value("format") {
        "" => accept.is_some_and(|accept| accept.contains("json")),
        format => format == "json",
    };
    if wants_json {
        let kind = "application/json; charset=utf-8";
        let body = format!("{}\n", in_json(&targets, !named.is_empty()));
        return reply::with_type(StatusCode::OK, kind, Body::from(body));
    }
    let page = match targets.first() {
        Some((name, seen)) if !named.is_empty() => page_of(name, seen),
        _ => page(&targets),
    };
    reply::with_type(StatusCode::OK, "text/html; charset=utf-8", Body::from(page))
}

fn in_json(targets: &Targets, with_series: bool) -> Value {
    let targets = targets.iter().map(|(name, seen)| {
        let mut target = json!({
            "target": name,
            "up": seen.is_up,
            "time": time(seen),
            "took_ms": ms(seen.took),
            "late_ms": ms(seen.late),
            "missed": seen.missed.sum(),
            "missed_by": {
                "turn": seen.missed.turn,
                "answer": seen.missed.answer,
                "write": seen.missed.write,
            },
            "points": seen.points,
            "kept": seen.kept,
            "dropped": seen.dropped,
            "problems": seen.problems,
        });
        if with_series {
            let series = seen.series.iter();
            target["series"] = series
                .map(|(name, count)| (name.to_string(), json!(count)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        target
    });
    json!({ "targets": targets.collect::<Vec<_>>() })
}

fn page(targets: &Targets) -> String {
    let up = targets.iter().filter(|(_, seen)| seen.is_up).count();
    let mut out = head("Targets");
    put(
        &mut out,
        format_args!(
            "<h1>Targets</h1><p>{up} of {} are well. <a href=\"?format=json\">JSON</a></p>\
             <table><tr><th>target<th>read<th>took, ms<th>late, ms<th>points<th>values kept\
             <th>values dropped<th>problems",
            targets.len()
        ),
    );
    for (name, seen) in targets {
        let class = if seen.is_up { "" } else { " class=down" };
        let address: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        put(
            &mut out,
            format_args!(
                "<tr{class}><td><a href=\"?target={address}\">{}</a><td>{}<td class=n>{:.0}\
                 <td class=n>{:.0}<td class=n>{}<td class=n>{}<td class=n>{}<td>{}",
                escaped(name),
                time(seen),
                ms(seen.took),
                ms(seen.late),
                seen.points,
                seen.kept,
                seen.dropped.values().sum::<usize>(),
                problems(seen)
            ),
        );
    }
    out.push_str("</table>");
    out
}

fn page_of(name: &str, seen: &Seen) -> String {
    let mut out = head(name);
    put(
        &mut out,
        format_args!(
            "<p><a href=\"?\">All targets</a></p><h1>{}</h1><p>Read at {} in {:.1} ms; {} points; {} \
             scrapes were left out since the start ({} behind one that waited for its turn, {} behind \
             one whose answer took too long, {} behind one that waited to be written).</p><p>{}</p><h2>Dropped</h2><table><tr><th>values\
             <th>why",
            escaped(name),
            time(seen),
            ms(seen.took),
            seen.points,
            seen.missed.sum(),
            seen.missed.turn,
            seen.missed.answer,
            seen.missed.write,
            problems(seen)
        ),
    );
    for (reason, count) in &seen.dropped {
        put(
            &mut out,
            format_args!("<tr><td class=n>{count}<td>{reason}"),
        );
    }
    out.push_str("</table><h2>Kept</h2><table><tr><th>points<th>series");
    for (series, count) in &seen.series {
        put(
            &mut out,
            format_args!("<tr><td class=n>{count}<td>{}", escaped(series)),
        );
    }
    out.push_str("</table>");
    out
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><title>{} - Plimsoll</title><style>{STYLE}</style>",
        escaped(title)
    )
}

fn problems(seen: &Seen) -> String {
    let problems: Vec<String> = seen.problems.iter().map(|text| escaped(text)).collect();
    problems.join("<br>")
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a text takes everything");
}

/// Names and problems hold what targets say.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn time(seen: &Seen) -> String {
    let mut quoted = Vec::new();
    write_cell(&Cell::Time(seen.time.0), Epoch::Rfc3339, None, &mut quoted);
    String::from_utf8_lossy(&quoted)
        .trim_matches('"')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_say_is_escaped() {
        let seen = Seen {
            problems: vec!["<script>alert('1')</script>".to_owned()],
            series: [("a<b".into(), 1)].into(),
            ..Seen::default()
        };
        let name = "http://h/\"><img>".to_owned();
        let targets = vec![(name.clone(), Arc::new(seen.clone()))];
        for page in [page(&targets), page_of(&name, &seen)] {
            assert!(
                !page.contains("<script>") && !page.contains("<img>") && !page.contains("a<b"),
                "{page}"
            );
            assert!(page.contains("&lt;script&gt;"), "{page}");
        }
        let json = in_json(&targets, true);
        assert_eq!(json["targets"][0]["series"]["a<b"], 1);
        assert_eq!(json["targets"][0]["target"], name);
    }
}
