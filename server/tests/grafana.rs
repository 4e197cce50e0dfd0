//! Requests that a real Grafana sent, and the shape of the answers that a real InfluxDB gave.
//!
//! The server is filled with the data that the recording was made over, moved to the present.
//! Compared are status, names, columns, tags, numbers of rows, which values are null, and the
//! values that the recording holds.
#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "helpers of tests; the figures are small"
)]

mod support;

use serde_json::{Value, json};
use support::{Server, directory, now_ns, shared_data};

const SECOND: i64 = 1_000_000_000;
/// The time of the recording's first point; there are 90, 10 s apart.
const RECORDED_START: i64 = 1_795_459_320;
const POINTS: i64 = 90;
const EVERY: i64 = 10;
/// From the recording's first point to the moment of its requests.
const RECORDED_AGE: i64 = 954;
/// A time in the recording, of the only event.
const RECORDED_EVENT: i64 = 1_795_459_820;
const RANGE: i64 = 15 * 60;
const CONTAINERS: [&str; 3] = ["cache-1", "db-1", "web-1"];

/// A request and its answer, as recorded.
struct Recorded {
    request: Value,
    answer: String,
}

impl Recorded {
    fn text(&self, key: &str) -> &str {
        self.request[key].as_str().unwrap_or_default()
    }

    /// As far as it goes: some answers were cut when they were recorded.
    fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.answer).ok()
    }
}

/// The seven that Grafana sent, and a server with their data.
struct Replay {
    recorded: Vec<Recorded>,
    server: Server,
    /// Seconds from a recorded time to that of the same point here.
    shift: i64,
    _data: tempfile::TempDir,
}

impl Replay {
    fn start(test: &str) -> Option<Self> {
        let path = shared_data(test, "requests/clients.jsonl")?;
        let lines = std::fs::read_to_string(path).unwrap();
        let recorded: Vec<Recorded> = lines
            .lines()
            .take(7)
            .map(|line| {
                let request: Value = serde_json::from_str(line).unwrap();
                let answer = request["resp"].as_str().unwrap().to_owned();
                Recorded { request, answer }
            })
            .collect();
        assert!(recorded.iter().all(|r| {
            r.request["headers"]["User-Agent"]
                .as_str()
                .unwrap()
                .contains("Grafana")
        }));
        let data = directory();
        let server = Server::start(data.path());
        server.query("", "CREATE DATABASE telegraf", "");
        // Whole tens of seconds, so that windows of 10 s hold what they held.
        let now = now_ns() / SECOND;
        let shift = (now - RECORDED_AGE - RECORDED_START).div_euclid(EVERY) * EVERY;
        let replay = Self {
            recorded,
            server,
            shift,
            _data: data,
        };
        replay.fill();
        Some(replay)
    }

    fn fill(&self) {
        let mut lines = String::new();
        for point in 0..POINTS {
            let time = (self.time_of(point)) * SECOND;
            for (number, container) in CONTAINERS.iter().enumerate() {
                let percent = self.percent(container, point);
                let base = [300_000_000_i64, 200_000_000, 100_000_000][number];
                let (usage, total) = (base + point * 1000, point * 3_000_000_000);
                lines.push_str(&format!(
                    "docker_container_cpu,container_name={container},cpu=cpu-total,host=h1 \
                     usage_percent={percent},usage_total={total}i {time}\n\
                     docker_container_mem,container_name={container},host=h1 usage={usage}i {time}\n"
                ));
            }
        }
        let event = (RECORDED_EVENT + self.shift) * SECOND;
        lines.push_str(&format!(
            "events title=\"deploy\",text=\"v1.2\",tags=\"prod,web\" {event}\n"
        ));
        self.server.write("telegraf", &lines);
    }

    fn time_of(&self, point: i64) -> i64 {
        RECORDED_START + point * EVERY + self.shift
    }

    /// What the recording says, where it says something.
    fn percent(&self, container: &str, point: i64) -> f64 {
        let time = (RECORDED_START + point * EVERY) * 1000;
        let known = self.known_percents().into_iter();
        let mut known = known.filter(|(name, at, _)| name == container && *at == time);
        known.next().map_or(25.0, |(_, _, value)| value)
    }

