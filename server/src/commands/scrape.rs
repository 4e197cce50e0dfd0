//! `plimsoll scrape --once URL`: what a target gives, what is kept, and what is dropped and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use plimsoll_engine::FieldValue;
use plimsoll_ingest::cgroup;
use plimsoll_ingest::choice::Choice;
use plimsoll_ingest::discover::KubeletAccess;
use plimsoll_ingest::generic::Rules;
use plimsoll_ingest::kubelet::Pages;
use plimsoll_ingest::labels::LabelRules;
use plimsoll_ingest::profile::{Naming, Profile};
use plimsoll_ingest::scrape::{Options, Scraped, Target, once};

use super::print;
use crate::clock::SystemClock;
use crate::config::{Duration, Parsed};
use crate::exit::{Code, Failure};

/// Options of `scrape`.
#[derive(Debug, Args)]
pub struct ScrapeArgs {
    /// Read it once, and write nothing; the only way there is
    #[arg(long, required = true)]
    once: bool,
    /// The target, or `cgroups` for this machine
    #[arg(value_name = "URL")]
    url: String,
    /// What the target is [default: by its port and path]
    #[arg(long)]
    kind: Option<Kind>,
    /// File with the bearer token for a Kubelet
    #[arg(long, value_name = "FILE")]
    kubelet_token_file: Option<PathBuf>,
    /// File with the Kubelet's certificate authority, PEM
    #[arg(long, value_name = "FILE")]
    kubelet_ca_file: Option<PathBuf>,
    /// Do not check the Kubelet's certificate
    #[arg(long)]
    kubelet_insecure_skip_verify: bool,
    /// Which pages of a Kubelet are read: full, summary or resource
    #[arg(long, value_name = "PAGES", default_value = "full")]
    kubelet_pages: Parsed<Pages>,
    /// Names of the series; rates need two scrapes and are not shown
    #[arg(long, value_name = "PROFILE", default_value = "classic")]
    profile: Parsed<Profile>,
    /// Label that becomes a tag; may be given several times
    #[arg(long, value_name = "LABEL")]
    label_tag: Vec<String>,
    /// Metric that is kept, `*` for any text; may be given several times
    #[arg(long, value_name = "METRIC")]
    metrics_keep: Vec<String>,
    /// Metric that is dropped; may be given several times
    #[arg(long, value_name = "METRIC")]
    metrics_drop: Vec<String>,
    /// How long it may take
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    timeout: Parsed<Duration>,
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A Kubelet
    Kubelet,
    /// A cAdvisor of its own
    Cadvisor,
    /// Any other page in Prometheus' format
    Prometheus,
    /// This machine's cgroups
    Cgroups,
}

impl Kind {
    /// A guess, which `--kind` corrects.
    fn of(url: &str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (authority, path) = rest.split_once("/").unwrap_or((rest, ""));
        let is_kubelets = [
            "stats/summary",
            "metrics/cadvisor",
            "metrics/resource",
            "proxy",
        ]
        .iter()
        .any(|page| path.trim_end_matches('/').ends_with(page));
        match url {
            "cgroups" => Self::Cgroups,
            _ if is_kubelets || authority.ends_with(":10250") => Self::Kubelet,
            _ if path.starts_with("api/v") || authority.ends_with(":8080") => Self::Cadvisor,
            _ if path.is_empty() && url.starts_with("https://") => Self::Kubelet,
            _ if path.is_empty() => Self::Cadvisor,
            _ => Self::Prometheus,
        }
    }
}

