//! What a bad target costs the others, and what one puller remembers from scrape to scrape.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::Shared;
use super::super::pull::Puller;
use super::*;

const OTHER: &str = "container_memory_rss{id=\"/docker/b\",name=\"b\"} 3\n";

#[tokio::test]
async fn a_token_that_rotates_is_sent_with_the_next_scrape_of_the_same_client() {
    let pages = [
        ("/metrics/cadvisor", 200, METRICS),
        ("/stats/summary", 200, SUMMARY),
    ];
    let server = Server::start(None, &pages).await;
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    let target = server.kubelet("http", Some(token.clone()));
    let shared = Arc::new(Shared::new(Options::default(), clock()));
    let mut puller = Puller::new(&target, shared).unwrap();
    for text in ["first", "second"] {
        std::fs::write(&token, text).unwrap();
        let before = server.requests().len();
        puller.pull(Instant::now()).await;
        let requests = server.requests();
        let sent = format!("authorization: Bearer {text}\r\n");
        assert!(requests.len() > before);
        assert!(requests[before..].iter().all(|head| head.contains(&sent)));
    }
}

#[tokio::test]
async fn no_more_targets_are_asked_at_a_time_than_are_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked_now, asked_most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let held = (
        Arc::clone(&asked_now),
        Arc::clone(&asked_most),
        Arc::clone(&gate),
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (now, most, gate) = held.clone();
            let arrived = arrived.clone();
            tokio::spawn(async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                arrived.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
                let pages = BTreeMap::from([("/metrics", (200, OTHER.to_owned()))]);
                answer(stream, &Mutex::default(), &Mutex::new(pages)).await;
            });
        }
    });
    let options = Options {
        concurrent_max: 2,
        ..Options::default()
    };
    let shared = Arc::new(Shared::new(options, clock()));
    let mut pulls = JoinSet::new();
    for _ in 0..6 {
        let target = Target::Cadvisor { url: url.clone() };
        let mut puller = Puller::new(&target, Arc::clone(&shared)).unwrap();
        pulls.spawn(async move { puller.pull(Instant::now()).await });
    }
    for _ in 0..2 {
        arrivals.recv().await.unwrap();
    }
    assert_eq!(shared.flights.available_permits(), 0);
    // One more comes for each that is answered.
    for _ in 0..4 {
        gate.add_permits(1);
        arrivals.recv().await.unwrap();
    }
    gate.add_permits(2);
    while let Some(scraped) = pulls.join_next().await {
        assert_eq!(text(&scraped.unwrap()), "");
    }
    assert_eq!(asked_most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_named_and_costs_no_other_target_anything() {
    let huge = "x".repeat(20 << 10);
    let rows = |count: usize| -> String {
        let row = |n| format!("container_memory_rss{{id=\"/docker/{n}\",name=\"n{n}\"}} 1\n");
        (0..count).map(row).collect()
    };
    let options = Options {
        scrape_body_bytes_max: 64 << 10,
        scrape_series_max: 20,
        ..Options::default()
    };
    let shared = Arc::new(Shared::new(options, clock()));
    let well = Server::start(None, &[("/metrics", 200, OTHER)]).await;
    let mut well = Puller::new(&well.cadvisor(), Arc::clone(&shared)).unwrap();
    for (page, expected, kept) in [
        (
            "x".repeat(65 << 10),
            "the answer is longer than max_scrape_size, 65536 bytes",
            0,
        ),
        (
            rows(21),
            "its answer holds 21 points, and max_scrape_series is 20: none was kept",
            0,
        ),
        (
            format!(
                "{}container_memory_rss{{id=\"/docker/c\",name=\"{huge}\"}} 1\n",
                rows(2)
            ),
            "",
            2,
        ),
    ] {
        let bad = Server::start(None, &[("/metrics", 200, &page)]).await;
        let mut bad = Puller::new(&bad.cadvisor(), Arc::clone(&shared)).unwrap();
        let (bad, well) = tokio::join!(bad.pull(Instant::now()), well.pull(Instant::now()));
        assert!(text(&bad).ends_with(expected), "{}", text(&bad));
        let values = shown(&bad).into_iter();
        let values = values.filter(|value| value.starts_with("memory/rss"));
        assert_eq!(values.count(), kept, "{expected}");
        if kept > 0 {
            assert_eq!(bad.dropped.get("tags too long"), Some(&1));
            let rejected = shown(&bad);
            assert!(
                rejected
                    .iter()
                    .any(|row| row.starts_with("scrape/rejected_gauge") && row.ends_with(" 1"))
            );
        }
        assert_eq!(text(&well), "");
        assert_eq!(shown(&well)[0], "memory/rss_bytes_gauge b 3");
    }
}

#[tokio::test]
async fn a_target_whose_clock_is_off_is_told_of_and_keeps_its_times() {
    const NOW_MS: i64 = 2_000_000_000_000;
    for (off_ms, expected) in [
        (0, None),
        (-60_000, None),
        (3_600_000, Some("ahead")),
        (-3_600_000, Some("behind")),
    ] {
        let time_ms = NOW_MS + off_ms;
        let page = format!("container_memory_rss{{id=\"/docker/b\",name=\"b\"}} 3 {time_ms}\n");
        let server = Server::start(None, &[("/metrics", 200, &page)]).await;
        let scraped = scrape(server.cadvisor()).await;
        assert!(scraped.is_up());
        let times: Vec<i64> = scraped.batch.points().map(|point| point.time.0).collect();
        assert_eq!(times[0], time_ms * 1_000_000);
        // What is said of the target itself has this machine's time.
        assert_eq!(times[1], NOW_MS * 1_000_000);
        let warnings = scraped.warnings.join("\n");
        match expected {
            None => assert_eq!(warnings, ""),
            Some(expected) => assert!(warnings.contains(expected), "{warnings}"),
        }
    }
}
