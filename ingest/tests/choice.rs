//! A choice of metrics leaves those series out of every page, counts them, and changes nothing else.

use std::path::Path;

use plimsoll_engine::{Batch, Timestamp};
use plimsoll_ingest::cadvisor::{self, Images, Source};
use plimsoll_ingest::choice::{Choice, NOT_CHOSEN, SeriesSet};
use plimsoll_ingest::kubelet::{self, Pages, Payloads, PodList, Summary};
use plimsoll_ingest::names::{Mapped, Place, Series};
use plimsoll_ingest::profile::{Aliases, Profile};
use plimsoll_ingest::rest;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

/// What is kept, and what is dropped of that.
const CHOICES: [(&[&str], &[&str]); 6] = [
    (&["@heapster-v0"], &[]),
    (&["@heapster-v1"], &["*inodes*"]),
    (&["network/*"], &[]),
    (&["disk/*", "restart_count*", "uptime*"], &[]),
    (
        &[],
        &["filesystem/*", "*_limit*", "cpu/limit_gauge", "pressure/*"],
    ),
    (&["nothing"], &[]),
];

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(FOLDER).join(name)).expect("it lies there")
}

/// Every point, in words.
fn lines(batch: &Batch, set: SeriesSet) -> Vec<String> {
    let is_in = |name: &str| Series::of_name(name).is_some_and(|series| set.has(series));
    let mut lines: Vec<String> = batch
        .points()
        .filter(|point| is_in(&batch.names()[point.measurement as usize]))
        .map(|point| {
            format!(
                "{} {} {:?} {}",
                batch.names()[point.measurement as usize],
                batch.tag_sets()[point.tag_set as usize],
                point.fields[0].1,
                point.time.0
            )
        })
        .collect();
    lines.sort();
    lines
}

/// Compares what a page gives with a choice with what of all it gives is chosen.
fn compare(page: &str, map: &dyn Fn(SeriesSet) -> Mapped) {
    let all = map(SeriesSet::ALL);
    assert!(
        all.kept > 0 && !all.dropped.contains_key(NOT_CHOSEN),
        "{page}"
    );
    for (keep, drop) in CHOICES {
        let choice = Choice::parse(keep.iter().copied(), drop.iter().copied()).expect("entries");
        let wanted = choice.wanted(Profile::Classic, Aliases::None);
        let some = map(wanted);
        let case = format!("{page} {choice:?}");
        assert_eq!(
            lines(&some.batch, SeriesSet::ALL),
            lines(&all.batch, wanted),
            "{case}"
        );
        let mut dropped = some.dropped.clone();
        let not_chosen = dropped.remove(NOT_CHOSEN).unwrap_or(0);
        assert_eq!(dropped, all.dropped, "{case}");
        assert_eq!(some.kept + not_chosen, all.kept, "{case}");
        if keep == ["nothing"] {
            // Of a machine's memory two metrics speak, and one value comes of it.
            assert!(some.kept <= 1 && some.batch.is_empty(), "{case}");
        }
    }
}

#[test]
fn what_is_chosen_is_the_same_whatever_else_is_left_out() {
    if !Path::new(FOLDER).exists() {
        println!(
            "SKIPPED what_is_chosen_is_the_same_whatever_else_is_left_out ../shared/data is not there"
        );
        return;
    }
    let place = Place {
        cluster_name: "default".to_owned(),
        nodename: "n".to_owned(),
        hostname: "n".to_owned(),
    };
    for version in ["1.31", "1.34", "1.35"] {
        let [cadvisor, summary, pods] = ["metrics-cadvisor", "stats-summary", "pods"]
            .map(|page| read(&format!("kubelet/k8s-{version}-{page}")));
        let summary = Summary::parse(summary.as_bytes()).unwrap();
        let pods = PodList::parse(pods.as_bytes()).unwrap();
        for pages in [Pages::Full, Pages::Summary] {
            let payloads = Payloads {
                summary: Some(&summary),
                cadvisor: (pages == Pages::Full).then_some(&cadvisor),
                pods: Some(&pods),
            };
            compare(&format!("{version} {pages:?}"), &|wanted| {
                let options = kubelet::Options {
                    place: &place,
                    label_tags: &[],
                    wanted,
                    now: NOW,
                    pages,
                };
                kubelet::map(payloads, options, &mut Images::default()).0
            });
        }
    }
    let light = read("kubelet/eks-metrics-resource");
    compare("resource", &|wanted| {
        let options = kubelet::Options {
            place: &place,
            label_tags: &[],
            wanted,
            now: NOW,
            pages: Pages::Resource,
        };
        let payloads = Payloads {
            summary: None,
            cadvisor: Some(&light),
            pods: None,
        };
        kubelet::map(payloads, options, &mut Images::default()).0
    });
    let options = |source, wanted| cadvisor::Options {
        source,
        place: &place,
        label_tags: &[],
        wanted,
        now: NOW,
    };
    for (name, source) in [
        ("kubelet/k8s-1.16-metrics-cadvisor", Source::Kubelet),
        ("cadvisor/prometheus_metrics.prom", Source::Standalone),
    ] {
        let text = read(name);
        compare(name, &|wanted| {
            cadvisor::map(&text, options(source, wanted), &mut Images::default()).0
        });
    }
    for name in ["api_v1_docker_2018.json", "api_v1_kubelet_system_2016.json"] {
        let text = read(&format!("cadvisor/{name}"));
        compare(name, &|wanted| {
            let options = options(Source::Standalone, wanted);
            rest::map_v1(text.as_bytes(), options).unwrap().0
        });
    }
}
