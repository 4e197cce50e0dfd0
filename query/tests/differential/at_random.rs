//! Random requests over random points, on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use plimsoll_engine::{Engine, Timestamp};

use super::compare::{Verdict, compare, is_endless};
use super::data::{self, Point};
use super::generate;
use super::influxd::Influxd;
use super::ours::{Form, ours_as};
use super::pinned;
use super::random::Random;
use super::shrink;
use super::world::{self, Write};

/// Requests over the same points.
const CASES_OF_A_WORLD: u64 = 500;

/// Failures that are shrunk before a run ends.
const FAILURES_MAX: usize = 20;

/// What came out.
#[derive(Default)]
pub struct Summary {
    pub same: usize,
    pub skipped: usize,
    pub deviations: BTreeMap<&'static str, usize>,
    /// Failing cases, shrunk: by statement.
    pub failures: BTreeMap<String, String>,
    pub different: usize,
    /// Different, but as the newest line answers, where one is there to ask.
    pub newer: usize,
}

/// The real ones: 1.6.7, and one of the newest line where there is one.
pub type Peers<'a> = (&'a Influxd, Option<&'a Influxd>);

/// Both sides with the points of a seed.
struct Sides<'a> {
    influxd: &'a Influxd,
    newest: Option<&'a Influxd>,
    database: String,
    engine: Engine,
}

impl<'a> Sides<'a> {
    fn new((influxd, newest): Peers<'a>, database: String, writes: &[Write]) -> Self {
        for peer in [Some(influxd), newest].into_iter().flatten() {
            peer.query("", "", &format!("DROP DATABASE {database}"));
            peer.query("", "", &format!("CREATE DATABASE {database}"));
            peer.query(
                "",
                "",
                &format!("CREATE RETENTION POLICY other ON {database} DURATION INF REPLICATION 1"),
            );
            for write in writes {
                let lines = data::lines(&write.points);
                if !lines.is_empty() {
                    peer.write(&database, write.policy, &lines);
                }
            }
        }
        let engine = data::empty_engine();
        world::store(&engine, writes, world::Place::Spread);
        Self {
            influxd,
            newest,
            database,
            engine,
        }
    }

    fn peers(&self) -> Peers<'a> {
        (self.influxd, self.newest)
    }

    fn ask(
        &self,
        (epoch, chunk_size): (&str, Option<usize>),
        query: &str,
    ) -> (Verdict, String, Option<String>) {
        let now = now();
        if is_endless(query, now) {
            return (Verdict::Same, String::new(), None);
        }
        // The database is called `d` here.
        let theirs = self
            .influxd
            .query_as(&self.database, epoch, chunk_size, query);
        let form = Form {
            epoch,
            chunk_size,
            now,
        };
        let ours = ours_as(&self.engine, form, query);
        let again = |query: &str| ours_as(&self.engine, form, query);
        let verdict = compare(query, &ours, theirs.as_deref(), &again);
        (verdict, ours, theirs)
    }

    /// What the newest line answers.
    fn newest(&self, (epoch, chunk_size): (&str, Option<usize>), query: &str) -> Option<String> {
        if is_endless(query, now()) {
            return None;
        }
        self.newest?
            .query_as(&self.database, epoch, chunk_size, query)
    }
}

impl Drop for Sides<'_> {
    fn drop(&mut self) {
        for peer in [Some(self.influxd), self.newest].into_iter().flatten() {
            peer.query("", "", &format!("DROP DATABASE {}", self.database));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "influxd reads the clock, so both sides have to"
)]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(i64::try_from(since.unwrap().as_nanos()).unwrap())
}

