use proptest::prelude::*;

use super::{Error, Fault, Parsed, parse};

#[derive(Debug, PartialEq)]
struct Owned {
    name: String,
    labels: Vec<(String, String)>,
    value: u64,
    timestamp_ms: Option<i64>,
}

fn read(text: &str) -> (Vec<Owned>, Parsed) {
    let mut samples = Vec::new();
    let parsed = parse(text, |sample| {
        samples.push(Owned {
            name: sample.name.to_owned(),
            labels: sample
                .labels
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            value: sample.value.to_bits(),
            timestamp_ms: sample.timestamp_ms,
        });
    });
    (samples, parsed)
}

fn owned(name: &str, labels: &[(&str, &str)], value: f64, timestamp_ms: Option<i64>) -> Owned {
    Owned {
        name: name.to_owned(),
        labels: labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        value: value.to_bits(),
        timestamp_ms,
    }
}

#[test]
fn samples_of_every_form_are_read() {
    for (line, expected) in [
        ("up 1", owned("up", &[], 1.0, None)),
        ("  up\t1.5e3  -7 ", owned("up", &[], 1500.0, Some(-7))),
        ("up{} +Inf", owned("up", &[], f64::INFINITY, None)),
        ("up -Inf", owned("up", &[], f64::NEG_INFINITY, None)),
        (
            r#"a:b{x="1",y="",} 2 3"#,
            owned("a:b", &[("x", "1"), ("y", "")], 2.0, Some(3)),
        ),
        (
            r#"a{ x = "q\"\\\n\d}" , y="{,}" } 2"#,
            owned("a", &[("x", "q\"\\\n\\d}"), ("y", "{,}")], 2.0, None),
        ),
        (
            r#"{"a.b","l.m"="1",n="2"} 3"#,
            owned("a.b", &[("l.m", "1"), ("n", "2")], 3.0, None),
        ),
        (
            r#"a_bucket{le="1"} 5 # {trace_id="x"} 0.7 1700"#,
            owned("a_bucket", &[("le", "1")], 5.0, None),
        ),
        ("a{x=\"é\"} 1", owned("a", &[("x", "é")], 1.0, None)),
    ] {
        let (samples, parsed) = read(line);
        assert_eq!(parsed.error, None, "{line}");
        assert_eq!(samples, [expected], "{line}");
    }
}

#[test]
fn a_line_that_does_not_parse_is_named_and_harms_no_other() {
    for (line, fault) in [
        ("up", Fault::Value),
        ("up x", Fault::Value),
        ("{} 1", Fault::Name),
        ("up{a=1} 1", Fault::Labels),
        ("up{a=\"1\" 1", Fault::Labels),
        ("up{a=\"1", Fault::Labels),
        ("up{a\"=\"1\"} 1", Fault::Labels),
        ("up 1 x", Fault::Time),
        ("up 1 2 3", Fault::Time),
        ("up{a=\"1\"}", Fault::Value),
    ] {
        let (samples, parsed) = read(&format!("# HELP a b\na 1\n{line}\nb 2"));
        assert_eq!(
            (parsed.samples, parsed.rejected, samples.len()),
            (2, 1, 2),
            "{line}"
        );
        assert_eq!(parsed.error, Some(Error { line: 3, fault }), "{line}");
    }
}

#[test]
fn open_metrics_times_are_seconds() {
    let (samples, _) = read("a_total 1 1700000000.25\nb 2 1700000000\n# EOF\n");
    assert_eq!(samples[0].timestamp_ms, Some(1_700_000_000_250));
    assert_eq!(samples[1].timestamp_ms, Some(1_700_000_000_000));
}

