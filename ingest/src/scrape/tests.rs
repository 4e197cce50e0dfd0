//! Against servers of this process on the loopback interface.

mod harm;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_engine::clock::ManualClock;
use plimsoll_engine::{FieldValue, Timestamp};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::{Error, Options, Scraped, Target, once, spawn};
use crate::cgroup;
use crate::kubelet::Pages;

const SUMMARY: &str = r#"{"node":{"nodeName":"n1","network":{"time":"2026-01-01T00:00:00Z","rxBytes":5}},
    "pods":[{"podRef":{"name":"p","namespace":"d","uid":"u"},"network":{"time":"2026-01-01T00:00:00Z","rxBytes":7}}]}"#;
const METRICS: &str = "container_memory_rss{id=\"/k/c\",namespace=\"d\",pod=\"p\",container=\"c\",image=\"i\"} 3 1000\n";
const PODS: &str =
    r#"{"items":[{"metadata":{"name":"p","namespace":"d"},"spec":{"hostNetwork":true}}]}"#;

/// A server that answers paths with a status and a body, and notes who asks.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    pages: Arc<Mutex<BTreeMap<&'static str, (u16, String)>>>,
}

impl Server {
    async fn start(tls: Option<TlsAcceptor>, pages: &[(&'static str, u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            pages: Arc::default(),
        };
        for (path, status, body) in pages {
            server.page(path, *status, body);
        }
        let (requests, pages) = (Arc::clone(&server.requests), Arc::clone(&server.pages));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, pages) = (Arc::clone(&requests), Arc::clone(&pages));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, &requests, &pages).await,
                        // A client that refuses the certificate ends here.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &requests, &pages).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    fn page(&self, path: &'static str, status: u16, body: &str) {
        let page = (status, body.to_owned());
        self.pages.lock().unwrap().insert(path, page);
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn cadvisor(&self) -> Target {
        Target::Cadvisor {
            url: format!("http://me:secret@127.0.0.1:{}", self.port),
        }
    }

    fn kubelet(&self, scheme: &str, token_file: Option<PathBuf>) -> Target {
        Target::Kubelet {
            url: format!("{scheme}://127.0.0.1:{}", self.port),
            token_file,
            ca_file: None,
            insecure_skip_verify: false,
            pages: Pages::Full,
            node_name: None,
        }
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: &Mutex<Vec<String>>,
    pages: &Mutex<BTreeMap<&'static str, (u16, String)>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    requests.lock().unwrap().push(head);
    let page = pages.lock().unwrap().get(path.as_str()).cloned();
    let (status, body) = page.unwrap_or((404, String::new()));
    if status == 0 {
        // A server that takes a request and never answers it.
        std::future::pending::<()>().await;
    }
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have gone already, at its limit.
    stream.write_all(text.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp(2_000_000_000_000_000_000)))
}

async fn scrape(target: Target) -> Scraped {
    once(target, Options::default(), clock()).await.unwrap()
}

/// `measurement tag-of-interest value` of each point, without what changes.
fn shown(scraped: &Scraped) -> Vec<String> {
    let batch = &scraped.batch;
    batch
        .points()
        .filter_map(|point| {
            let name = &batch.names()[point.measurement as usize];
            let tags = &batch.tag_sets()[point.tag_set as usize];
            let FieldValue::Integer(value) = point.fields[0].1 else {
                panic!("{name} is an integer");
            };
            let of = ["container_name", "pod_name", "target"]
                .iter()
                .find_map(|key| tags.value(key))
                .unwrap_or_default();
            (&**name != "scrape/duration_ns_gauge").then(|| format!("{name} {of} {value}"))
        })
        .collect()
}

