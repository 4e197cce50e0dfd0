//! What is remembered between scrapes, and what becomes of it when pods go, move or are not read.

use super::*;
use crate::choice::Choice;
use crate::names::{Place, Pod, Subject, Writer};
use crate::profile::ClusterSums;

const SECOND: i64 = 1_000_000_000;
const INTERVAL_S: i64 = 10;
/// How many intervals a row that is not seen is remembered.
const INTERVALS_KEPT: usize = 30;

fn naming(choice: Choice) -> Arc<Naming> {
    Arc::new(Naming {
        profile: Profile::HeapsterV1,
        choice: Arc::new(choice),
        ..Naming::default()
    })
}

fn shaper() -> Shaper {
    Shaper::new(naming(Choice::default()))
}

/// A scrape of a node whose pods have one container each: ns of processor time by pod.
fn scrape(node: &str, seconds: i64, pods: &[(&str, i64)]) -> Batch {
    let place = Place {
        cluster_name: "default".to_owned(),
        nodename: node.to_owned(),
        hostname: node.to_owned(),
    };
    let mut writer = Writer::new();
    let time = Timestamp(seconds * SECOND);
    let machine = writer.tag_set(&place.tags(Subject::Node, &[]));
    writer.value(Series::CpuUsage, machine, time, seconds * SECOND);
    for (name, cpu_ns) in pods {
        let pod = Pod {
            namespace: "shop",
            name,
            uid: "",
        };
        let subject = Subject::PodContainer {
            pod,
            name: "main",
            image: "",
        };
        let row = writer.tag_set(&place.tags(subject, &[]));
        writer.value(Series::CpuUsage, row, time, *cpu_ns);
        writer.value(Series::MemoryUsage, row, time, 100);
    }
    writer.finish()
}

/// The values of a series on rows of a level, by pod or container.
fn values(batch: &Batch, series: &str, level: &str) -> Vec<(String, FieldValue)> {
    let mut found = Vec::new();
    for point in batch.points() {
        let tags = &batch.tag_sets()[point.tag_set as usize];
        if &*batch.names()[point.measurement as usize] == series
            && tags.value("type").as_deref() == Some(level)
        {
            let of = tags.value("pod_name").unwrap_or_default().into_owned();
            found.push((of, point.fields[0].1.clone()));
        }
    }
    found
}

fn millis(pod: &str, value: i64) -> Vec<(String, FieldValue)> {
    vec![(pod.to_owned(), FieldValue::Integer(value))]
}

const _: () = assert!(30 * INTERVAL_S * SECOND == AGE_NS_MAX);

#[test]
fn rows_of_pods_that_are_gone_are_forgotten_and_those_of_the_others_are_not() {
    let mut shaper = shaper();
    shaper.shape(scrape("n1", 0, &[("a", 0), ("b", 0)]), Timestamp(0));
    assert_eq!(shaper.rows.len(), 3, "the node and two containers");
    for at in 1..=INTERVALS_KEPT + 2 {
        let seconds = i64::try_from(at).unwrap() * INTERVAL_S;
        let one = scrape("n1", seconds, &[("a", seconds * SECOND / 2)]);
        let shaped = shaper.shape(one, Timestamp(seconds * SECOND));
        assert_eq!(
            values(&shaped.batch, "cpu/usage_rate", "pod"),
            millis("a", 500)
        );
        let expected = if at <= INTERVALS_KEPT { 3 } else { 2 };
        assert_eq!(shaper.rows.len(), expected, "after {at} intervals");
    }
    let counters = shaper.rows.values().map(|row| row.counters.len());
    assert_eq!(
        counters.sum::<usize>(),
        2,
        "one a row, however often it is read"
    );
}

#[test]
fn a_node_whose_pods_all_change_with_every_scrape_is_remembered_within_bounds() {
    let mut shaper = shaper();
    for at in 0..10 * INTERVALS_KEPT {
        let seconds = i64::try_from(at).unwrap() * INTERVAL_S;
        let name = format!("pod-{at}");
        shaper.shape(
            scrape("n1", seconds, &[(&name, 5)]),
            Timestamp(seconds * SECOND),
        );
        assert!(shaper.rows.len() <= INTERVALS_KEPT + 2, "{at}");
    }
}

