//! Line protocol: any bytes give points and refused lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_engine::Timestamp;
use plimsoll_ingest::line::{Precision, parse};

fuzz_target!(|body: &[u8]| {
    let _parsed = parse(body, Precision::Nanoseconds, Timestamp(0));
});
