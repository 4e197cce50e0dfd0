//! The files of deploy/ agree with each other and with the code: every path, port, host name and
//! variable that one of them names is there.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const COMPOSE: &str = "deploy/compose/docker-compose.yml";

fn services() -> serde_json::Map<String, Value> {
    yaml(COMPOSE)["services"]
        .as_object()
        .expect("compose has services")
        .clone()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        Value::Number(number) => vec![number.to_string()],
        _ => Vec::new(),
    }
}

/// The ports a service listens on, by what the files say of it.
fn ports_of(name: &str) -> BTreeSet<String> {
    let service = &services()[name];
    let published = texts(&service["ports"]);
    let mut ports: BTreeSet<String> = published
        .iter()
        .filter_map(|port| port.rsplit(':').next())
        .map(str::to_owned)
        .collect();
    ports.extend(texts(&service["expose"]));
    ports
}

#[test]
fn urls_between_services_name_a_service_and_a_port_it_listens_on() {
    let services = services();
    let mut checked = 0;
    for (name, service) in &services {
        for text in texts(&service["command"])
            .into_iter()
            .chain(texts(&service["environment"]))
        {
            let Some(rest) = text.strip_prefix("http://") else {
                continue;
            };
            let (host, port) = rest.split_once(':').expect("a URL here names its port");
            assert!(
                services.contains_key(host),
                "{name}: {text}: no service {host}"
            );
            assert!(
                ports_of(host).contains(port),
                "{name}: {host} does not listen on {port}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 2, "cAdvisor's and Plimsoll's URL are there");
}

#[test]
fn health_checks_ask_a_port_of_their_own_service_and_dependencies_have_one() {
    for (name, service) in services() {
        let test = texts(&service["healthcheck"]["test"]);
        assert_eq!(
            test.first().map(String::as_str),
            Some("CMD"),
            "{name}: no shell is assumed"
        );
        for text in &test {
            if let Some((_, rest)) = text.split_once("127.0.0.1:") {
                let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
                assert!(
                    ports_of(&name).contains(&port),
                    "{name}: health check asks {port}"
                );
            }
        }
        let Some(needs) = service["depends_on"].as_object() else {
            continue;
        };
        for (needed, how) in needs {
            assert_eq!(how["condition"], "service_healthy");
            assert!(
                services()[needed]["healthcheck"].is_object(),
                "{needed} has a health check"
            );
        }
    }
}

#[test]
fn mounted_files_and_named_volumes_exist() {
    let declared = yaml(COMPOSE)["volumes"]
        .as_object()
        .expect("volumes")
        .clone();
    for (name, service) in services() {
        for mount in texts(&service["volumes"]) {
            let source = mount.split(':').next().expect("a mount has a source");
            if let Some(relative) = source.strip_prefix("./") {
                let path = root().join("deploy/compose").join(relative);
                assert!(path.exists(), "{name}: {} is not there", path.display());
            } else if !source.starts_with('/') {
                assert!(
                    declared.contains_key(source),
                    "{name}: volume {source} is not declared"
                );
            }
        }
    }
}

#[test]
fn published_ports_are_on_loopback_only() {
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name}: {port} is open to the network"
            );
        }
    }
}

#[test]
fn plimsoll_runs_without_root_and_with_a_read_only_root() {
    let plimsoll = &services()["plimsoll"];
    assert_eq!(plimsoll["read_only"], true);
    assert_eq!(plimsoll["user"], "65532:65532");
    assert_eq!(texts(&plimsoll["cap_drop"]), ["ALL"]);
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.lines().any(|line| line == "USER 65532:65532"));
    assert!(dockerfile.lines().any(|line| line == "FROM scratch"));
}