/// The answers to the queries of a file, over the points of a seed.
pub fn answers(peers: Peers<'_>, seed: u64, file: &str) -> String {
    let writes = world::writes(seed);
    let sides = Sides::new(peers, "d".to_owned(), &writes);
    let mut out = String::new();
    for query in std::fs::read_to_string(file).unwrap().lines() {
        let (verdict, ours, theirs) = sides.ask(("ns", None), query);
        let newest = sides.newest(("ns", None), query).unwrap_or_default();
        let theirs = theirs.unwrap_or_default();
        let [ours, theirs, newest] = [&ours, &theirs, &newest].map(|text| text.trim_end());
        writeln!(
            out,
            "{query}\n  newest {newest}\n  theirs {theirs}\n  ours   {ours}\n  {verdict:?}"
        )
        .unwrap();
    }
    out
}

/// Finds a case of each deviation that no entry pins among `count` cases from `seed` on, makes it
/// small, and prints it as an entry.
pub fn pins(peers: Peers<'_>, seed: u64, count: u64, found: &mut dyn FnMut(&str)) {
    let form = ("ns", None);
    let mut pinned: BTreeSet<String> = pinned::entries().into_iter().map(|e| e.name).collect();
    for world in seed..seed + count.div_ceil(CASES_OF_A_WORLD) {
        let writes = world::writes(world);
        let sides = Sides::new(peers, "d".to_owned(), &writes);
        for number in 0..CASES_OF_A_WORLD {
            let query = generate::query(world, number);
            let Verdict::Deviation(name) = sides.ask(form, &query).0 else {
                continue;
            };
            if pinned.contains(name) {
                continue;
            }
            let is_same = |sides: &Sides<'_>, query: &str| {
                sides.ask(form, query).0 == Verdict::Deviation(name)
            };
            let statement = shrink::statement(&query, &mut |query| is_same(&sides, query));
            let few = fewest(&sides, &writes, &mut |sides| is_same(sides, &statement));
            let small = Sides::new(sides.peers(), "few".to_owned(), &few);
            let (_, ours, theirs) = small.ask(form, &statement);
            let entry = pinned::Entry {
                name: name.to_owned(),
                writes: few,
                statement,
                ours,
                influxd: theirs.unwrap_or_default(),
            };
            if let Some(entry) = entry.print() {
                pinned.insert(name.to_owned());
                found(&entry);
            }
        }
    }
}

