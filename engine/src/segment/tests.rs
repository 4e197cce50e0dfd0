//! Tests of whole segments: written to memory, read back, damaged.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test's numbers are small"
)]

mod cold;
mod damage;
mod list;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plimsoll_wal::storage::memory::Memory;
use plimsoll_wal::storage::{ReadMode, Storage};
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;
use crate::Error;
use crate::model::{FieldType, FieldValue, TIME_MAX, TIME_MIN, TagSet, ValueRef, Values};
use crate::predicate::{TagIndex, TagPredicate, ValueTest};

const PATH: &str = "/data/partition/7.seg";
const IDENTITY: SegmentIdentity = SegmentIdentity {
    partition: 3,
    segment: 7,
    rank_lo: 11,
    rank_hi: 12,
};

fn storage() -> Memory {
    let storage = Memory::new();
    storage
        .create_directory(Path::new("/data/partition"))
        .unwrap();
    storage
}

fn write(builder: SegmentBuilder) -> (Memory, SegmentFacts, Segment) {
    let storage = storage();
    let facts = builder.write(&storage, Path::new(PATH)).unwrap();
    let segment = open(&storage, &facts).unwrap();
    (storage, facts, segment)
}

fn open(storage: &Memory, facts: &SegmentFacts) -> crate::Result<Segment> {
    Segment::open(storage, Path::new(PATH), facts, ReadMode::Pread)
}

