//! Settings from variables `PLIMSOLL_…`.

use super::layer::{Kind, Layer};

const PREFIX: &str = "PLIMSOLL_";
/// Where the configuration file is; not a setting of the file itself.
const CONFIG: &str = "CONFIG";

/// What the environment says.
#[derive(Debug, Default, PartialEq)]
pub struct Environment {
    /// The settings.
    pub layer: Layer,
    /// `PLIMSOLL_CONFIG`.
    pub config: Option<std::path::PathBuf>,
    /// What was wrong, each with its variable.
    pub errors: Vec<String>,
    /// Variables that look like settings and are none.
    pub unknown: Vec<String>,
}

/// Reads the settings out of `variables`. An empty variable is as if absent.
pub fn read_environment(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
    let mut found = Environment::default();
    let mut variables: Vec<_> = variables.into_iter().collect();
    variables.sort();
    for (name, text) in variables {
        let Some(suffix) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if text.is_empty() || is_service_link(suffix) {
            continue;
        }
        if suffix == CONFIG {
            found.config = Some(text.into());
            continue;
        }
        let key = suffix.to_ascii_lowercase();
        let Some((_, kind)) = Layer::KEYS.iter().find(|(known, _)| *known == key) else {
            found.unknown.push(name);
            continue;
        };
        match one(&key, *kind, &text) {
            Ok(layer) => found.layer = layer.over(found.layer),
            Err(error) => found.errors.push(format!("{name}: {error}")),
        }
    }
    found
}

/// Kubernetes and docker give every container of a network that has a service `plimsoll` the
/// variables `PLIMSOLL_SERVICE_HOST`, `PLIMSOLL_PORT`, `PLIMSOLL_PORT_8086_TCP` and more.
fn is_service_link(suffix: &str) -> bool {
    suffix == "PORT"
        || suffix == "NAME"
        || ["SERVICE_", "PORT_", "ENV_"]
            .iter()
            .any(|start| suffix.starts_with(start))
}

fn one(key: &str, kind: Kind, text: &str) -> Result<Layer, String> {
    let value = match kind {
        Kind::Text => match text.parse::<i64>() {
            Ok(number) if key.starts_with("max_") => toml::Value::Integer(number),
            _ => toml::Value::String(text.to_owned()),
        },
        Kind::Flag => toml::Value::Boolean(match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => return Err(format!("`{text}` is none of true and false")),
        }),
        Kind::List => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            toml::Value::Array(
                items
                    .map(|item| toml::Value::String(item.to_owned()))
                    .collect(),
            )
        }
    };
    toml::Table::from_iter([(key.to_owned(), value)])
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        read_environment(
            variables
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
        )
    }

    #[test]
    fn each_kind_of_setting_is_read() {
        let found = read(&[
            ("PLIMSOLL_CADVISOR", "http://a:1, http://b:2"),
            ("PLIMSOLL_CGROUP", "false"),
            ("PLIMSOLL_CONFIG", "x.toml"),
            ("PLIMSOLL_INTERVAL", "1s"),
            ("PLIMSOLL_MAX_SELECT_SERIES", "5"),
            ("PLIMSOLL_MAX_BODY_SIZE", "5"),
            ("HOME", "/"),
        ]);
        assert_eq!(found.errors, Vec::<String>::new());
        assert_eq!(found.layer.cadvisor.map(|urls| urls.len()), Some(2));
        assert_eq!(found.layer.cgroup, Some(false));
        assert_eq!(found.layer.max_select_series, Some(5));
        assert!(found.layer.interval.is_some() && found.layer.max_body_size.is_some());
        assert_eq!(found.config, Some("x.toml".into()));
    }

    #[test]
    fn an_error_names_its_variable() {
        let found = read(&[
            ("PLIMSOLL_INTERVAL", "soon"),
            ("PLIMSOLL_CGROUP", "perhaps"),
            ("PLIMSOLL_METRICS_DROP", "*_errors,/cpu/"),
        ]);
        assert_eq!(
            found.errors,
            [
                "PLIMSOLL_CGROUP: `perhaps` is none of true and false",
                "PLIMSOLL_INTERVAL: `soon` is not a duration such as 500ms, 10s, 1h30m or 30d",
                "PLIMSOLL_METRICS_DROP: `/cpu/` looks like a regular expression, and names are \
                 expected, with `*` for any text and `?` for any character",
            ]
        );
    }

    #[test]
    fn the_links_of_a_kubernetes_service_are_no_settings() {
        let found = read(&[
            ("PLIMSOLL_PORT", "tcp://10.0.0.1:8086"),
            ("PLIMSOLL_PORT_8086_TCP_ADDR", "10.0.0.1"),
            ("PLIMSOLL_SERVICE_HOST", "10.0.0.1"),
            ("PLIMSOLL_INTERVALL", "1s"),
        ]);
        assert_eq!(found.unknown, ["PLIMSOLL_INTERVALL"]);
        assert_eq!((found.layer, found.errors), (Layer::default(), Vec::new()));
    }
}
