//! Cold segments: what hot ones hold, in pages.

use super::*;

/// Builds the model in cold pages, in the segment's order.
fn build_cold(model: &Model) -> (Memory, SegmentFacts, Segment) {
    let storage = storage();
    let mut builder = SegmentBuilder::cold(IDENTITY, &storage, Path::new(PATH)).unwrap();
    let mut series: Vec<_> = model.iter().collect();
    series.sort_by_key(|((measurement, tags, field, kind), _)| (measurement, field, *kind, tags));
    for ((measurement, tags, field, kind), rows) in series {
        let times: Vec<i64> = rows.keys().copied().collect();
        // Some rows absent: those of the other columns of the tag set.
        let others = model
            .iter()
            .filter(|((m, t, _, _), _)| (m, t) == (measurement, tags));
        let mut all: Vec<i64> = others.flat_map(|(_, rows)| rows.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        let column = builder.time_column(&all).unwrap();
        let present: Vec<bool> = all
            .iter()
            .map(|time| times.binary_search(time).is_ok())
            .collect();
        let mut values = Values::new(*kind);
        for value in rows.values() {
            values.push(value.as_ref());
        }
        let tags = tags_of(tags);
        builder
            .chunk(measurement, field, &tags, column, Some(&present), &values)
            .unwrap();
    }
    let facts = builder.write(&storage, Path::new(PATH)).unwrap();
    let segment = open(&storage, &facts).unwrap();
    assert!(segment.is_cold());
    (storage, facts, segment)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cold_pages_hold_what_was_written_in_every_range(
        model in model(),
        cut in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let (_, facts, segment) = build_cold(&model);
        let all = TimeRange::ALL;
        prop_assert_eq!(read(&segment, all).unwrap(), expected(&model, all));
        let times: Vec<i64> = model.values().flat_map(|rows| rows.keys().copied()).collect();
        prop_assert_eq!(facts.points, times.len() as u64);
        let (a, b) = (times[cut.0.index(times.len())], times[cut.1.index(times.len())]);
        let range = TimeRange { start: Timestamp(a.min(b)), end: Timestamp(a.max(b)) };
        prop_assert_eq!(read(&segment, range).unwrap(), expected(&model, range));
        segment.verify().unwrap();
    }
}

/// Columns that each of the ways to compress a page suits, over several pages.
fn large_model() -> Model {
    let mut model = Model::new();
    let mut state = 1u64;
    for container in 0..40i64 {
        let tags = format!("container_name=c{container:02}");
        let (mut ticks, mut walk) = (0i64, 0i64);
        for n in 0..500i64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let noise = (state >> 40).cast_signed();
            let time = 1_700_000_000_000_000_000 + n * 10_000_000_000 + container;
            ticks += 4_000_000 * (noise % 7) - if noise % 3 == 0 { noise % 9_000 } else { 0 };
            walk += noise % 1_000;
            let values = [
                ("ticks", FieldValue::Integer(ticks)),
                ("walk", FieldValue::Unsigned(walk.cast_unsigned())),
                (
                    "seconds",
                    FieldValue::Float(crate::codec::decimal::to_float(ticks, 9)),
                ),
                ("noise", FieldValue::Float(f64::from_bits(state))),
                ("idle", FieldValue::Integer(n / 100)),
                ("up", FieldValue::Boolean(noise % 5 != 0)),
                (
                    "event",
                    FieldValue::String(format!("pod c{container} was pulled {noise}").into()),
                ),
            ];
            for (measurement, value) in values {
                let kind = value.field_type();
                let key = (measurement.into(), tags.clone(), "value".into(), kind);
                model.entry(key).or_default().insert(time, value);
            }
        }
    }
    model
}

#[test]
fn pages_of_many_tag_sets_are_smaller_and_read_alike_in_any_order() {
    let model = large_model();
    let (_, hot, _) = write(build(&model));
    let (_, cold, segment) = build_cold(&model);
    assert!(
        cold.len_bytes * 100 < hot.len_bytes * 95,
        "{} bytes cold, {} hot",
        cold.len_bytes,
        hot.len_bytes
    );
    assert_eq!(
        read(&segment, TimeRange::ALL).unwrap(),
        expected(&model, TimeRange::ALL)
    );
    segment.verify().unwrap();
    let column = segment
        .column("ticks", "value", FieldType::Integer)
        .unwrap();
    let mut scratch = Scratch::default();
    for container in (0..40u32).rev().step_by(3) {
        let tags = format!("container_name=c{container:02}");
        let id = segment.find(&tags_of(&tags)).unwrap().unwrap();
        let blocks = segment.blocks(column, id, TimeRange::ALL).unwrap();
        let (mut times, mut values) = (Vec::new(), Values::Integer(Vec::new()));
        let last = blocks.last().unwrap();
        segment
            .read_block(last, TimeRange::ALL, &mut scratch, &mut times, &mut values)
            .unwrap();
        let key = ("ticks".into(), tags, "value".into(), FieldType::Integer);
        let (time, value) = model[&key].last_key_value().unwrap();
        assert_eq!(times.last(), Some(time));
        assert_eq!(values.value(values.len() - 1).to_owned(), *value);
    }
}

#[test]
fn every_flipped_byte_of_a_cold_segment_gives_an_error_or_the_right_data() {
    let (storage, facts, segment) = build_cold(&small_model());
    read(&segment, TimeRange::ALL).unwrap();
    let path = Path::new(PATH);
    let bytes = storage.bytes(path).unwrap();
    each_flipped_byte_is_noticed(&bytes, &facts);
    let damaged = super::storage();
    for len in 0..bytes.len() {
        damaged.put(path, &bytes[..len]);
        let outcome = open(&damaged, &facts);
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{len} bytes");
    }
}

#[test]
fn strings_larger_than_a_page_are_kept() {
    let mut model = Model::new();
    for pod in ["a", "b"] {
        let rows = (0..3i64).map(|n| {
            let text: String = (0..200_000i64)
                .map(|at| char::from(b'a' + ((at * at + n) % 23).unsigned_abs() as u8))
                .collect();
            (n, FieldValue::String(text.into()))
        });
        let key = (
            "log".into(),
            format!("pod={pod}"),
            "value".into(),
            FieldType::String,
        );
        model.insert(key, rows.collect());
    }
    let (_, _, segment) = build_cold(&model);
    assert_eq!(
        read(&segment, TimeRange::ALL).unwrap(),
        expected(&model, TimeRange::ALL)
    );
}
