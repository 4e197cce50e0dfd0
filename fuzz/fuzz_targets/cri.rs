//! Answers of container runtimes: any bytes are an error, or containers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_ingest::cri;

fuzz_target!(|bytes: &[u8]| {
    cri::containers(bytes).ok();
    cri::sandboxes(bytes).ok();
});