/// Reads the target, and prints what came of it.
///
/// # Errors
/// A target that makes no sense, or does not answer as it should.
pub fn run(args: ScrapeArgs) -> Result<(), Failure> {
    let kind = args.kind.unwrap_or_else(|| Kind::of(&args.url));
    let url = args.url;
    let target = match kind {
        Kind::Cgroups => Target::Cgroups {
            paths: cgroup::Paths::default(),
        },
        Kind::Cadvisor => Target::Cadvisor { url },
        Kind::Prometheus => Target::Prometheus {
            url,
            rules: Rules::default(),
        },
        Kind::Kubelet => KubeletAccess {
            token_file: args.kubelet_token_file,
            ca_file: args.kubelet_ca_file,
            insecure_skip_verify: args.kubelet_insecure_skip_verify,
            pages: args.kubelet_pages.0,
        }
        .target(url, None),
    };
    let entries = [&args.metrics_keep, &args.metrics_drop];
    let [keep, drop] = entries.map(|list| list.iter().map(String::as_str));
    let choice = Choice::parse(keep, drop)
        .map_err(|error| Failure::new(Code::Configuration, format!("--{error}")))?;
    let naming = Naming {
        profile: args.profile.0,
        labels: LabelRules {
            tags: args.label_tag.clone(),
            ..LabelRules::default()
        },
        choice: Arc::new(choice),
        ..Naming::default()
    };
    let options = Options {
        deadline: args.timeout.0.0,
        label_tags: args.label_tag,
        naming: naming.clone(),
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start threads: {error}")))?;
    let mut scraped = runtime
        .block_on(once(target, options, Arc::new(SystemClock)))
        .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
    let idle = naming.idle().into_iter();
    let idle = idle.map(|entry| format!("{entry} fits no metric of it"));
    scraped.warnings.extend(idle);
    print(&table(&scraped));
    if scraped.is_up() {
        return Ok(());
    }
    let lines = scraped.errors.iter().map(ToString::to_string).collect();
    let code = Code::Failed;
    Err(Failure { code, lines })
}

/// What a scrape gave, in lines for people.
fn table(scraped: &Scraped) -> String {
    let mut text = String::new();
    let dropped: usize = scraped.dropped.values().sum();
    let mut line = |words: std::fmt::Arguments<'_>| {
        text.write_fmt(words).expect("a text takes everything");
        text.push('\n');
    };
    line(format_args!(
        "{}: {} of {} values are kept, as {} points of {} tag sets",
        scraped.target,
        scraped.kept,
        scraped.kept + dropped,
        scraped.batch.len(),
        scraped.batch.tag_sets().len()
    ));
    line(format_args!(""));
    line(format_args!(
        "{:>8}  {:<14} {:<40} the first of them",
        "KEPT", "TYPE", "SERIES"
    ));
    for ((series, kind), (count, example)) in kept(scraped) {
        line(format_args!(
            "{count:>8}  {kind:<14} {series:<40} {example}"
        ));
    }
    line(format_args!(""));
    line(format_args!("{:>8}  WHY", "DROPPED"));
    for (reason, count) in &scraped.dropped {
        line(format_args!("{count:>8}  {reason}"));
    }
    for warning in &scraped.warnings {
        line(format_args!("warning: {warning}"));
    }
    text
}

/// By series and level: how many points, and the first.
fn kept(scraped: &Scraped) -> BTreeMap<(String, String), (usize, String)> {
    let batch = &scraped.batch;
    let mut kept = BTreeMap::new();
    for point in batch.points() {
        let tags = &batch.tag_sets()[point.tag_set as usize];
        let kind = tags.value("type").unwrap_or_default().into_owned();
        let (field, value) = &point.fields[0];
        let mut series = batch.names()[point.measurement as usize].to_string();
        match &*batch.names()[*field as usize] {
            "value" => {}
            field => series = format!("{series} {field}"),
        }
        let (count, _) = kept.entry((series, kind)).or_insert_with(|| {
            let of = ["pod_name", "container_name", "resource_id", "target"];
            let of = of
                .iter()
                .filter_map(|key| Some(tags.value(key)?.into_owned()));
            let value = match value {
                FieldValue::Integer(value) => value.to_string(),
                FieldValue::Float(value) => value.to_string(),
                other => format!("{other:?}"),
            };
            (0, format!("{} = {value}", of.collect::<Vec<_>>().join(" ")))
        });
        *count += 1;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_guessed_by_its_port_and_path() {
        for (url, kind) in [
            ("cgroups", Kind::Cgroups),
            ("https://n1:10250", Kind::Kubelet),
            ("n1:10250", Kind::Kubelet),
            ("https://n1", Kind::Kubelet),
            ("http://127.0.0.1:8001/api/v1/nodes/n1/proxy", Kind::Kubelet),
            ("http://h:1/stats/summary", Kind::Kubelet),
            ("http://h:8080", Kind::Cadvisor),
            ("http://h:8080/metrics", Kind::Cadvisor),
            ("http://h:1/api/v1.3/subcontainers/", Kind::Cadvisor),
            ("http://h:1", Kind::Cadvisor),
            ("http://h:9100/metrics", Kind::Prometheus),
        ] {
            assert_eq!(Kind::of(url), kind, "{url}");
        }
    }

    #[test]
    fn the_table_counts_by_series_and_says_why_the_rest_is_gone() {
        let mut scraped = Scraped {
            target: "http://h:8080/metrics".to_owned(),
            kept: 2,
            warnings: vec!["a warning".to_owned()],
            ..Scraped::default()
        };
        scraped.dropped.insert("slice", 3);
        let tags = plimsoll_engine::TagSet::from_pairs([("type", "node")]).unwrap();
        for value in [7, 8] {
            let field = [("value", FieldValue::Integer(value))];
            let time = plimsoll_engine::Timestamp(value);
            scraped.batch.add("memory/usage", &tags, time, field);
        }
        let text = table(&scraped);
        for expected in [
            "http://h:8080/metrics: 2 of 5 values are kept, as 2 points of 1 tag sets",
            "       2  node           memory/usage",
            "       3  slice",
            "warning: a warning",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }
}
