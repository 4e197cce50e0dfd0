//! What once differed from InfluxDB: fixed statements over fixed points, with InfluxDB's literal
//! answers, so that they are checked where no influxd is, too. Where one is, it has to give them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "differential/data.rs"]
#[expect(dead_code, reason = "only the empty engine and fields are used")]
mod data;
#[path = "differential/influxd.rs"]
mod influxd;
#[path = "differential/ours.rs"]
mod ours;

use plimsoll_engine::{Batch, Engine, TagSet, Timestamp};

use influxd::Influxd;
use ours::ours;

const POINTS: &str = include_str!("regressions/points.txt");
const ANSWERS: &str = include_str!("regressions/answers.txt");

/// Statements and answers.
fn cases() -> Vec<(&'static str, &'static str)> {
    let lines = ANSWERS.lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let pairs = lines.chunks(2);
    pairs.map(|pair| (pair[0], pair[1].trim_start())).collect()
}

/// Writes lines without escapes.
fn write(engine: &Engine, lines: &str) {
    let mut batch = Batch::default();
    for line in lines.lines() {
        let [key, fields, time] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let (measurement, tags) = key.split_once(',').unwrap_or((key, ""));
        let tags = tags.split(',').filter(|tag| !tag.is_empty());
        let tags = TagSet::from_pairs(tags.map(|tag| tag.split_once('=').unwrap())).unwrap();
        let fields = fields.split(',').map(data::field);
        let time = Timestamp(time.parse().unwrap());
        batch.add(measurement, &tags, time, fields);
    }
    let written = engine.write("d", "", &batch).unwrap();
    assert_eq!(written.points_stored, lines.lines().count());
}

#[test]
fn what_once_differed_is_answered_as_by_influxdb_from_the_head_and_from_segments() {
    let engine = data::empty_engine();
    write(&engine, POINTS);
    for place in ["head", "segments"] {
        for (statement, expected) in cases() {
            let answer = ours(&engine, "ns", statement);
            assert_eq!(answer.trim_end(), expected, "{statement} from the {place}");
        }
        engine.flush().unwrap();
    }
}

#[test]
fn the_literal_answers_are_those_of_a_real_influxd() {
    let Some(influxd) = Influxd::start() else {
        println!(
            "SKIPPED the_literal_answers_are_those_of_a_real_influxd influxd is not installed"
        );
        return;
    };
    influxd.query("", "ns", "CREATE DATABASE d");
    influxd.write("d", "", POINTS);
    for (statement, expected) in cases() {
        let answer = influxd.query("d", "ns", statement);
        assert_eq!(answer.trim_end(), expected, "{statement}");
    }
}