/// A segment with one bit of each byte flipped, one after the other, is an error.
fn each_flipped_byte_is_noticed(bytes: &[u8], facts: &SegmentFacts) {
    let path = Path::new(PATH);
    let damaged = storage();
    for at in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        damaged.put(path, &flipped);
        let outcome = open(&damaged, facts).and_then(|segment| {
            segment.verify()?;
            read(&segment, TimeRange::ALL)
        });
        match outcome {
            Err(Error::Corrupt { path: at, .. }) => assert_eq!(at, path),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

/// (measurement, tag set, field, type) → time → value.
type Model = BTreeMap<(String, String, String, FieldType), BTreeMap<i64, FieldValue>>;

/// Values that compare bit for bit.
fn key_of(value: &FieldValue) -> String {
    match value {
        FieldValue::Float(value) => format!("f{:x}", value.to_bits()),
        other => format!("{other:?}"),
    }
}

fn tags_of(text: &str) -> TagSet {
    TagSet::from_canonical(text)
}

/// Builds the model; series of one tag set and measurement share the union of their times.
fn build(model: &Model) -> SegmentBuilder {
    let mut builder = SegmentBuilder::new(IDENTITY);
    let mut unions: BTreeMap<(&str, &str), Vec<i64>> = BTreeMap::new();
    for ((measurement, tags, _, _), rows) in model {
        let times = unions.entry((measurement, tags)).or_default();
        times.extend(rows.keys());
    }
    // Backwards, as any order must do.
    for ((measurement, tags, field, kind), rows) in model.iter().rev() {
        let times = unions.get_mut(&(&**measurement, &**tags)).unwrap();
        times.sort_unstable();
        times.dedup();
        let column = builder.time_column(times).unwrap();
        let present: Vec<bool> = times.iter().map(|time| rows.contains_key(time)).collect();
        let mut values = Values::new(*kind);
        for value in rows.values() {
            values.push(value.as_ref());
        }
        let tags = tags_of(tags);
        builder
            .chunk(measurement, field, &tags, column, Some(&present), &values)
            .unwrap();
    }
    builder
}

/// Reads everything within `range`, checking the order and the summaries on the way.
fn read(
    segment: &Segment,
    range: TimeRange,
) -> crate::Result<BTreeMap<String, Vec<(i64, String)>>> {
    let mut found = BTreeMap::new();
    let mut scratch = Scratch::default();
    for measurement in segment.measurements() {
        for (field, kind, column) in segment.columns(measurement) {
            for id in segment.measurement_ids(measurement)?.iter() {
                let (mut times, mut values) = (Vec::new(), Values::new(kind));
                for block in segment.blocks(column, id, range)? {
                    let start = times.len();
                    segment.read_block(&block, range, &mut scratch, &mut times, &mut values)?;
                    let whole = range.contains(block.first) && range.contains(block.last);
                    if whole {
                        assert_eq!(times.len() - start, block.count as usize);
                        check_summary(block.summary, &values, start);
                    }
                }
                assert!(times.windows(2).all(|two| two[0] < two[1]));
                if times.is_empty() {
                    continue;
                }
                let tags = segment.tag_set(id)?;
                assert_eq!(segment.find(&tags)?, Some(id));
                let (first, last) = segment.bounds(measurement, id)?.unwrap();
                assert!(first.0 <= times[0] && *times.last().unwrap() <= last.0);
                let rows = times
                    .iter()
                    .enumerate()
                    .map(|(at, time)| (*time, key_of(&values.value(at).to_owned())));
                found.insert(
                    format!("{measurement} {tags} {field} {kind}"),
                    rows.collect(),
                );
            }
        }
    }
    Ok(found)
}

fn check_summary(summary: Option<Summary>, values: &Values, start: usize) {
    match (summary, values) {
        (Some(Summary::Integer(summary)), Values::Integer(values)) => {
            assert_eq!(
                summary,
                brute_force(&values[start..], i64::cast_unsigned, u64::cast_signed)
            );
        }
        (Some(Summary::Unsigned(summary)), Values::Unsigned(values)) => {
            assert_eq!(summary, brute_force(&values[start..], |v| v, |v| v));
        }
        (Some(Summary::Float(summary)), Values::Float(values)) => {
            let values = &values[start..];
            assert_eq!(summary.first.to_bits(), values[0].to_bits());
            assert_eq!(summary.last.to_bits(), values.last().unwrap().to_bits());
            let min = values
                .iter()
                .copied()
                .reduce(|a, b| if b < a { b } else { a });
            let max = values
                .iter()
                .copied()
                .reduce(|a, b| if b > a { b } else { a });
            assert_eq!(summary.min.to_bits(), min.unwrap().to_bits());
            assert_eq!(summary.max.to_bits(), max.unwrap().to_bits());
        }
        (Some(summary), _) => panic!("{summary:?} of another type"),
        (None, Values::Integer(_) | Values::Unsigned(_)) => assert!(values.len() - start < 16),
        (None, _) => {}
    }
}

fn brute_force<T: Copy + Ord>(
    values: &[T],
    bits: impl Fn(T) -> u64,
    from: impl Fn(u64) -> T,
) -> IntegerSummary<T> {
    let steps = values.windows(2).filter(|two| two[1] > two[0]);
    let increase = steps.fold(0u64, |sum, two| {
        sum.wrapping_add(bits(two[1]).wrapping_sub(bits(two[0])))
    });
    IntegerSummary {
        first: values[0],
        last: *values.last().unwrap(),
        min: *values.iter().min().unwrap(),
        max: *values.iter().max().unwrap(),
        sum: from(
            values
                .iter()
                .fold(0u64, |sum, v| sum.wrapping_add(bits(*v))),
        ),
        increase: from(increase),
    }
}

fn expected(model: &Model, range: TimeRange) -> BTreeMap<String, Vec<(i64, String)>> {
    let mut expected = BTreeMap::new();
    for ((measurement, tags, field, kind), rows) in model {
        let rows: Vec<_> = rows
            .iter()
            .filter(|(time, _)| range.contains(Timestamp(**time)))
            .map(|(time, value)| (*time, key_of(value)))
            .collect();
        if !rows.is_empty() {
            expected.insert(format!("{measurement} {tags} {field} {kind}"), rows);
        }
    }
    expected
}

fn tag_set() -> impl Strategy<Value = String> {
    let pair = ("[a-c, =\\\\]{1,2}", "[a-d, =é]{1,3}");
    proptest::collection::btree_map(pair.0, pair.1, 0..4).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        TagSet::from_pairs(pairs).unwrap().as_str().to_owned()
    })
}

fn value(kind: FieldType) -> BoxedStrategy<FieldValue> {
    match kind {
        FieldType::Float => prop_oneof![
            any::<u64>().prop_map(|bits| FieldValue::Float(f64::from_bits(bits))),
            (-50i32..50).prop_map(|i| FieldValue::Float(f64::from(i) / 10.0)),
        ]
        .boxed(),
        FieldType::Integer => prop_oneof![
            any::<i64>().prop_map(FieldValue::Integer),
            (0i64..9).prop_map(FieldValue::Integer),
        ]
        .boxed(),
        FieldType::Unsigned => prop_oneof![
            any::<u64>().prop_map(FieldValue::Unsigned),
            (0u64..9).prop_map(FieldValue::Unsigned),
        ]
        .boxed(),
        FieldType::String => "[a-z]{0,5}|.*"
            .prop_map(|s| FieldValue::String(s.into()))
            .boxed(),
        FieldType::Boolean => any::<bool>().prop_map(FieldValue::Boolean).boxed(),
    }
}

