//! Prometheus' remote write: any bytes are points or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_ingest::remote;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = remote::points(bytes, BYTES_MAX) {
        assert!(parsed.batch.points().all(|point| point.fields.len() == 1));
    }
});
