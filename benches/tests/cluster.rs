//! A simulated cluster, found by its API and scraped into an engine: what is stored is what the
//! nodes said, and the dashboards that Heapster shipped show it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_benches::cluster::model::{Health, Shape};
use plimsoll_benches::cluster::{Cluster, Pace};
use plimsoll_benches::store::{DATABASE, Store};
use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{Durability, Timestamp};
use plimsoll_ingest::discover::{Api, Discovery, KubeletAccess, Nodes};
use plimsoll_ingest::kubelet::Pages;
use plimsoll_ingest::profile::{Aliases, Naming, Profile};
use plimsoll_ingest::scrape::{Options, Scraped, Sources, Target, once, spawn};
use plimsoll_query::exec::{Cancel, Collect, Context, Limits, execute};
use plimsoll_query::{Params, parse};
use tokio::sync::{mpsc, watch};

/// How often each node is scraped before the test looks.
const SCRAPES: usize = 5;

/// Scrapes `shape` until each node that answers was read often enough; gone nodes are left out.
async fn collect(shape: &Shape, naming: Naming) -> Store {
    let cluster = Cluster::serve(shape.clone(), Pace::Scrape, 0)
        .await
        .unwrap();
    let store = Store::new(Durability::None);
    let is_classic = naming.profile == Profile::Classic;
    let nodes = Nodes {
        scheme: "http".to_owned(),
        ..Nodes::new(Api::Url(cluster.api_url()), KubeletAccess::default())
    };
    let options = Options {
        interval: Duration::from_millis(200),
        deadline: Duration::from_secs(5),
        naming,
        ..Options::default()
    };
    // It stands still at a time that all samples of the test are near to.
    let now = Timestamp(shape.start.0 + 60_000_000_000);
    let clock = Arc::new(ManualClock::new(now));
    let (sink, mut scrapes) = mpsc::channel(64);
    let (stop, shutdown) = watch::channel(false);
    let sources = Sources {
        targets: Vec::new(),
        discoveries: vec![Discovery::Nodes(nodes)],
    };
    let scrapers = spawn(sources, options, clock, sink, shutdown).unwrap();
    let removed = shape.nodes - 1;
    let well = (0..removed).filter(|node| shape.health(*node) == Health::Well);
    let well = well.count();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // There are no sums in profile `classic`.
    let mut sums = if is_classic { 2 } else { 0 };
    let (mut failed, mut left) = (0, 0);
    // Not all nodes have to come up alike: the last one is taken out when it was seen.
    while counts.values().filter(|count| **count >= SCRAPES).count() < well || sums < 2 {
        let scraped: Scraped = scrapes.recv().await.unwrap();
        store.engine.write(DATABASE, "", &scraped.batch).unwrap();
        if scraped.target.starts_with("sums") {
            sums += 1;
        } else if scraped.is_up() {
            let count = counts.entry(scraped.target).or_default();
            *count += 1;
            if *count == 1 && left == 0 && counts.len() > well / 2 {
                cluster.remove(removed);
                left = 1;
            }
        } else {
            failed += 1;
        }
    }
    assert!(
        failed > 0 || shape.failing_one_in == 0,
        "failing nodes are told of"
    );
    stop.send(true).unwrap();
    scrapers.join().await;
    store
}

