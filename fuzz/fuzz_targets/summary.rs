//! The Kubelet's summary and pods: any bytes give a tree or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    drop(plimsoll_ingest::kubelet::Summary::parse(body));
    drop(plimsoll_ingest::kubelet::PodList::parse(body));
});