#[test]
fn the_image_is_built_of_files_that_exist_and_agrees_with_compose() {
    let build = &services()["plimsoll"]["build"];
    let context = root()
        .join("deploy/compose")
        .join(build["context"].as_str().expect("context"));
    let dockerfile = build["dockerfile"].as_str().expect("dockerfile");
    assert!(context.join(dockerfile).exists());
    let text = read("deploy/Dockerfile");
    for line in text
        .lines()
        .filter(|l| l.starts_with("COPY ") && !l.contains("--from="))
    {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        for source in &words[..words.len() - 1] {
            assert!(
                context.join(source).exists(),
                "COPY {source}: it is not there"
            );
        }
    }
    let exposed = text
        .lines()
        .find_map(|l| l.strip_prefix("EXPOSE "))
        .expect("EXPOSE");
    assert!(ports_of("plimsoll").contains(exposed.trim()));
    assert!(text.contains(&format!("PLIMSOLL_LISTEN=0.0.0.0:{}", exposed.trim())));
    let data = texts(&services()["plimsoll"]["volumes"]);
    assert!(text.contains("VOLUME [\"/data\"]") && data[0].ends_with(":/data"));
    for entry in read(".dockerignore")
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
    {
        assert!(
            context.join(entry).exists(),
            ".dockerignore lets in {entry}: it is not there"
        );
    }
}

#[test]
fn every_variable_is_defined_or_has_a_default() {
    let compose = read(COMPOSE);
    for part in compose.split("${").skip(1) {
        let variable = part.split('}').next().expect("closed");
        assert!(variable.contains(":-"), "${{{variable}}} has no default");
    }
    let source = yaml("deploy/compose/grafana/provisioning/datasources/plimsoll.yml");
    let environment = services()["grafana"]["environment"]
        .as_object()
        .expect("object")
        .clone();
    for text in texts(&source) {
        if let Some(name) = text.strip_prefix('$') {
            assert!(
                environment.contains_key(name),
                "${name} is not set for Grafana"
            );
        }
    }
}

#[test]
fn flags_in_the_files_are_flags_of_the_binary() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["serve", "--help"])
        .output()
        .expect("the binary runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for flag in texts(&services()["plimsoll"]["command"])
        .iter()
        .filter(|t| t.starts_with("--"))
    {
        assert!(help.contains(flag.as_str()), "serve has no {flag}");
    }
    let commands = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .arg("--help")
        .output()
        .expect("the binary runs");
    assert!(
        String::from_utf8_lossy(&commands.stdout).contains("ping"),
        "the health check's command"
    );
}

#[test]
fn grafana_is_provisioned_with_a_data_source_and_the_dashboards_folder() {
    let source =
        &yaml("deploy/compose/grafana/provisioning/datasources/plimsoll.yml")["datasources"][0];
    assert_eq!(
        (&source["type"], &source["uid"]),
        (&"influxdb".into(), &"plimsoll".into())
    );
    assert_eq!(source["jsonData"]["dbName"], "k8s");
    assert_eq!(source["jsonData"]["httpMode"], "GET");
    let provider =
        &yaml("deploy/compose/grafana/provisioning/dashboards/plimsoll.yml")["providers"][0];
    let path = provider["options"]["path"].as_str().expect("path");
    let mounts = texts(&services()["grafana"]["volumes"]);
    assert!(
        mounts
            .iter()
            .any(|mount| mount.split(':').nth(1) == Some(path)),
        "{path} is mounted"
    );
}

#[test]
fn every_query_of_the_dashboard_asks_the_provisioned_source_and_parses() {
    let text = read("deploy/compose/grafana/dashboards/containers.json");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert_eq!(panel["datasource"]["uid"], "plimsoll");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "plimsoll");
            queries.push(target["query"].as_str().expect("query").to_owned());
        }
    }
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(variable["datasource"]["uid"], "plimsoll");
    queries.push(variable["query"].as_str().expect("query").to_owned());
    assert!(queries.len() > 10);
    for query in queries {
        let expanded = query
            .replace("$timeFilter", "time >= now() - 15m")
            .replace("$__interval", "10s")
            .replace("$container", "(a|b)");
        let parsed = plimsoll_query::parse(&expanded, &plimsoll_query::Params::default());
        assert!(
            parsed.is_ok(),
            "{expanded}: {}",
            parsed.expect_err("it is not ok")
        );
    }
}