fn text(scraped: &Scraped) -> String {
    let texts: Vec<String> = scraped.errors.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

#[tokio::test]
async fn a_cadvisor_is_scraped_with_series_about_the_scrape() {
    let metrics = "container_memory_rss{id=\"/system.slice/a.service\"} 3 1000\nbad{\n";
    let server = Server::start(None, &[("/metrics", 200, metrics)]).await;
    let scraped = scrape(server.cadvisor()).await;
    let target = format!("http://127.0.0.1:{}/metrics", server.port);
    assert_eq!(scraped.target, target);
    assert_eq!(
        shown(&scraped),
        [
            "memory/rss_bytes_gauge a.service 3".to_owned(),
            format!("scrape/up_gauge {target} 1"),
            format!("scrape/samples_gauge {target} 1"),
            format!("scrape/rejected_gauge {target} 1"),
        ]
    );
    assert!(scraped.warnings[0].ends_with(
        "1 lines do not parse, the first: line 2: its labels are not of the form {name=\"value\",…}"
    ));
    // The URL's credentials go to the target and nowhere else.
    assert!(server.requests()[0].contains("authorization: Basic bWU6c2VjcmV0"));
    assert!(!format!("{scraped:?}").contains("secret"));
}

#[tokio::test]
async fn a_kubelets_pages_are_joined_under_the_name_that_its_summary_gives() {
    let pages = [
        ("/metrics/cadvisor", 200, METRICS),
        ("/stats/summary", 200, SUMMARY),
        ("/pods", 200, PODS),
    ];
    let server = Server::start(None, &pages).await;
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let target = server.kubelet("http", Some(token.clone()));
    let scraped = scrape(target.clone()).await;
    assert_eq!(text(&scraped), "");
    let url = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(
        shown(&scraped),
        [
            "memory/rss_bytes_gauge c 3".to_owned(),
            "network/rx_bytes_cumulative machine 5".to_owned(),
            format!("scrape/up_gauge {url} 1"),
            format!("scrape/samples_gauge {url} 2"),
            format!("scrape/rejected_gauge {url} 0"),
        ]
    );
    let batch = &scraped.batch;
    assert_eq!(batch.tag_sets()[0].value("nodename").as_deref(), Some("n1"));
    // A token that rotates is read anew.
    std::fs::write(&token, "second").unwrap();
    scrape(target).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 6);
    assert!(
        requests[..3]
            .iter()
            .all(|head| head.contains("authorization: Bearer first\r\n"))
    );
    assert!(
        requests[3..]
            .iter()
            .all(|head| head.contains("authorization: Bearer second\r\n"))
    );
}

#[tokio::test]
async fn a_refusal_names_the_missing_rule_and_the_rest_is_kept() {
    let pages = [
        ("/metrics/cadvisor", 403, ""),
        ("/stats/summary", 200, SUMMARY),
        ("/pods", 403, ""),
    ];
    let server = Server::start(None, &pages).await;
    let scraped = scrape(server.kubelet("http", None)).await;
    let metrics = format!("http://127.0.0.1:{}/metrics/cadvisor", server.port);
    let expected = format!(
        "{metrics}: 403 Forbidden: the account's role lacks the rule: resources: [\"nodes/metrics\"], verbs: [\"get\"]"
    );
    assert_eq!(text(&scraped), expected);
    assert!(
        scraped.warnings[0].contains("nodes/pods"),
        "{:?}",
        scraped.warnings
    );
    let shown = shown(&scraped);
    assert_eq!(shown[0], "network/rx_bytes_cumulative machine 5");
    assert!(shown[2].starts_with("scrape/up_gauge") && shown[2].ends_with(" 0"));
}

#[tokio::test]
async fn every_failure_says_what_is_wrong() {
    let server = Server::start(None, &[]).await;
    for (status, body, expected) in [
        (
            401,
            "",
            "401 Unauthorized: it wants a token, and no token file is given",
        ),
        (500, "", ": 500 Internal Server Error"),
        (302, "", ": 302 Found"),
        (
            200,
            "<html></html>",
            "its answer holds no metric of a container",
        ),
        (200, "up 1\n", "(1 samples of others, 0 lines"),
    ] {
        server.page("/metrics", status, body);
        let scraped = scrape(server.cadvisor()).await;
        assert!(text(&scraped).contains(expected), "{}", text(&scraped));
        assert!(!text(&scraped).contains("secret"));
        assert!(!scraped.is_up());
    }
    server.page("/stats/summary", 403, "");
    server.page("/metrics/cadvisor", 200, METRICS);
    let scraped = scrape(server.kubelet("http", None)).await;
    assert!(text(&scraped).contains("nodes/stats"), "{}", text(&scraped));
    assert!(matches!(scraped.errors[1], Error::NodeUnknown { .. }));
    server.page("/stats/summary", 200, "{}");
    let scraped = scrape(server.kubelet("http", None)).await;
    assert!(text(&scraped).contains("/stats/summary: missing field `node`"));
    let missing = server.kubelet("http", Some("no-such-token".into()));
    let scraped = scrape(missing).await;
    assert!(text(&scraped).starts_with("cannot read the token no-such-token: "));
    // Nothing listens on a port that was just given back.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let scraped = scrape(Target::Cadvisor { url }).await;
    assert!(
        text(&scraped).ends_with("(nothing listens there)"),
        "{}",
        text(&scraped)
    );
}

#[tokio::test]
async fn answers_that_are_too_long_or_too_late_are_given_up() {
    let server = Server::start(None, &[("/metrics", 200, &"x".repeat(2_000))]).await;
    let options = Options {
        scrape_body_bytes_max: 1_000,
        deadline: Duration::from_millis(50),
        ..Options::default()
    };
    let scraped = once(server.cadvisor(), options.clone(), clock())
        .await
        .unwrap();
    assert!(matches!(
        scraped.errors[0],
        Error::BodyTooLong { limit: 1_000, .. }
    ));
    assert!(text(&scraped).contains("max_scrape_size"));
    server.page("/metrics", 0, "");
    let scraped = once(server.cadvisor(), options, clock()).await.unwrap();
    assert!(text(&scraped).ends_with("no answer within the deadline of 50 ms"));
}

