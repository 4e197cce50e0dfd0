//! The dashboard queries, in InfluxQL and in VictoriaMetrics' nearest words.

use crate::server::Kind;

/// One question in both languages.
#[derive(Debug)]
pub struct Question {
    /// What the table calls it.
    pub name: &'static str,
    influxql: String,
    /// Path and parameters of VictoriaMetrics' answer.
    metricsql: String,
}

impl Question {
    /// The path to ask a server of this kind.
    #[must_use]
    pub fn path(&self, kind: Kind) -> String {
        match kind {
            Kind::Plimsoll | Kind::Influxd => {
                format!("/query?db=bench&epoch=ms&q={}", escape(&self.influxql))
            }
            Kind::VictoriaMetrics => self.metricsql.clone(),
        }
    }
}

/// All questions, over the seconds from `start` to `end`.
#[must_use]
pub fn questions(pod: &str, start: i64, end: i64) -> Vec<Question> {
    let range = format!("time >= {start}s AND time < {end}s");
    let range = range.as_str();
    let metric = |name: &str, labels: &str| format!("{{__name__=\"{name}\"{labels}}}");
    let (memory, cpu) = ("memory/working_set_bytes_gauge", "cpu/usage_ns_cumulative");
    let all = metric(memory, "");
    let over = |step: &str, query: String| {
        let query = escape(&query);
        format!("/api/v1/query_range?nocache=1&query={query}&start={start}&end={end}&step={step}")
    };
    let at_end = |query: String| {
        let query = escape(&query);
        format!("/api/v1/query?nocache=1&query={query}&time={end}")
    };
    let labels = |label: &str, matching: &str| {
        let matching = if matching.is_empty() {
            String::new()
        } else {
            format!("&match[]={}", escape(matching))
        };
        format!("/api/v1/label/{label}/values?start={start}&end={end}{matching}")
    };
    let one = metric(
        memory,
        &format!(",pod_name=\"{pod}\",container_name=\"main\""),
    );
    let node = metric(memory, ",nodename=\"node-0003.example.internal\"");
    let recent = end - 600;
    let question = |name, influxql, metricsql| Question {
        name,
        influxql,
        metricsql,
    };
    vec![
        question(
            "single container",
            format!(
                r#"SELECT mean("value") FROM "{memory}" WHERE "pod_name" = '{pod}' AND "container_name" = 'main' AND {range} GROUP BY time(1m)"#
            ),
            over("60s", format!("avg_over_time({one}[1m])")),
        ),
        question(
            "a node's pods",
            format!(
                r#"SELECT mean("value") FROM "{memory}" WHERE "nodename" = 'node-0003.example.internal' AND {range} GROUP BY time(1m), "pod_name""#
            ),
            over(
                "60s",
                format!("avg by (pod_name) (avg_over_time({node}[1m]))"),
            ),
        ),
        question(
            "cluster by namespace",
            format!(
                r#"SELECT sum("value") FROM "{memory}" WHERE {range} GROUP BY time(1m), "namespace_name""#
            ),
            over(
                "60s",
                format!("sum by (namespace_name) (sum_over_time({all}[1m]))"),
            ),
        ),
        question(
            "all by node",
            format!(
                r#"SELECT mean("value") FROM "{memory}" WHERE {range} GROUP BY time(1m), "nodename""#
            ),
            over(
                "60s",
                format!("avg by (nodename) (avg_over_time({all}[1m]))"),
            ),
        ),
        question(
            "max per pod",
            format!(
                r#"SELECT max("value") FROM "{memory}" WHERE {range} GROUP BY time(5m), "pod_name""#
            ),
            over(
                "300s",
                format!("max by (pod_name) (max_over_time({all}[5m]))"),
            ),
        ),
        question(
            "sum of rates by namespace",
            format!(
                r#"SELECT sum("rate") FROM (SELECT non_negative_derivative(max("value"), 1s) AS "rate" FROM "{cpu}" WHERE {range} GROUP BY time(1m), "namespace_name", "pod_name", "container_name") WHERE {range} GROUP BY time(1m), "namespace_name""#
            ),
            over(
                "60s",
                format!("sum by (namespace_name) (rate({}[1m]))", metric(cpu, "")),
            ),
        ),
        question(
            "p95 by namespace",
            format!(
                r#"SELECT percentile("value", 95) FROM "{memory}" WHERE {range} GROUP BY time(5m), "namespace_name""#
            ),
            over(
                "300s",
                format!("quantile by (namespace_name) (0.95, quantile_over_time(0.95, {all}[5m]))"),
            ),
        ),
        question(
            "last of all",
            format!(
                r#"SELECT last("value") FROM "{memory}" WHERE {range} GROUP BY "pod_name", "container_name""#
            ),
            at_end(format!("last_over_time({all}[{}s])", end - start)),
        ),
        question(
            "top 10",
            format!(
                r#"SELECT top("value", "pod_name", "container_name", 10) FROM "{memory}" WHERE time >= {recent}s AND time < {end}s"#
            ),
            at_end(format!("topk(10, max_over_time({all}[10m]))")),
        ),
        question(
            "count",
            format!(r#"SELECT count("value") FROM "{memory}" WHERE {range}"#),
            at_end(format!("sum(count_over_time({all}[{}s]))", end - start)),
        ),
        question(
            "raw",
            format!(
                r#"SELECT "value" FROM "{memory}" WHERE "pod_name" = '{pod}' AND "container_name" = 'main' AND {range}"#
            ),
            format!(
                "/api/v1/export?match[]={}&start={start}&end={end}",
                escape(&one)
            ),
        ),
        question(
            "SHOW TAG VALUES",
            format!(r#"SHOW TAG VALUES FROM "{memory}" WITH KEY = "pod_name""#),
            labels("pod_name", &all),
        ),
        question(
            "SHOW TAG VALUES, regex",
            format!(
                r#"SHOW TAG VALUES FROM "{memory}" WITH KEY = "pod_name" WHERE "nodename" =~ /^node-000[1-3]/"#
            ),
            labels(
                "pod_name",
                &metric(memory, ",nodename=~\"node-000[1-3].*\""),
            ),
        ),
        question(
            "SHOW MEASUREMENTS",
            "SHOW MEASUREMENTS".to_owned(),
            labels("__name__", ""),
        ),
    ]
}

/// Percent-encodes a parameter.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_influxql_question_parses() {
        for question in questions("pod-1", 0, 7200) {
            let parsed = plimsoll_query::parse(&question.influxql, &Default::default());
            assert!(parsed.is_ok(), "{}: {parsed:?}", question.name);
        }
    }

    #[test]
    fn parameters_are_escaped_byte_by_byte() {
        assert_eq!(escape("a \"é\""), "a%20%22%C3%A9%22");
    }
}