#[test]
fn labels_go_with_the_list_that_no_longer_has_their_pod() {
    let mut shaper = shaper();
    let list = |names: &[&str]| {
        let items: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    r#"{{"metadata":{{"name":"{name}","namespace":"shop","labels":{{"app":"x"}}}},"spec":{{}}}}"#
                )
            })
            .collect();
        let text = format!(r#"{{"items":[{}]}}"#, items.join(","));
        PodList::parse(text.as_bytes()).unwrap()
    };
    shaper.take_pods(&list(&["a", "b"]));
    assert_eq!(shaper.pods.len(), 2);
    shaper.shape(scrape("n1", 0, &[("a", 0)]), Timestamp(0));
    shaper.take_pods(&list(&["b"]));
    assert_eq!(shaper.pods.len(), 1);
    // What is known of the counter stays, under tags without the label.
    let shaped = shaper.shape(scrape("n1", 10, &[("a", SECOND)]), Timestamp(10 * SECOND));
    assert_eq!(
        values(&shaped.batch, "cpu/usage_rate", "pod"),
        millis("a", 100)
    );
    let sets = shaped.batch.tag_sets().iter();
    assert!(sets.clone().all(|tags| tags.value("labels").is_none()));
}

#[test]
fn a_pod_that_moves_to_another_node_is_counted_once_and_has_no_rate_across_the_move() {
    let (mut first, mut second) = (shaper(), shaper());
    let mut cluster = ClusterSums::default();
    let naming = naming(Choice::default());
    let mut sum = |node: &str, shaped: &Shaped, seconds: i64| {
        let now = Timestamp(seconds * SECOND);
        cluster.put(node, now, shaped.namespaces.clone());
        let rows = cluster.rows(now, 40 * SECOND, &naming, "default");
        ["memory/usage", "cpu/usage_rate"].map(|series| {
            values(&rows, series, "ns")
                .first()
                .map(|(_, value)| value.clone())
        })
    };
    let memory = |bytes| Some(FieldValue::Integer(bytes));
    let mut turn = |shaper: &mut Shaper, node: &str, seconds: i64, pods: &[(&str, i64)]| {
        let shaped = shaper.shape(scrape(node, seconds, pods), Timestamp(seconds * SECOND));
        (
            values(&shaped.batch, "cpu/usage_rate", "pod"),
            sum(node, &shaped, seconds),
        )
    };
    turn(&mut first, "n1", 0, &[("web", 0), ("stays", 0)]);
    turn(&mut second, "n2", 0, &[]);
    let (rates, sums) = turn(
        &mut first,
        "n1",
        10,
        &[("web", 9 * SECOND), ("stays", SECOND)],
    );
    assert_eq!(rates.len(), 2);
    assert_eq!(sums, [memory(200), memory(1_000)]);
    // It starts anew elsewhere, its counter too; the node it was on is read first.
    let (_, sums) = turn(&mut first, "n1", 20, &[("stays", 2 * SECOND)]);
    assert_eq!(sums, [memory(100), memory(100)]);
    let (rates, sums) = turn(&mut second, "n2", 20, &[("web", SECOND)]);
    assert_eq!(rates, [], "of its first value there");
    assert_eq!(sums, [memory(200), memory(100)]);
    let (rates, sums) = turn(&mut second, "n2", 30, &[("web", 3 * SECOND)]);
    assert_eq!(rates, millis("web", 200));
    assert_eq!(sums, [memory(200), memory(300)]);
    // The last pod of a node leaves it: nothing of it stays behind.
    let (_, sums) = turn(&mut second, "n2", 40, &[]);
    assert_eq!(sums, [memory(100), memory(100)]);
}

