//! Prometheus text: any text gives samples and refused lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    plimsoll_ingest::prometheus::parse(text, |_| {});
});
