//! `plimsoll query`: one query to a server, its answer as a table or as JSON.

use clap::{Args, ValueEnum};
use form_urlencoded::Serializer;
use reqwest::Method;
use serde_json::Value;

use super::client::{Login, ask, server};
use super::print;
use crate::app::DATABASE;
use crate::config::{Duration, Parsed};
use crate::exit::{Code, Failure};

/// Options of `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// InfluxQL, several statements with `;` between them
    query: String,
    /// The server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086")]
    url: String,
    #[command(flatten)]
    login: Login,
    /// The database
    #[arg(long, value_name = "NAME", default_value = DATABASE)]
    database: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    timeout: Parsed<Duration>,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Asks `/query` and prints.
///
/// # Errors
/// No answer, or an error in it.
pub fn run(args: &QueryArgs) -> Result<(), Failure> {
    let form = Serializer::new(String::new())
        .append_pair("q", &args.query)
        .append_pair("db", &args.database)
        .finish();
    let url = &server(&args.url)?;
    let (status, body) = ask(
        url,
        &args.login,
        Method::POST,
        "/query",
        Some(form),
        args.timeout.0.0,
    )?;
    let no_json = format!("{url}/query answered {status} and no JSON");
    for part in shown(&body, args.format, &no_json)? {
        print(&part);
    }
    Ok(())
}

/// An answer as it is printed.
///
/// # Errors
/// What the answer says is wrong, or `no_json`.
pub(super) fn shown(body: &[u8], format: Format, no_json: &str) -> Result<Vec<String>, Failure> {
    let failed = |text: &str| Failure::new(Code::Failed, text.to_owned());
    let answer: Value = serde_json::from_slice(body).map_err(|_| failed(no_json))?;
    if let Some(error) = answer["error"].as_str() {
        return Err(failed(error));
    }
    let mut parts = Vec::new();
    if format == Format::Json {
        parts.push(String::from_utf8_lossy(body).trim_end().to_owned());
    }
    for result in answer["results"].as_array().into_iter().flatten() {
        if let Some(error) = result["error"].as_str() {
            return Err(failed(error));
        }
        if format == Format::Table {
            let series = result["series"].as_array().into_iter().flatten();
            parts.extend(series.map(table));
        }
    }
    Ok(parts)
}

/// A series as a table: its name and tags, the columns, the rows.
fn table(series: &Value) -> String {
    let mut title = series["name"].as_str().unwrap_or_default().to_owned();
    for (key, value) in series["tags"].as_object().into_iter().flatten() {
        title.push_str(&format!(" {key}={}", cell(value)));
    }
    let row = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(cell).collect()
    };
    let mut rows = vec![row(&series["columns"])];
    rows.extend(series["values"].as_array().into_iter().flatten().map(row));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    let lines: Vec<String> = std::iter::once(title)
        .filter(|t| !t.is_empty())
        .chain(lines)
        .collect();
    format!("{}\n", lines.join("\n"))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_a_title_a_head_and_aligned_rows() {
        let series = serde_json::json!({
            "name": "cpu", "tags": {"host": "a"}, "columns": ["time", "v"],
            "values": [["t1", 1], ["t10", null]],
        });
        assert_eq!(table(&series), "cpu host=a\ntime  v\nt1    1\nt10\n");
    }
}
