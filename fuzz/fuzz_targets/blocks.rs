//! Blocks of numbers, strings and booleans, and cold pages: hostile bytes never panic, and never
//! give more than was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_engine::codec::time::{self, Extent};
use plimsoll_engine::codec::{Codec, boolean, cold, float, integer, text};

fuzz_target!(|input: (u8, u8, i64, u64, u32, &[u8])| {
    let (what, codec, seed, last, len, bytes) = input;
    let count = usize::from(seed.cast_unsigned().to_le_bytes()[7]) + 1;
    let codec = Codec::from_id(codec % 9);
    match (what % 6, codec) {
        (0, Some(codec)) => {
            let mut out = Vec::new();
            if integer::decode(codec, bytes, seed, count, &mut out).is_ok() {
                assert_eq!(out.len(), count);
            }
        }
        (1, Some(codec)) => {
            let (mut integers, mut out) = (Vec::new(), Vec::new());
            let seed = f64::from_bits(last);
            if float::decode(codec, bytes, seed, count, &mut integers, &mut out).is_ok() {
                assert_eq!(out.len(), count);
            }
        }
        (2, Some(codec)) => {
            let mut out = Vec::new();
            let extent = Extent {
                first: seed,
                last: last.cast_signed(),
                count,
            };
            if time::decode(codec, bytes, extent, &mut out).is_ok() {
                assert_eq!(out.len(), count);
                assert!(out.windows(2).all(|two| two[0] < two[1]));
            }
        }
        (3, Some(codec)) => {
            let mut out = Vec::new();
            if text::decode(codec, bytes, count, &mut out).is_ok() {
                assert_eq!(out.len(), count);
            }
        }
        (4, Some(codec)) => {
            let mut out = Vec::new();
            if boolean::decode(codec, bytes, count, &mut out).is_ok() {
                assert_eq!(out.len(), count);
            }
        }
        (5, _) => {
            let len = len as usize % (cold::PAGE_BYTES_MAX + 2);
            if let Ok(Some(page)) = cold::decode(bytes, len) {
                assert_eq!(page.len(), len);
            }
        }
        _ => {}
    }
});
