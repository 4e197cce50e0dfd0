//! Segments that are damaged, cut off or newer.

use super::*;

#[test]
fn every_flipped_byte_gives_an_error_or_the_right_data() {
    let model = small_model();
    let (storage, facts, segment) = write(build(&model));
    let right = read(&segment, TimeRange::ALL).unwrap();
    assert_eq!(right, expected(&model, TimeRange::ALL));
    each_flipped_byte_is_noticed(&storage.bytes(Path::new(PATH)).unwrap(), &facts);
}

#[test]
fn what_was_not_touched_stays_readable_beside_a_damaged_page() {
    let mut builder = SegmentBuilder::new(IDENTITY);
    let times: Vec<i64> = (0..20_000).map(|n| n * 1_000_000_000).collect();
    let column = builder.time_column(&times).unwrap();
    let mut state = 1i64;
    let noise: Vec<i64> = (0..20_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state
        })
        .collect();
    let tags = tags_of("a=b");
    builder
        .chunk("m", "v", &tags, column, None, &Values::Integer(noise))
        .unwrap();
    let (storage, facts, _) = write(builder);
    let mut bytes = storage.bytes(Path::new(PATH)).unwrap();
    bytes[40_000] ^= 1;
    storage.put(Path::new(PATH), &bytes);
    let segment = open(&storage, &facts).unwrap();
    let (_, _, column) = segment.columns("m").next().unwrap();
    let (mut good, mut bad) = (0, 0);
    let mut scratch = Scratch::default();
    for block in segment.blocks(column, 0, TimeRange::ALL).unwrap() {
        let (mut times, mut values) = (Vec::new(), Values::Integer(Vec::new()));
        match segment.read_block(
            &block,
            TimeRange::ALL,
            &mut scratch,
            &mut times,
            &mut values,
        ) {
            Ok(()) => good += 1,
            Err(Error::Corrupt { offset, .. }) => {
                assert_eq!(offset, 36_864, "the page is named");
                assert!(times.is_empty() && values.is_empty());
                bad += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1..=6).contains(&bad) && good > 100, "{bad} of {good}");
    assert!(segment.verify().is_err());
}

#[test]
fn every_truncation_is_an_error_when_it_is_opened() {
    let (storage, facts, _) = write(build(&small_model()));
    let path = Path::new(PATH);
    let bytes = storage.bytes(path).unwrap();
    for len in 0..bytes.len() {
        storage.put(path, &bytes[..len]);
        let outcome = open(&storage, &facts);
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{len} bytes");
    }
    storage.put(path, &[&bytes[..], b"x"].concat());
    assert!(matches!(open(&storage, &facts), Err(Error::Corrupt { .. })));
}

#[test]
fn a_newer_format_and_unknown_features_are_refused_by_name() {
    let (storage, facts, segment) = write(build(&small_model()));
    assert_eq!(segment.identity(), IDENTITY);
    let path = Path::new(PATH);
    for place in [8, 12] {
        let mut bytes = storage.bytes(path).unwrap();
        bytes[place] = 4;
        let crc = crc32fast::hash(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&crc);
        let newer = Memory::new();
        newer.create_directory(path.parent().unwrap()).unwrap();
        newer.put(path, &bytes);
        let outcome = open(&newer, &facts);
        let Err(Error::Storage(plimsoll_wal::Error::NewerFormat { found, .. })) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(found, 4);
    }
}

/// Makes every checksum of a damaged file right again; returns what the manifest would say.
fn seal(bytes: &mut Vec<u8>, facts: &SegmentFacts) -> SegmentFacts {
    use super::super::layout::{Footer, PAGE_BYTES, Section};
    let mut footer = Footer::decode(bytes, 0, facts).unwrap();
    let covered = footer.section(Section::Checksums).offset as usize;
    bytes.truncate(covered);
    let crcs = bytes.chunks(PAGE_BYTES).map(crc32fast::hash);
    let table: Vec<u8> = crcs.flat_map(u32::to_le_bytes).collect();
    footer.checksums_crc = crc32fast::hash(&table);
    let (end, footer_crc) = footer.encode();
    bytes.extend(table);
    bytes.extend(end);
    SegmentFacts {
        footer_crc,
        ..*facts
    }
}

#[test]
fn hostile_bytes_behind_right_checksums_are_refused_or_read_but_never_panic() {
    let (storage, facts, _) = write(build(&small_model()));
    let path = Path::new(PATH);
    let bytes = storage.bytes(path).unwrap();
    let (mut refused, mut read) = (0, 0);
    for at in 64..bytes.len() - 400 {
        for flip in [0x01, 0x80, 0xff] {
            let mut hostile = bytes.clone();
            hostile[at] ^= flip;
            let facts = seal(&mut hostile, &facts);
            storage.put(path, &hostile);
            let outcome = open(&storage, &facts).and_then(|segment| {
                for key in ["container_name", "namespace_name"] {
                    segment.postings(key, "c1")?;
                    segment.each_value(key, &mut |_, _| {})?;
                }
                for measurement in segment.measurements() {
                    segment.tag_keys(measurement)?;
                }
                segment.find(&tags_of("container_name=c1,namespace_name=n1"))?;
                segment.verify()
            });
            match outcome {
                Ok(()) => read += 1,
                Err(Error::Corrupt { .. }) => refused += 1,
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }
    assert!(
        refused > 1000 && read > 1000,
        "{refused} refused, {read} read"
    );
}
