//! Queries at random, from a seed.

use super::random::Random;

/// `count` queries, the same for the same seed.
pub fn queries(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random(seed);
    (0..count).map(|_| select(&mut random)).collect()
}

fn select(random: &mut Random) -> String {
    let (measurement, numbers, tags) = match random.below(3) {
        0 => (
            "cpu",
            &["usage", "ticks", "rare"][..],
            &["host", "region"][..],
        ),
        1 => ("net", &["rx", "tx"][..], &["host", "\"if\""][..]),
        _ => ("ties", &["v"][..], &["host"][..]),
    };
    let is_windowed = random.is(60);
    let is_raw = !is_windowed && random.is(40);
    let mut columns = Vec::new();
    for _ in 0..=random.below(3) {
        let field = random.one(numbers);
        columns.push(if is_raw {
            match random.below(4) {
                0 => format!("{field} * 2"),
                1 => format!("{field} + {}", random.one(numbers)),
                _ => field.to_owned(),
            }
        } else {
            call(random, field, is_windowed)
        });
    }
    let mut query = format!("SELECT {} FROM {measurement}", columns.join(", "));
    let start = random.below(40) * 7;
    let end = start + 10 + random.below(300);
    let mut conditions = vec![
        format!("time >= {}s", 1_711_800_000 - 30 + start),
        format!("time < {}s", 1_711_800_000 - 30 + end),
    ];
    if random.is(40) {
        conditions.push(
            match random.below(5) {
                0 => "host = 'a'",
                1 => "host != 'b'",
                2 => "host =~ /^(a|c|q)$/",
                3 => "host !~ /b|r/",
                _ => "(host = 'a' OR host = 'p')",
            }
            .to_owned(),
        );
    }
    if random.is(25) {
        conditions.push(format!("{} > {}", random.one(numbers), random.below(40)));
    }
    query.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    let mut groups = Vec::new();
    if is_windowed {
        let every = random.one(&["10s", "15s", "30s", "1m", "100s", "7s"]);
        let offset = random.one(&["", "", "", ", 3s", ", -4s"]);
        groups.push(format!("time({every}{offset})"));
    }
    if random.is(50) {
        groups.push(random.one(tags).to_owned());
    }
    if !groups.is_empty() {
        query.push_str(&format!(" GROUP BY {}", groups.join(", ")));
    }
    if is_windowed && random.is(60) {
        let fill = random.one(&["null", "none", "0", "previous", "linear", "2.5"]);
        query.push_str(&format!(" fill({fill})"));
    }
    // The order of rows of one time in several series is not defined from the end.
    if random.is(20) && !is_raw {
        query.push_str(" ORDER BY time DESC");
    }
    // influxd cuts raw rows after OFFSET where there is no LIMIT, and what a limit cuts off of rows
    // of one time is not defined.
    if random.is(25) && !is_raw {
        query.push_str(&format!(" LIMIT {}", 1 + random.below(5)));
        if random.is(40) {
            query.push_str(&format!(" OFFSET {}", random.below(4)));
        }
    }
    query
}

fn call(random: &mut Random, field: &str, is_windowed: bool) -> String {
    let aggregate = match random.below(14) {
        0 => format!("count({field})"),
        1 => format!("sum({field})"),
        2 => format!("mean({field})"),
        3 => format!("min({field})"),
        4 => format!("max({field})"),
        // Without windows, influxd's choice among points of one time is not defined.
        5 if is_windowed => format!("first({field})"),
        6 if is_windowed => format!("last({field})"),
        7 => format!("spread({field})"),
        8 => format!("median({field})"),
        9 => format!("stddev({field})"),
        10 => format!(
            "percentile({field}, {})",
            random.one(&["5", "50", "90", "99.5"])
        ),
        11 => format!("count(distinct({field}))"),
        _ => format!("mean({field})"),
    };
    let transformed = match random.below(10) {
        0 if is_windowed => format!("derivative({aggregate}, 1s)"),
        1 if is_windowed => format!("difference({aggregate})"),
        2 if is_windowed => format!("non_negative_derivative({aggregate})"),
        3 if is_windowed => format!("cumulative_sum({aggregate})"),
        4 if is_windowed => format!("elapsed({aggregate}, 1s)"),
        _ => aggregate,
    };
    match random.below(6) {
        0 => format!("{transformed} / 3"),
        1 => format!("{transformed} * 2"),
        _ => transformed,
    }
}