/// The fewest points of `writes` with which both sides still differ so.
fn fewest(
    sides: &Sides<'_>,
    writes: &[Write],
    differ: &mut dyn FnMut(&Sides<'_>) -> bool,
) -> Vec<Write> {
    let of_write = |write: &Write| -> Vec<(&'static str, Point)> {
        let points = write.points.iter().cloned();
        points.map(|point| (write.policy, point)).collect()
    };
    let all = writes.iter().flat_map(of_write).collect();
    let mut number = 0;
    let few = shrink::points(all, &mut |points| {
        number += 1;
        differ(&Sides::new(
            sides.peers(),
            format!("t{number}"),
            &by_policy(points),
        ))
    });
    by_policy(&few)
}

/// Points as writes, in their order.
fn by_policy(points: &[(&'static str, Point)]) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    for (policy, point) in points {
        match writes.last_mut() {
            Some(last) if last.policy == *policy => last.points.push(point.clone()),
            _ => writes.push(Write {
                policy,
                points: vec![point.clone()],
            }),
        }
    }
    writes
}

/// Whether both sides answer an entry as it says.
pub fn holds(peers: Peers<'_>, entry: &pinned::Entry) -> Result<(), String> {
    let sides = Sides::new(peers, "d".to_owned(), &entry.writes);
    let (verdict, ours, theirs) = sides.ask(("ns", None), &entry.statement);
    let theirs = theirs.unwrap_or_default();
    let is_as_pinned = if entry.influxd == pinned::BY_CHANCE {
        verdict != Verdict::Different
    } else {
        theirs.trim_end() == entry.influxd
            && matches!(verdict, Verdict::Deviation(name) if name == entry.name)
    };
    if ours.trim_end() == entry.ours && is_as_pinned {
        return Ok(());
    }
    Err(format!(
        "{}: {}\n  ours   {ours}  theirs {theirs}  {verdict:?}",
        entry.name, entry.statement
    ))
}

/// Runs `count` cases from `seed` on; `found` hears of each failure before the run ends.
pub fn run(peers: Peers<'_>, seed: u64, count: u64, found: &mut dyn FnMut(&str)) -> Summary {
    let mut summary = Summary::default();
    let mut done = 0;
    while done < count {
        let world = seed + done / CASES_OF_A_WORLD;
        let writes = world::writes(world);
        let sides = Sides::new(peers, "d".to_owned(), &writes);
        for number in 0..CASES_OF_A_WORLD.min(count - done) {
            if summary.failures.len() >= FAILURES_MAX {
                return summary;
            }
            case(&sides, world, number, &writes, &mut summary, found);
        }
        done += CASES_OF_A_WORLD;
    }
    summary
}

fn case(
    sides: &Sides<'_>,
    seed: u64,
    number: u64,
    writes: &[Write],
    summary: &mut Summary,
    found: &mut dyn FnMut(&str),
) {
    let query = generate::query(seed, number);
    let mut random = Random::of(seed, number);
    let epoch = *random.pick(&["ns", "", "ms", "s", "u", "h", "x"]);
    let chunk_size = random.is(8).then(|| 1 + random.below(20));
    let (verdict, ours, theirs) = sides.ask((epoch, chunk_size), &query);
    match verdict {
        Verdict::Same if theirs.is_none() => summary.skipped += 1,
        Verdict::Same => summary.same += 1,
        Verdict::Deviation(name) => *summary.deviations.entry(name).or_default() += 1,
        Verdict::Different
            if sides
                .newest((epoch, chunk_size), &query)
                .is_some_and(|newest| newest == ours) =>
        {
            summary.newer += 1;
        }
        Verdict::Different => {
            summary.different += 1;
            let form = match sides.ask(("ns", None), &query).0 {
                Verdict::Different => ("ns", None),
                _ => (epoch, chunk_size),
            };
            let is_different = |query: &str| {
                let (verdict, ours, _) = sides.ask(form, query);
                verdict == Verdict::Different
                    && sides
                        .newest(form, query)
                        .is_none_or(|newest| newest != ours)
            };
            let small = shrink::statement(&query, &mut |query| is_different(query));
            if !summary.failures.contains_key(&small) {
                let report = report(
                    sides,
                    seed,
                    number,
                    form,
                    &small,
                    writes,
                    summary.failures.len(),
                );
                found(&report);
                summary.failures.insert(small, report);
            }
        }
    }
}

/// Seed, statement, the fewest points, both answers.
fn report(
    sides: &Sides<'_>,
    seed: u64,
    number: u64,
    form: (&str, Option<usize>),
    query: &str,
    writes: &[Write],
    nth: usize,
) -> String {
    let mut report = format!("seed {seed} case {number} {form:?}\n{query}\n");
    let shrunk_max = std::env::var("PLIMSOLL_DIFF_SHRINK")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(3);
    let mut answers = {
        let (_, ours, theirs) = sides.ask(form, query);
        (ours, theirs)
    };
    if nth < shrunk_max {
        let few = fewest(sides, writes, &mut |sides| {
            sides.ask(form, query).0 == Verdict::Different
        });
        let small = Sides::new(sides.peers(), "few".to_owned(), &few);
        let (_, ours, theirs) = small.ask(form, query);
        answers = (ours, theirs);
        for write in &few {
            for line in data::lines(&write.points).lines() {
                writeln!(report, "  write{} {line}", write.policy).unwrap();
            }
        }
    }
    let cut = |text: &str| text.trim_end().chars().take(1500).collect::<String>();
    writeln!(report, "  ours   {}", cut(&answers.0)).unwrap();
    if let Some(newest) = sides.newest(form, query) {
        writeln!(report, "  newest {}", cut(&newest)).unwrap();
    }
    writeln!(
        report,
        "  theirs {}",
        cut(answers.1.as_deref().unwrap_or("broke off"))
    )
    .unwrap();
    report
}