/// A server's certificate that it signed itself, and the file that holds it.
fn self_signed(folder: &TempDir, name: &str) -> (TlsAcceptor, PathBuf) {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, key.cert.pem()).unwrap();
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), path)
}

#[tokio::test]
async fn a_self_signed_certificate_needs_its_file_or_no_verification() {
    let folder = TempDir::new().unwrap();
    let (tls, own) = self_signed(&folder, "own.pem");
    let (_, other) = self_signed(&folder, "other.pem");
    let pages = [
        ("/metrics/cadvisor", 200, METRICS),
        ("/stats/summary", 200, SUMMARY),
    ];
    let server = Server::start(Some(tls), &pages).await;
    for (ca_file, insecure_skip_verify, is_up) in [
        (Some(own), false, true),
        (None, true, true),
        (Some(other), false, false),
    ] {
        let target = Target::Kubelet {
            url: format!("https://127.0.0.1:{}", server.port),
            token_file: None,
            ca_file: ca_file.clone(),
            insecure_skip_verify,
            pages: Pages::Full,
            node_name: None,
        };
        let scraped = scrape(target).await;
        assert_eq!(scraped.is_up(), is_up, "{ca_file:?}: {}", text(&scraped));
        if !is_up {
            assert!(text(&scraped).contains("a Kubelet signs its own certificate"));
        }
    }
}

#[tokio::test]
async fn a_file_of_certificates_that_holds_none_is_refused_at_the_start() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for (file, expected) in [
        (empty, "holds no certificate in PEM form"),
        (
            folder.path().join("gone.pem"),
            "cannot read the certificates",
        ),
    ] {
        let target = Target::Kubelet {
            url: "n1".to_owned(),
            token_file: None,
            ca_file: Some(file),
            insecure_skip_verify: false,
            pages: Pages::Full,
            node_name: None,
        };
        let error = once(target, Options::default(), clock()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn targets_are_scraped_again_and_again_until_told_to_stop() {
    let server = Server::start(
        None,
        &[("/metrics", 200, "container_memory_rss{id=\"/\"} 3\n")],
    )
    .await;
    let folder = TempDir::new().unwrap();
    let paths = cgroup::Paths {
        cgroup: folder.path().join("cgroup"),
        proc: folder.path().join("proc"),
        ..cgroup::Paths::default()
    };
    let options = Options {
        interval: Duration::from_millis(5),
        ..Options::default()
    };
    let (sink, mut scrapes) = mpsc::channel(1);
    let (stop, shutdown) = watch::channel(false);
    let targets = vec![server.cadvisor(), Target::Cgroups { paths }];
    let scrapers = spawn(targets, options, clock(), sink, shutdown).unwrap();
    let mut counts = BTreeMap::new();
    while counts.len() < 2 || counts.values().any(|count| *count < 3) {
        let scraped: Scraped = scrapes.recv().await.unwrap();
        assert_eq!(text(&scraped), "");
        *counts.entry(scraped.target).or_insert(0) += 1;
    }
    assert!(counts.contains_key("cgroups"));
    stop.send(true).unwrap();
    // Every task ends, even one that waits for room in the channel.
    scrapers.join().await;
    while scrapes.recv().await.is_some() {}
}

#[tokio::test]
async fn tasks_end_when_nobody_receives_or_the_stop_is_gone() {
    for drops_receiver in [true, false] {
        let server = Server::start(None, &[("/metrics", 200, "")]).await;
        let options = Options {
            interval: Duration::from_millis(1),
            ..Options::default()
        };
        let (sink, scrapes) = mpsc::channel(1);
        let (stop, shutdown) = watch::channel(false);
        let scrapers = spawn(vec![server.cadvisor()], options, clock(), sink, shutdown).unwrap();
        let (mut kept_scrapes, mut kept_stop) = (Some(scrapes), Some(stop));
        match drops_receiver {
            true => drop(kept_scrapes.take()),
            false => drop(kept_stop.take()),
        }
        scrapers.join().await;
        drop((kept_scrapes, kept_stop));
    }
}

#[tokio::test]
async fn a_target_that_makes_no_sense_starts_nothing() {
    let (sink, _scrapes) = mpsc::channel(1);
    let (_stop, shutdown) = watch::channel(false);
    let bad = Target::Cadvisor {
        url: "http://h:10255".to_owned(),
    };
    let error = spawn(vec![bad], Options::default(), clock(), sink, shutdown).unwrap_err();
    assert!(matches!(error, Error::Gone { .. }));
}
