//! Listing series: in canonical order, with the values of tags as numbers, wherever they lie.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_engine::predicate::{TagPredicate, ValueTest};
use plimsoll_engine::{Batch, Chosen, Deletion, Engine, FieldValue, TagSet, TimeRange, Timestamp};
use support::*;

const KEYS: [&str; 3] = ["node", "pod", "none"];

fn tag_set(number: i64) -> String {
    let pod = format!("p{:02}", number * 7 % 60);
    let node = format!("n, {}", number % 7);
    let pairs = match number % 5 {
        0 => vec![("pod", pod.as_str())],
        1 => vec![("node", node.as_str()), ("other", "x")],
        _ => vec![("node", node.as_str()), ("pod", pod.as_str())],
    };
    TagSet::from_pairs(pairs).unwrap().to_string()
}

fn write(engine: &Engine, numbers: impl Iterator<Item = i64>) {
    for number in numbers {
        write_integer(engine, "m", &tag_set(number), NOW + number * SECOND, number);
    }
}

/// Lists everything, and what fulfils a condition: each value is what the tag set says, and the
/// series are those of `expected` numbers that lie in the range.
fn check(engine: &Engine, range: TimeRange, expected: &[i64]) {
    let view = engine.snapshot().view("d", "", range).unwrap();
    let keys: Vec<Arc<str>> = KEYS.iter().map(|key| Arc::from(*key)).collect();
    let even = |value: &str| value.ends_with(['0', '2', '4', '6']);
    let test = ValueTest::Custom(Arc::new(even));
    let key = "node".into();
    for predicate in [TagPredicate::All, TagPredicate::Tag { key, test }] {
        let listing = view.list("m", &predicate, &keys).unwrap();
        let series = view.series("m", &predicate).unwrap();
        let texts = |all: &[plimsoll_engine::Series]| -> Vec<String> {
            all.iter().map(|one| one.tags.to_string()).collect()
        };
        let found = texts(&listing.series);
        assert_eq!(found, texts(&series));
        let is_meant = |tags: &String| {
            let value = TagSet::from_canonical(tags).value("node").map(|v| even(&v));
            predicate == TagPredicate::All || value == Some(true)
        };
        let wanted: BTreeSet<String> = expected.iter().map(|number| tag_set(*number)).collect();
        assert_eq!(
            found,
            wanted.into_iter().filter(is_meant).collect::<Vec<_>>()
        );
        for (key, tag) in keys.iter().zip(&listing.tags) {
            assert!(tag.texts.is_sorted_by(|a, b| a < b), "{:?}", tag.texts);
            assert_eq!(tag.numbers.len(), series.len());
            for (number, series) in tag.numbers.iter().zip(&series) {
                let value = series.tags.value(key).unwrap_or_default();
                assert_eq!(*tag.texts[*number as usize], *value);
            }
            let used: BTreeSet<u32> = tag.numbers.iter().copied().collect();
            assert_eq!(used.len(), tag.texts.len(), "no value without a series");
            if let Some(values) = view.tag_values("m", key, &predicate).unwrap() {
                let texts = tag.texts.iter().filter(|text| !text.is_empty());
                assert!(values.iter().eq(texts), "{values:?}");
            }
        }
    }
}

#[test]
fn values_are_those_of_the_tag_sets_in_heads_and_segments_and_both() {
    let (engine, storage) = fresh();
    write(&engine, 30..80);
    let all: Vec<i64> = (0..120).collect();
    check(&engine, TimeRange::ALL, &all[30..80]);
    // New ones stand before, between and behind those that were listed, in any order.
    write(&engine, (60..90).chain(0..10));
    let known: Vec<i64> = (0..10).chain(30..90).collect();
    check(&engine, TimeRange::ALL, &known);
    engine.flush().unwrap();
    check(&engine, TimeRange::ALL, &known);
    write(&engine, 20..60);
    let known: Vec<i64> = (0..10).chain(20..90).collect();
    check(&engine, TimeRange::ALL, &known);
    engine.flush().unwrap();
    write(&engine, 85..120);
    let known: Vec<i64> = (0..10).chain(20..120).collect();
    check(&engine, TimeRange::ALL, &known);
    engine
        .delete(&Deletion {
            database: "d".to_owned(),
            policy: None,
            measurements: [Arc::from("m")].into(),
            series: Chosen::Where(TagPredicate::All),
            range: TimeRange {
                start: Timestamp(NOW + 40 * SECOND),
                end: Timestamp(NOW + 49 * SECOND),
            },
        })
        .unwrap();
    let texts =
        |numbers: std::ops::Range<i64>| -> BTreeSet<String> { numbers.map(tag_set).collect() };
    let gone = texts(40..50);
    let left = texts(0..10)
        .into_iter()
        .chain(texts(20..40))
        .chain(texts(50..120));
    let left: BTreeSet<String> = left.collect();
    let is_left = |number: &i64| {
        let text = tag_set(*number);
        left.contains(&text) || !gone.contains(&text)
    };
    let known: Vec<i64> = known.into_iter().filter(is_left).collect();
    check(&engine, TimeRange::ALL, &known);
    drop(engine);
    let (engine, _) = open(&storage);
    check(&engine, TimeRange::ALL, &known);
}

#[test]
fn a_head_with_a_column_and_no_tag_set_lists_nothing() {
    let (engine, _) = fresh();
    write(&engine, 0..5);
    engine.flush().unwrap();
    // Its first field is new to the head, its second has another type: the point is refused whole.
    let tags = TagSet::from_pairs([("node", "n")]).unwrap();
    let fields = [
        ("new", FieldValue::Integer(1)),
        ("value", FieldValue::Float(0.5)),
    ];
    let mut batch = Batch::default();
    batch.add("m", &tags, Timestamp(NOW), fields);
    assert_eq!(engine.write("d", "", &batch).unwrap().points_stored, 0);
    check(&engine, TimeRange::ALL, &[0, 1, 2, 3, 4]);
}