/// The rows of an answer.
fn ask(store: &Store, text: &str) -> Vec<Vec<String>> {
    try_ask(store, text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The rows of an answer, or the error's text.
fn try_ask(store: &Store, text: &str) -> Result<Vec<Vec<String>>, String> {
    let snapshot = store.engine.snapshot();
    let (limits, cancel) = (Limits::default(), Cancel::default());
    let context = Context {
        snapshot: &snapshot,
        database: DATABASE,
        policy: "",
        now: Timestamp(1_700_000_600_000_000_000),
        limits: &limits,
        cancel: &cancel,
        chunk_size: None,
        options: plimsoll_query::Options::default(),
    };
    let mut answer = Collect::default();
    let statements = parse(text, &Params::default()).map_err(|error| error.to_string())?;
    for statement in statements {
        execute(&statement, &context, &mut answer).map_err(|error| error.to_string())?;
    }
    let rows = answer.series.iter().flat_map(|series| &series.values);
    let shown = rows.map(|row| row.iter().map(|value| format!("{value:?}")).collect());
    Ok(shown.collect())
}

fn dashboards(test: &str) -> Option<Vec<serde_json::Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let path = Path::new(folder).join("heapster-grafana/queries.json");
    if !path.exists() {
        println!("SKIPPED {test} ../shared/data is not there");
        return None;
    }
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// Asks each panel and each drop-down of dashboards whose file starts with one of `files`;
/// answers those that show nothing.
fn empty_panels(store: &Store, queries: &[serde_json::Value], files: &[&str]) -> Vec<String> {
    let mut empty = Vec::new();
    let mut asked = 0;
    for query in queries {
        let file = query["file"].as_str().unwrap();
        if !files.iter().any(|start| file.starts_with(start)) {
            continue;
        }
        let forms = [
            "verbatim",
            "sent_grafana_2_to_9_frontend",
            "sent_grafana_10_backend",
        ];
        for text in forms.iter().filter_map(|form| query[*form].as_str()) {
            let text = text
                .replace("$timeFilter", "time >= 1700000000s AND time < 1700000600s")
                .replace("$interval", "10s")
                .replace("$namespace", "search")
                .replace("$nodename", "node-0000")
                .replace("$podname", "pod-0000-001-0")
                .replace("$node", "node-0000")
                .replace("$pod", "pod-0000-001-0")
                .replace("$container", "main");
            asked += 1;
            // InfluxDB 0.9 let it pass; every 1.x refuses it with this text, and so is it here.
            if text.contains("derivative(value)") {
                let error = try_ask(store, &text).unwrap_err();
                let expected = "aggregate function required inside the call to derivative";
                assert_eq!(error, expected, "{text}");
                continue;
            }
            let rows = ask(store, &text);
            let has_value = rows
                .iter()
                .any(|row| row.iter().skip(1).any(|v| v != "None"));
            if !has_value {
                empty.push(format!("{file}: {text}"));
            }
        }
    }
    assert!(asked > 20, "{asked} questions");
    empty
}

fn shape() -> Shape {
    Shape {
        failing_one_in: 10,
        slow_one_in: 25,
        ..Shape::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_are_found_scraped_summed_and_shown() {
    let test = "fifty_nodes_are_found_scraped_summed_and_shown";
    let naming = Naming {
        profile: Profile::HeapsterV1,
        ..Naming::default()
    };
    let shape = shape();
    let store = collect(&shape, naming).await;
    // A container's rate is what the model says, to the thousandth of a processor.
    let pod = &shape.pods(0, 1)[1];
    let text = format!(
        "SELECT max(value), min(value) FROM \"cpu/usage_rate\" WHERE pod_name = '{}' AND \
         container_name = 'main'",
        pod.name
    );
    let rows = ask(&store, &text);
    let millis = pod.containers[0].cpu_millis.to_string();
    assert!(
        rows[0][1..].iter().all(|value| value.contains(&millis)),
        "{rows:?} and {millis}"
    );
    // No rate is negative, whatever restarted.
    assert!(
        ask(
            &store,
            "SELECT value FROM \"cpu/usage_rate\" WHERE value < 0"
        )
        .is_empty()
    );
    // Pods in the node's network have none of their own.
    let text = "SELECT value FROM \"network/rx\" WHERE pod_name = 'pod-0000-000-0'";
    assert!(ask(&store, text).is_empty());
    assert!(
        !ask(
            &store,
            "SELECT value FROM \"network/rx\" WHERE pod_name = 'pod-0000-001-0'"
        )
        .is_empty()
    );
    for kind in ["ns", "cluster"] {
        let text = format!("SELECT last(value) FROM \"memory/working_set\" WHERE type = '{kind}'");
        assert!(!ask(&store, &text).is_empty(), "{kind}");
    }
    let text =
        "SHOW TAG VALUES FROM \"uptime\" WITH KEY = \"labels\" WHERE pod_name = 'pod-0000-001-0'";
    assert!(format!("{:?}", ask(&store, text)).contains("app:app-1,tier:search"));
    let Some(queries) = dashboards(test) else {
        return;
    };
    let empty = empty_panels(
        &store,
        &queries,
        &[
            "v1.5.4-cluster",
            "v1.5.4-pods",
            "master-cluster",
            "master-pods",
        ],
    );
    assert!(empty.is_empty(), "{empty:#?}");
}

#[tokio::test]
async fn kubelets_answer_in_tls_under_a_certificate_of_their_own() {
    let shape = Shape {
        nodes: 2,
        ..Shape::default()
    };
    let cluster = Cluster::serve(shape.clone(), Pace::Scrape, 0)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, cluster.certificate_pem()).unwrap();
    for (ca_file, insecure_skip_verify, is_up) in [
        (Some(ca), false, true),
        (None, true, true),
        (None, false, false),
    ] {
        let target = Target::Kubelet {
            url: format!("https://127.1.0.2:{}", cluster.port()),
            token_file: None,
            ca_file,
            insecure_skip_verify,
            pages: Pages::Full,
            node_name: None,
        };
        let clock = Arc::new(ManualClock::new(shape.start));
        let scraped = once(target, Options::default(), clock).await.unwrap();
        assert_eq!(scraped.is_up(), is_up, "{:?}", scraped.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_of_heapster_0_19_show_the_classic_names() {
    let test = "the_dashboards_of_heapster_0_19_show_the_classic_names";
    let Some(queries) = dashboards(test) else {
        return;
    };
    let naming = Naming {
        aliases: Aliases::HeapsterV0,
        ..Naming::default()
    };
    let shape = Shape {
        nodes: 5,
        ..Shape::default()
    };
    let store = collect(&shape, naming).await;
    let empty = empty_panels(&store, &queries, &["v0.19.1"]);
    assert!(empty.is_empty(), "{empty:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_with_fields_show_the_profile_with_fields() {
    let test = "the_dashboards_with_fields_show_the_profile_with_fields";
    let Some(queries) = dashboards(test) else {
        return;
    };
    let naming = Naming {
        profile: Profile::HeapsterV1Fields,
        ..Naming::default()
    };
    let shape = Shape {
        nodes: 5,
        ..Shape::default()
    };
    let store = collect(&shape, naming).await;
    let files = ["v1.5.4-withfields-cluster", "v1.5.4-withfields-pods"];
    let mut empty = empty_panels(&store, &queries, &files);
    // One panel asks for a field that Heapster never wrote.
    empty.retain(|panel| !panel.contains("sum(\"limite\")"));
    assert!(empty.is_empty(), "{empty:#?}");
}
