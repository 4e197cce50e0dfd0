//! cAdvisor's REST pages: any bytes are an error, or points.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_engine::Timestamp;
use plimsoll_ingest::cadvisor::{Options, Source};
use plimsoll_ingest::choice::SeriesSet;
use plimsoll_ingest::names::Place;
use plimsoll_ingest::rest;

fuzz_target!(|bytes: &[u8]| {
    let place = Place {
        cluster_name: "c".to_owned(),
        nodename: "n".to_owned(),
        hostname: "n".to_owned(),
    };
    let options = Options {
        source: Source::Standalone,
        place: &place,
        label_tags: &[],
        wanted: SeriesSet::ALL,
        now: Timestamp(0),
    };
    rest::map_v1(bytes, options).ok();
    rest::map_v2(bytes, options).ok();
});