fn rows(kind: FieldType) -> impl Strategy<Value = BTreeMap<i64, FieldValue>> {
    let any_time = TIME_MIN.0..=TIME_MAX.0;
    let scraped = (0i64..700).prop_map(|n| 1_700_000_000_000_000_000 + n * 10_000_000_000);
    let time = prop_oneof![3 => scraped, 1 => any_time];
    prop_oneof![
        proptest::collection::btree_map(time.clone(), value(kind), 1..8),
        // One value throughout, over several blocks.
        (proptest::collection::btree_set(time, 1..500), value(kind))
            .prop_map(|(times, value)| times.into_iter().map(|t| (t, value.clone())).collect()),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let kind = prop_oneof![
        Just(FieldType::Float),
        Just(FieldType::Integer),
        Just(FieldType::Unsigned),
        Just(FieldType::String),
        Just(FieldType::Boolean),
    ];
    let series = (kind, "[mn]/[ab ]", tag_set(), "[vw]").prop_flat_map(
        |(kind, measurement, tags, field)| {
            rows(kind).prop_map(move |rows| {
                let key = (measurement.clone(), tags.clone(), field.clone(), kind);
                (key, rows)
            })
        },
    );
    proptest::collection::vec(series, 1..12).prop_map(|series| series.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_written_is_read_back_in_every_range(
        model in model(),
        cut in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let (_, facts, segment) = write(build(&model));
        let all = TimeRange::ALL;
        prop_assert_eq!(read(&segment, all).unwrap(), expected(&model, all));
        let times: Vec<i64> = model.values().flat_map(|rows| rows.keys().copied()).collect();
        prop_assert_eq!(facts.points, times.len() as u64);
        prop_assert_eq!(facts.first.0, *times.iter().min().unwrap());
        prop_assert_eq!(facts.last.0, *times.iter().max().unwrap());
        let (a, b) = (times[cut.0.index(times.len())], times[cut.1.index(times.len())]);
        let range = TimeRange { start: Timestamp(a.min(b)), end: Timestamp(a.max(b)) };
        prop_assert_eq!(read(&segment, range).unwrap(), expected(&model, range));
        segment.verify().unwrap();
    }

    #[test]
    fn bounds_and_keys_are_those_of_the_points(model in model()) {
        let (_, _, segment) = write(build(&model));
        let mut bounds: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
        for ((measurement, tags, _, _), rows) in &model {
            let (first, last) = (*rows.keys().next().unwrap(), *rows.keys().next_back().unwrap());
            let bound = bounds.entry((measurement, tags)).or_insert((first, last));
            *bound = (bound.0.min(first), bound.1.max(last));
        }
        for ((measurement, tags), (first, last)) in &bounds {
            let id = segment.find(&tags_of(tags)).unwrap().unwrap();
            let found = segment.bounds(measurement, id).unwrap();
            prop_assert_eq!(found, Some((Timestamp(*first), Timestamp(*last))));
            let keys = segment.tag_keys(measurement).unwrap();
            for (key, _) in tags_of(tags).pairs().filter(|(_, value)| !value.is_empty()) {
                prop_assert!(keys.iter().any(|k| **k == *key));
            }
        }
        for measurement in segment.measurements() {
            let ids = segment.measurement_ids(measurement).unwrap();
            let known = bounds.keys().filter(|(m, _)| *m == &**measurement).count();
            prop_assert_eq!(ids.len(), known as u64);
            prop_assert_eq!(segment.bounds(measurement, u32::MAX - 1).unwrap(), None);
        }
        prop_assert_eq!(segment.find(&tags_of("zz=zz")).unwrap(), None);
    }

    #[test]
    fn a_predicate_selects_what_matches(
        tags in proptest::collection::btree_set(tag_set(), 1..80),
        key in "[a-c]",
        values in proptest::collection::btree_set("[a-d]{0,2}", 1..4),
        pattern in prop_oneof![Just("^a"), Just("b$"), Just("^$"), Just("[cd],"), Just("")],
    ) {
        let mut builder = SegmentBuilder::new(IDENTITY);
        let column = builder.time_column(&[1]).unwrap();
        for tags in &tags {
            let values = Values::Integer(vec![1]);
            builder.chunk("m", "v", &tags_of(tags), column, None, &values).unwrap();
        }
        let (_, _, segment) = write(builder);
        let values: Vec<Arc<str>> = values.iter().map(|v| v.as_str().into()).collect();
        let tests = [
            ValueTest::In(values.into()),
            ValueTest::Matches(regex::Regex::new(pattern).unwrap()),
        ];
        for test in tests {
            let predicate = TagPredicate::Tag { key: key.as_str().into(), test };
            for predicate in [predicate.clone(), TagPredicate::Not(Box::new(predicate))] {
                let selected = predicate.select(&segment).unwrap();
                let mut expected = RoaringBitmap::new();
                for (id, tags) in (0u32..).zip(&tags) {
                    let tags = tags_of(tags);
                    let value = |key: &str| tags.value(key).unwrap_or_default().into_owned();
                    if predicate.matches(&value) {
                        expected.insert(id);
                    }
                }
                prop_assert_eq!(selected, expected);
            }
        }
        let mut seen: Vec<String> = Vec::new();
        segment.each_value(&key, &mut |value, _| seen.push(value.into())).unwrap();
        prop_assert!(seen.windows(2).all(|two| two[0] < two[1]), "{:?}", seen);
    }
}

/// A few containers with every kind of column, codec and section in a few kilobytes.
fn small_model() -> Model {
    let mut model = Model::new();
    for container in 0..3i64 {
        let tags = format!(
            "container_name=c{container},namespace_name=n{}",
            container % 2
        );
        for n in 0..40i64 {
            let time = 1_700_000_000_000_000_000 + n * 10_000_000_000 + (n * n % 7) * 1_000_000;
            let mut put = |measurement: &str, value: FieldValue| {
                let key = (
                    measurement.into(),
                    tags.clone(),
                    "value".into(),
                    value.field_type(),
                );
                model.entry(key).or_default().insert(time, value);
            };
            put(
                "cpu",
                FieldValue::Integer(n * 1_000 + n * n % 11 + container),
            );
            put("limit", FieldValue::Unsigned(u64::MAX));
            put("load", FieldValue::Float(f64::from(n as i32 % 9) / 4.0));
            put(
                "noise",
                FieldValue::Float(f64::from_bits(
                    0x3ff0_0000_0000_0000 + (n.cast_unsigned() * 7919),
                )),
            );
            put("up", FieldValue::Boolean(n % 5 != 0));
            put(
                "event",
                FieldValue::String(format!("pod {} was pulled", n % 3).into()),
            );
            if n % 3 != 0 {
                put("sparse", FieldValue::Integer(n));
            }
            for shared in 0..6 {
                put(
                    &format!("gauge{shared}"),
                    FieldValue::Integer(n / 20 * shared),
                );
            }
        }
    }
    model
}

#[test]
fn a_shared_time_column_is_stored_once() {
    let len_of = |columns: i64| {
        let mut builder = SegmentBuilder::new(IDENTITY);
        let times: Vec<i64> = (0..1000i64)
            .map(|n| n * 10_000_000_000 + n.wrapping_mul(0x5851_f42d_4c95_7f2d) % 900_000_000)
            .collect();
        for number in 0..columns {
            let column = builder.time_column(&times).unwrap();
            let tags = tags_of(&format!("a={number}"));
            let values = Values::Integer(vec![number; times.len()]);
            builder
                .chunk("m", "v", &tags, column, None, &values)
                .unwrap();
        }
        write(builder).1.len_bytes
    };
    let (few, many) = (len_of(10), len_of(110));
    let each = (many - few) / 100;
    assert!(few > 2_000, "jittered times take room: {few}");
    assert!(each < 60, "a further chunk of constants takes {each} bytes");
}

#[test]
fn times_of_its_own_are_kept_where_that_is_smaller_than_a_bitmap() {
    let times: Vec<i64> = (0..2000).map(|n| n * 1_000_000_000).collect();
    let every_tenth: Vec<bool> = (0..2000).map(|n| n % 10 == 0).collect();
    let random: Vec<bool> = (0..2000u64)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 < 9)
        .collect();
    for (present, sparse) in [(every_tenth, false), (random, true)] {
        let mut builder = SegmentBuilder::new(IDENTITY);
        let column = builder.time_column(&times).unwrap();
        let count = present.iter().filter(|there| **there).count();
        let values = Values::Integer((0..count as i64).collect());
        let tags = tags_of("a=b");
        builder
            .chunk("m", "v", &tags, column, Some(&present), &values)
            .unwrap();
        let (_, _, segment) = write(builder);
        let (_, _, column) = segment.columns("m").next().unwrap();
        let blocks = segment.blocks(column, 0, TimeRange::ALL).unwrap();
        assert_eq!(blocks.iter().any(|block| block.sparse), sparse);
        assert_eq!(
            blocks.iter().map(|b| b.count as usize).sum::<usize>(),
            count
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut builder = SegmentBuilder::new(IDENTITY);
    let column = builder.time_column(&[1, 2]).unwrap();
    let tags = tags_of("a=b");
    let one = Values::Integer(vec![1]);
    let mut chunk = |tags: &TagSet, presence: Option<&[bool]>, values: &Values| {
        builder.chunk("m", "v", tags, column, presence, values)
    };
    let invalid = |outcome| assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    invalid(chunk(&tags, None, &one));
    invalid(chunk(&tags, Some(&[true]), &one));
    invalid(chunk(&tags, Some(&[true, true]), &one));
    let long: Arc<str> = "x".repeat((1 << 20) + 1).into();
    let outcome = chunk(&tags, Some(&[true, false]), &Values::String(vec![long]));
    assert!(matches!(outcome, Err(Error::Limit { .. })));
    chunk(&tags, Some(&[false, false]), &Values::Integer(vec![])).unwrap();
    chunk(&tags, Some(&[true, false]), &one).unwrap();
    chunk(&tags, Some(&[false, true]), &one).unwrap();
    invalid(builder.write(&storage(), Path::new(PATH)).map(drop));
    let empty = SegmentBuilder::new(IDENTITY);
    invalid(empty.write(&storage(), Path::new(PATH)).map(drop));
}

#[test]
fn a_scan_visits_each_wanted_tag_set_once_in_order() {
    let mut builder = SegmentBuilder::new(IDENTITY);
    for number in 0..500i64 {
        let column = builder.time_column(&[number, number + 1000]).unwrap();
        let tags = tags_of(&format!("pod_name=p{number:04}"));
        let values = Values::Integer(vec![number, -number]);
        builder
            .chunk("m", "v", &tags, column, None, &values)
            .unwrap();
    }
    let (_, _, segment) = write(builder);
    let column = segment.column("m", "v", FieldType::Integer).unwrap();
    assert_eq!(segment.column("m", "v", FieldType::Float), None);
    let sparse = RoaringBitmap::from_iter([3u32, 64, 65, 300, 499, 10_000]);
    for wanted in [sparse, RoaringBitmap::from_iter(0..500)] {
        let mut seen = RoaringBitmap::new();
        let mut scratch = Scratch::default();
        segment
            .scan(column, &wanted, TimeRange::ALL, &mut |id, blocks| {
                let (mut times, mut values) = (Vec::new(), Values::Integer(Vec::new()));
                for block in blocks {
                    let all = TimeRange::ALL;
                    segment.read_block(block, all, &mut scratch, &mut times, &mut values)?;
                }
                let number = i64::from(id);
                assert_eq!(times, [number, number + 1000]);
                assert_eq!(values.value(1), ValueRef::Integer(-number));
                assert!(seen.max().is_none_or(|before| before < id));
                seen.insert(id);
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, &wanted & &*segment.column_ids(column).unwrap());
    }
    let mut texts = 0;
    segment
        .each_tag_set(
            &RoaringBitmap::from_iter([0u32, 17, 18, 499]),
            &mut |id, text| {
                assert_eq!(text, format!("pod_name=p{id:04}"));
                texts += 1;
                Ok(())
            },
        )
        .unwrap();
    assert_eq!(texts, 4);
}

#[test]
fn tsz_compress_is_used_where_many_chunks_share_times_that_it_makes_smaller() {
    // The scrape's phase wanders: mostly not, sometimes a little, seldom much, so that no one
    // width fits.
    let mut state = 7u64;
    let (mut time, mut step) = (1_700_000_000_000i64, 10_000i64);
    let times: Vec<i64> = (0..180)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let reach = match (state >> 33) % 20 {
                0..12 => 0,
                12..17 => 8,
                17..19 => 60,
                _ => 2_000,
            };
            step = step - (step - 10_000) / 2 * i64::from(reach == 2_000);
            step += (state >> 40) as i64 % (2 * reach + 1) - reach;
            time += step.max(1);
            time * 1_000_000
        })
        .collect();
    let mut lens = Vec::new();
    for containers in [7, 8] {
        let mut builder = SegmentBuilder::new(IDENTITY);
        for number in 0..containers {
            let column = builder.time_column(&times).unwrap();
            let tags = tags_of(&format!("a={number}"));
            let values = Values::Integer(vec![number; times.len()]);
            builder
                .chunk("m", "v", &tags, column, None, &values)
                .unwrap();
        }
        let (_, facts, segment) = write(builder);
        let rows = read(&segment, TimeRange::ALL).unwrap();
        assert_eq!(rows.len(), usize::try_from(containers).unwrap());
        for rows in rows.values() {
            assert!(rows.iter().map(|(time, _)| time).eq(&times));
        }
        lens.push(facts.len_bytes);
    }
    assert!(
        lens[1] < lens[0],
        "an eighth chunk makes the file smaller: {lens:?}"
    );
}
