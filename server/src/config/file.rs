//! Settings from a TOML file.

use std::path::Path;

use super::layer::Layer;

/// Reads the settings out of the file at `path`.
///
/// # Errors
/// A line that names the file, and the line in it where there is one.
pub fn read_file(path: &Path) -> Result<Layer, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    parse(&text).map_err(|(line, message)| format!("{}:{line}: {message}", path.display()))
}

/// The settings in `text`, or the line of the error, from 1, and its message.
fn parse(text: &str) -> Result<Layer, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = error.message().replace("unknown field", "unknown key");
        (line, message.lines().collect::<Vec<_>>().join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let (line, message) =
            parse("listen = \"127.0.0.1:1\"\n\nintervall = \"1s\"\n").unwrap_err();
        assert_eq!(line, 3);
        assert!(
            message.starts_with("unknown key `intervall`, expected one of `data`"),
            "{message}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        for (text, line, part) in [
            (
                "data = \"d\"\ninterval = \"soon\"",
                2,
                "`soon` is not a duration",
            ),
            (
                "cadvisor = [\n \"http://a\",\n \"b\"]",
                3,
                "`b` is not an address",
            ),
            (
                "metrics_keep = [\n \"cpu/*\",\n \"@heapstr\"]",
                3,
                "`@heapstr` is no list of metrics",
            ),
            ("a = ", 1, ""),
            ("cgroup = \"no\"", 1, "invalid type"),
        ] {
            let (found, message) = parse(text).unwrap_err();
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(part), "{message}");
        }
    }
}
