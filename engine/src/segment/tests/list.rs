//! Listing tag sets: what is kept of them, and what is read again.

use super::*;

/// A segment of so many tag sets, each with a pod, some with a node.
fn written(count: u32) -> Segment {
    let mut builder = SegmentBuilder::new(IDENTITY);
    let column = builder.time_column(&[10]).unwrap();
    for number in 0..count {
        let node = if number % 3 == 0 { "" } else { "node=n," };
        let tags = tags_of(&format!("{node}pod=p{number:05}"));
        let values = Values::Integer(vec![i64::from(number)]);
        builder
            .chunk("m", "v", &tags, column, None, &values)
            .unwrap();
    }
    write(builder).2
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lists_are_the_same_whatever_was_listed_before(
        count in 1_u32..90,
        lists in prop::collection::vec((0_u32..90, 0_u32..90, 1_usize..20), 1..8),
    ) {
        let segment = written(count);
        let keys: [Arc<str>; 2] = ["node".into(), "pod".into()];
        for (from, to, step) in lists {
            let ids: RoaringBitmap = (from.min(count)..to.min(count)).step_by(step).collect();
            let mut expected = Vec::new();
            segment
                .each_tag_set(&ids, &mut |id, text| {
                    expected.push((id, tags_of(text)));
                    Ok(())
                })
                .unwrap();
            let listed = segment.list(&ids, &keys).unwrap();
            prop_assert_eq!(&listed.tag_sets, &expected);
            for (key, tag) in keys.iter().zip(&listed.tags) {
                let values = tag.numbers.iter().map(|number| &*tag.texts[*number as usize]);
                let own = expected.iter().map(|(_, tags)| tags.value(key).unwrap_or_default());
                prop_assert!(values.eq(own));
            }
        }
    }
}

#[test]
fn a_tag_set_that_is_not_there_is_damage_however_many_are() {
    let segment = written(20);
    let keys: [Arc<str>; 1] = ["pod".into()];
    for ids in [0..21, 16..21, 20..21, 40..41] {
        let ids: RoaringBitmap = ids.collect();
        let refused = segment.list(&ids, &keys);
        assert!(matches!(refused, Err(Error::Corrupt { .. })));
    }
    // What was kept on the way there is right.
    assert_eq!(
        segment
            .list(&(0..20).collect(), &keys)
            .unwrap()
            .tag_sets
            .len(),
        20
    );
}