    /// (container, recorded ms, value): the last ones, and those of the answer that was cut.
    fn known_percents(&self) -> Vec<(String, i64, f64)> {
        let mut known = Vec::new();
        for series in self.recorded[1].json().unwrap()["results"][0]["series"]
            .as_array()
            .unwrap()
        {
            let name = series["tags"]["container_name"].as_str().unwrap();
            let row = &series["values"][0];
            known.push((
                name.to_owned(),
                row[0].as_i64().unwrap(),
                row[1].as_f64().unwrap(),
            ));
        }
        for (time, value) in first_rows(&self.recorded[4].answer) {
            known.extend(value.map(|value| ("cache-1".to_owned(), time, value)));
        }
        known
    }

    /// Sends a recorded request again; answers it with the second in which that was.
    fn send(&self, number: usize) -> (Value, i64) {
        let recorded = &self.recorded[number];
        let headers: Vec<(&str, &str)> = recorded.request["headers"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "Host" | "Content-Length"))
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        // Again where a second ended meanwhile, so that `now()` is known.
        support::eventually("an answer within one second", || {
            let before = now_ns() / SECOND;
            let answer = self.server.client.send(
                recorded.text("method"),
                recorded.text("path"),
                &headers,
                recorded.text("body").as_bytes(),
            );
            let after = now_ns() / SECOND;
            assert_eq!(
                i64::from(answer.status),
                recorded.request["status"].as_i64().unwrap()
            );
            for header in ["content-type", "content-encoding"] {
                let name = if header == "content-type" {
                    "Content-Type"
                } else {
                    "Content-Encoding"
                };
                let expected = recorded.request["resp_headers"][name]
                    .as_str()
                    .unwrap_or_default();
                assert_eq!(answer.header(header), expected);
            }
            let json = serde_json::from_slice(&answer.body).unwrap();
            (before == after).then_some((json, before))
        })
    }

    /// A recorded answer with its times, in ms, moved to the present.
    fn moved(&self, number: usize) -> Value {
        let mut answer = self.recorded[number].json().expect("it was not cut");
        let results = answer["results"].as_array_mut().unwrap();
        for series in results
            .iter_mut()
            .filter_map(|r| r["series"].as_array_mut())
            .flatten()
        {
            for row in series["values"].as_array_mut().unwrap() {
                if let Some(time) = row[0].as_i64().filter(|time| *time != 0) {
                    row[0] = json!(time + self.shift * 1000);
                }
            }
        }
        answer
    }
}

/// Times and values of the first series of an answer, as far as it was recorded.
fn first_rows(answer: &str) -> Vec<(i64, Option<f64>)> {
    let rows = answer.split("\"values\":[").nth(1).unwrap_or_default();
    let rows = rows.split("]]").next().unwrap_or_default();
    rows.split("],")
        .map_while(|row| {
            let (time, value) = row.trim_start_matches('[').split_once(',')?;
            let time = time.parse().ok()?;
            match value {
                "null" => Some((time, None)),
                // The last one may be cut in the middle of a number.
                number => Some((time, Some(number.parse().ok()?))),
            }
        })
        .collect()
}

#[test]
fn tag_values_are_as_recorded() {
    let Some(replay) = Replay::start("tag_values_are_as_recorded") else {
        return;
    };
    assert_eq!(replay.send(0).0, replay.moved(0));
}

#[test]
fn the_last_value_of_each_container_is_as_recorded() {
    let Some(replay) = Replay::start("the_last_value_of_each_container_is_as_recorded") else {
        return;
    };
    assert_eq!(replay.send(1).0, replay.moved(1));
}

#[test]
fn annotations_are_as_recorded() {
    let Some(replay) = Replay::start("annotations_are_as_recorded") else {
        return;
    };
    assert_eq!(replay.send(2).0, replay.moved(2));
}

#[test]
fn distinct_containers_of_a_subquery_are_as_recorded() {
    let Some(replay) = Replay::start("distinct_containers_of_a_subquery_are_as_recorded") else {
        return;
    };
    assert_eq!(replay.send(3).0, replay.moved(3));
}