#[test]
fn an_empty_label_is_an_absent_one() {
    parse(r#"a{pod="",container="c"} 1"#, |sample| {
        assert_eq!(sample.label("pod"), None);
        assert_eq!(sample.label("container"), Some("c"));
        assert_eq!(sample.label("other"), None);
    });
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        text in r#"([a-z{}=",\\ \n\t#0-9.-]|é|a\{b="c"\} 1 2\n){0,60}"#
    ) {
        let (samples, parsed) = read(&text);
        prop_assert_eq!(samples.len(), parsed.samples);
    }

    #[test]
    fn the_oracle_reads_generated_text_alike(
        rows in prop::collection::vec(
            (
                "[a-z_:][a-z0-9_:]{0,9}",
                prop::collection::btree_map("[a-z_][a-z0-9_]{0,6}", r#"[a-z /\\"]{0,8}"#, 0..4),
                any::<f64>().prop_filter("a number", |v| !v.is_nan()),
                prop::option::of(0..4_000_000_000_000_i64),
            ),
            0..8,
        )
    ) {
        let mut text = String::new();
        for (name, labels, value, time) in &rows {
            let labels: Vec<_> = labels
                .iter()
                .map(|(k, v)| {
                    format!("{k}=\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\""))
                })
                .collect();
            text += name;
            if !labels.is_empty() {
                text += &format!("{{{}}}", labels.join(","));
            }
            text += &format!(" {value:e}");
            if let Some(time) = time {
                text += &format!(" {time}");
            }
            text.push('\n');
        }
        let text = text.replace(" inf", " +Inf").replace(" -inf", " -Inf");
        let (samples, parsed) = read(&text);
        prop_assert_eq!(&parsed.error, &None, "{}", &text);
        prop_assert_eq!(samples.len(), rows.len());
        for (sample, (name, labels, value, time)) in samples.iter().zip(&rows) {
            prop_assert_eq!(&sample.name, name);
            let sent: Vec<_> = labels.clone().into_iter().collect();
            prop_assert_eq!(&sample.labels, &sent);
            prop_assert_eq!(sample.value, value.to_bits());
            prop_assert_eq!(sample.timestamp_ms, *time);
        }
        // The oracle knows neither escapes in labels nor `:` in names.
        if !text.contains(['\\', ':']) && !rows.iter().any(|row| row.3.is_none()) {
            let lines = text.lines().map(|line| Ok(line.to_owned()));
            let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
            prop_assert_eq!(scrape.samples.len(), samples.len());
            for (theirs, ours) in scrape.samples.iter().zip(&samples) {
                prop_assert_eq!(&theirs.metric, &ours.name);
                prop_assert_eq!(Some(theirs.timestamp.timestamp_millis()), ours.timestamp_ms);
                let prometheus_parse::Value::Untyped(value) = theirs.value else {
                    panic!("an untyped value");
                };
                prop_assert_eq!(value.to_bits(), ours.value);
                for (label, value) in &ours.labels {
                    prop_assert_eq!(theirs.labels.get(label), Some(&**value));
                }
            }
        }
    }
}

#[test]
fn the_real_payloads_parse_whole_and_as_the_oracle_reads_them() {
    let Some(payloads) = crate::test_data::payloads(
        "the_real_payloads_parse_whole_and_as_the_oracle_reads_them",
        &[
            "kubelet/k8s-1.16-metrics-cadvisor",
            "kubelet/k8s-1.31-metrics-cadvisor",
            "kubelet/k8s-1.34-metrics-cadvisor",
            "kubelet/k8s-1.35-metrics-cadvisor",
            "kubelet/eks-metrics-resource",
            "cadvisor/prometheus_metrics.prom",
            "cadvisor/prometheus_machine_metrics.prom",
            "cadvisor/prometheus_metrics_failure.prom",
            "cadvisor/prometheus_metrics_perf_aggregated.prom",
            "cadvisor/prometheus_metrics_whitelist_filtered.prom",
        ],
    ) else {
        return;
    };
    for (name, text) in payloads {
        let (samples, parsed) = read(&text);
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count();
        assert_eq!(parsed.error, None, "{name}");
        assert_eq!(parsed.samples, lines, "{name}");
        let typeless = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| Ok(line.to_owned()));
        let scrape = prometheus_parse::Scrape::parse(typeless).unwrap();
        assert_eq!(scrape.samples.len(), samples.len(), "{name}");
        for (theirs, ours) in scrape.samples.iter().zip(&samples) {
            assert_eq!(theirs.metric, ours.name, "{name}");
            let prometheus_parse::Value::Untyped(value) = theirs.value else {
                panic!("an untyped value in {name}");
            };
            assert_eq!(value.to_bits(), ours.value, "{name}");
            assert_eq!(theirs.labels.len(), ours.labels.len(), "{name}");
            for (label, value) in &ours.labels {
                let theirs = theirs
                    .labels
                    .get(label)
                    .map(|text| text.replace("\\\\", "\\"));
                assert_eq!(theirs.as_ref(), Some(value), "{name}");
            }
        }
    }
}