#[test]
fn a_node_that_is_not_read_for_a_while_counts_with_its_last_sums_and_then_not_at_all() {
    let mut shaper = shaper();
    let mut cluster = ClusterSums::default();
    let naming = naming(Choice::default());
    shaper.shape(scrape("n1", 0, &[("a", 0)]), Timestamp(0));
    let shaped = shaper.shape(scrape("n1", 10, &[("a", SECOND)]), Timestamp(10 * SECOND));
    cluster.put("n1", Timestamp(10 * SECOND), shaped.namespaces);
    for (seconds, expected) in [(10, 1), (20, 1), (50, 1), (51, 0), (60, 0)] {
        let now = Timestamp(seconds * SECOND);
        let rows = cluster.rows(now, 40 * SECOND, &naming, "default");
        assert_eq!(
            values(&rows, "memory/usage", "ns").len(),
            expected,
            "{seconds} s"
        );
    }
    // One scrape was missed: the rate is over both intervals, and the pod's is the container's.
    let shaped = shaper.shape(
        scrape("n1", 30, &[("a", 7 * SECOND)]),
        Timestamp(30 * SECOND),
    );
    assert_eq!(
        values(&shaped.batch, "cpu/usage_rate", "pod"),
        millis("a", 300)
    );
    assert_eq!(
        values(&shaped.batch, "cpu/usage_rate", "pod_container"),
        millis("a", 300)
    );
    // The page was served again, with the same time: the pod keeps its last rate.
    let shaped = shaper.shape(
        scrape("n1", 30, &[("a", 7 * SECOND)]),
        Timestamp(40 * SECOND),
    );
    assert_eq!(
        values(&shaped.batch, "cpu/usage_rate", "pod"),
        millis("a", 300)
    );
    assert_eq!(values(&shaped.batch, "cpu/usage_rate", "pod_container"), []);
    // It was away for longer than a last value says anything.
    let late = 30 + AGE_NS_MAX / SECOND + 10;
    let shaped = shaper.shape(
        scrape("n1", late, &[("a", 900 * SECOND)]),
        Timestamp(late * SECOND),
    );
    assert_eq!(values(&shaped.batch, "cpu/usage_rate", "pod"), []);
}

#[test]
fn what_is_not_chosen_is_not_stored_and_what_is_computed_of_it_is() {
    let choice = Choice::parse(["cpu/usage_rate"], []).unwrap();
    let naming = naming(choice);
    let mut shaper = Shaper::new(Arc::clone(&naming));
    shaper.shape(scrape("n1", 0, &[("a", 0)]), Timestamp(0));
    let shaped = shaper.shape(scrape("n1", 10, &[("a", SECOND)]), Timestamp(10 * SECOND));
    let names: Vec<&str> = shaped.batch.names().iter().map(|name| &**name).collect();
    assert_eq!(names, ["cpu/usage_rate", "value"]);
    assert_eq!(
        shaped.batch.len(),
        3,
        "of the node, the container and the pod"
    );
    assert_eq!(shaped.not_chosen, 3, "two of processor time, one of memory");
    let mut cluster = ClusterSums::default();
    cluster.put("n1", Timestamp(0), shaped.namespaces);
    let rows = cluster.rows(Timestamp(0), SECOND, &naming, "default");
    assert_eq!(rows.len(), 2, "the namespace and the cluster");
}

#[test]
fn an_alias_may_be_stored_alone() {
    let choice = Choice::parse(["filesystem/usage_bytes_gauge"], []).unwrap();
    let naming = Arc::new(Naming {
        aliases: Aliases::HeapsterV0,
        choice: Arc::new(choice),
        ..Naming::default()
    });
    let mut writer = Writer::choosing(Batch::default(), naming.wanted());
    let tags = TagSet::from_pairs([("type", "node")]).unwrap();
    let row = writer.tag_set(&tags);
    for series in [Series::FilesystemUsage, Series::FilesystemLimit] {
        writer.value(series, row, Timestamp(1), 5);
    }
    assert_eq!(writer.not_chosen(), 1);
    let batch = Shaper::new(naming)
        .shape(writer.finish(), Timestamp(1))
        .batch;
    let measurements: Vec<&str> = batch
        .points()
        .map(|point| &*batch.names()[point.measurement as usize])
        .collect();
    assert_eq!(measurements, [FILESYSTEM_USAGE_V0]);
}