#[test]
fn a_panel_of_two_targets_is_shaped_as_recorded() {
    let Some(replay) = Replay::start("a_panel_of_two_targets_is_shaped_as_recorded") else {
        return;
    };
    let (answer, now) = replay.send(4);
    let first_window = (now - RANGE).div_euclid(EVERY) * EVERY;
    let last_window = now.div_euclid(EVERY) * EVERY;
    // A point at a window's start is outside the range in the first window, unless the range
    // starts with it; `now` has a fraction of a second, so it never does.
    let has_point = |window: i64| {
        window > now - RANGE && (replay.time_of(0)..=replay.time_of(POINTS - 1)).contains(&window)
    };
    let recorded = first_rows(&replay.recorded[4].answer);
    assert!(
        recorded[0].1.is_none() && recorded.len() > 50,
        "the first window was empty"
    );
    let series = answer["results"][0]["series"].as_array().unwrap();
    assert_eq!(series.len(), CONTAINERS.len());
    for (series, container) in series.iter().zip(CONTAINERS) {
        assert_eq!(series["name"], "docker_container_cpu");
        assert_eq!(series["tags"], json!({"container_name": container}));
        assert_eq!(series["columns"], json!(["time", "mean"]));
        let rows = series["values"].as_array().unwrap();
        let times: Vec<i64> = rows.iter().map(|row| row[0].as_i64().unwrap()).collect();
        let windows: Vec<i64> = (first_window..=last_window)
            .step_by(10)
            .map(|s| s * 1000)
            .collect();
        assert_eq!(times, windows);
        for row in rows {
            let window = row[0].as_i64().unwrap() / 1000;
            assert_eq!(
                row[1].is_null(),
                !has_point(window),
                "{container} at {window}"
            );
            let known = recorded
                .iter()
                .find(|(time, _)| *time == (window - replay.shift) * 1000);
            if let Some((_, Some(value))) =
                known.filter(|_| container == "cache-1" && has_point(window))
            {
                assert_eq!(row[1], json!(value));
            }
        }
    }
    let rates = answer["results"][1]["series"].as_array().unwrap();
    assert_eq!(answer["results"][1]["statement_id"], 1);
    assert_eq!(rates.len(), CONTAINERS.len());
    for (series, container) in rates.iter().zip(CONTAINERS) {
        assert_eq!(series["tags"], json!({"container_name": container}));
        assert_eq!(series["columns"], json!(["time", "rate"]));
        let rows = series["values"].as_array().unwrap();
        // The window before the range gives the first its value.
        let points = (0..POINTS)
            .filter(|point| replay.time_of(*point) >= first_window)
            .count();
        assert!(
            (points - 1..=points).contains(&rows.len()),
            "{} of {points}",
            rows.len()
        );
        assert!(rows.iter().all(|row| row[1] == json!(300_000)), "{series}");
    }
}

#[test]
fn a_descending_panel_in_a_zone_is_shaped_as_recorded() {
    let Some(replay) = Replay::start("a_descending_panel_in_a_zone_is_shaped_as_recorded") else {
        return;
    };
    let (answer, now) = replay.send(5);
    let series = answer["results"][0]["series"].as_array().unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0]["name"], "docker_container_mem");
    assert_eq!(series[0]["columns"], json!(["time", "KiB"]));
    let rows = series[0]["values"].as_array().unwrap();
    let recorded = first_rows(&replay.recorded[5].answer);
    let last_point = replay.time_of(POINTS - 1);
    let (_, last_value) = recorded
        .iter()
        .find(|(time, _)| *time == (last_point - replay.shift) * 1000)
        .expect("the recording reaches the last point");
    let mut carried = None;
    for (row, second) in rows.iter().zip((0..=now).rev()) {
        assert_eq!(row[0], json!(second * 1000));
        if second == last_point {
            assert_eq!(row[1].as_f64(), *last_value);
        }
        let point = (second - replay.time_of(0)) / EVERY;
        if second <= last_point && (second - replay.time_of(0)) % EVERY == 0 {
            carried = Some((200_000_000 + point * 1000) as f64 / 1024.0);
        }
        assert_eq!(row[1].as_f64(), carried, "{second}");
    }
    assert_eq!(rows.len(), 500);
}

#[test]
fn an_empty_range_is_answered_as_recorded() {
    let Some(replay) = Replay::start("an_empty_range_is_answered_as_recorded") else {
        return;
    };
    let recorded = &replay.recorded[6];
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = recorded.text("body").as_bytes();
    let answer = replay
        .server
        .client
        .send("POST", recorded.text("path"), &headers, body);
    assert_eq!(answer.text(), recorded.answer);
}
