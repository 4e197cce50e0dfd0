//! `/metrics/cadvisor`: any text is mapped, or counted as what does not parse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_engine::Timestamp;
use plimsoll_ingest::cadvisor::{Images, Options, Source, map};
use plimsoll_ingest::choice::SeriesSet;
use plimsoll_ingest::names::Place;

fuzz_target!(|text: &str| {
    let place = Place {
        cluster_name: "c".to_owned(),
        nodename: "n".to_owned(),
        hostname: "n".to_owned(),
    };
    for source in [Source::Standalone, Source::Kubelet, Source::KubeletBesideSummary] {
        let options = Options {
            source,
            place: &place,
            label_tags: &[],
            wanted: SeriesSet::ALL,
            now: Timestamp(0),
        };
        map(text, options, &mut Images::default());
    }
});
