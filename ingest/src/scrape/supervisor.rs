//! Which targets have a task: those of the configuration, and those that discoveries find.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval_at};

use super::pull::Puller;
use super::target::{NodeState, Target};
use super::{Error, Scraped, Shared, task};
use crate::discover::Found;

/// After how many intervals it is said which entries of a choice have not fitted anything.
const IDLE_AFTER_INTERVALS: u32 = 3;
/// How many intervals the sums of a target that is not heard of any more count for.
const SUMS_AGE_INTERVALS: u32 = 4;

/// What to do so that the wanted targets, and no others, have a task.
#[derive(Debug, PartialEq)]
struct Plan {
    stop: Vec<Target>,
    start: Vec<(Target, NodeState)>,
    tell: Vec<(Target, NodeState)>,
}

/// Compares what runs with what every discovery wants.
fn plan(running: &HashMap<Target, NodeState>, wanted: &HashMap<Target, NodeState>) -> Plan {
    let stop = running
        .keys()
        .filter(|target| !wanted.contains_key(*target));
    let mut plan = Plan {
        stop: stop.cloned().collect(),
        start: Vec::new(),
        tell: Vec::new(),
    };
    for (target, state) in wanted {
        match running.get(target) {
            None => plan.start.push((target.clone(), *state)),
            Some(known) if known != state => plan.tell.push((target.clone(), *state)),
            Some(_) => {}
        }
    }
    plan
}

struct Running {
    task: AbortHandle,
    state: watch::Sender<NodeState>,
}

pub(super) struct Supervisor {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: mpsc::Sender<Scraped>,
    pub(super) shutdown: watch::Receiver<bool>,
    pub(super) found: mpsc::Receiver<Found>,
    tasks: JoinSet<()>,
    running: HashMap<Target, Running>,
    states: HashMap<Target, NodeState>,
    /// What each discovery wants.
    wanted: HashMap<usize, HashMap<Target, NodeState>>,
}

impl Supervisor {
    pub(super) fn new(
        shared: Arc<Shared>,
        sink: mpsc::Sender<Scraped>,
        shutdown: watch::Receiver<bool>,
        found: mpsc::Receiver<Found>,
    ) -> Self {
        Self {
            shared,
            sink,
            shutdown,
            found,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            states: HashMap::new(),
            wanted: HashMap::new(),
        }
    }

    /// Starts the targets of the configuration, spread evenly over the interval, the first at
    /// once.
    pub(super) fn start_fixed(&mut self, pullers: Vec<Puller>) {
        let count = u32::try_from(pullers.len()).unwrap_or(u32::MAX).max(1);
        for (index, puller) in (0..count).zip(pullers) {
            let phase = self.shared.options.interval / count * index;
            let (_, state) = watch::channel(NodeState::default());
            self.spawn(puller, phase, state);
        }
    }

    fn spawn(
        &mut self,
        puller: Puller,
        phase: Duration,
        state: watch::Receiver<NodeState>,
    ) -> AbortHandle {
        self.tasks.spawn(task::run(
            puller,
            phase,
            Arc::clone(&self.shared.options),
            self.sink.clone(),
            state,
            self.shutdown.clone(),
        ))
    }

    /// Runs until it is told to stop, or until all targets have ended and none can come.
    pub(super) async fn run(mut self) {
        let every = self.shared.options.interval.max(Duration::from_millis(1));
        let mut sums = interval_at(tokio::time::Instant::now() + every, every);
        sums.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut may_find = true;
        let mut intervals = 0;
        let mut shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                // An error is a sender that is gone, which means the same.
                _ = async { shutdown.wait_for(|stop| *stop).await.is_ok() } => break,
                found = self.found.recv(), if may_find => match found {
                    Some(found) => self.take(found).await,
                    None => may_find = false,
                },
                _ = sums.tick() => {
                    self.write_sums().await;
                    intervals += 1;
                    if intervals == IDLE_AFTER_INTERVALS {
                        self.say_idle();
                    }
                }
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Some(Err(error)) = ended && !error.is_cancelled() {
                        tracing::error!(%error, "a scrape task died");
                    }
                }
            }
            if self.tasks.is_empty() && (!may_find || self.sink.is_closed()) {
                break;
            }
        }
        // They hear of the shutdown by themselves.
        while self.tasks.join_next().await.is_some() {}
    }

    async fn take(&mut self, found: Found) {
        let Found {
            discovery,
            targets,
            problem,
        } = found;
        if let Some(targets) = targets {
            self.wanted.insert(discovery, targets.into_iter().collect());
            let wanted = self.wanted.values().flatten();
            let wanted = wanted
                .map(|(target, state)| (target.clone(), *state))
                .collect();
            let plan = plan(&self.states, &wanted);
            self.apply(plan).await;
            self.states = wanted;
        }
        if let Some(error) = problem {
            self.report(error).await;
        }
    }

    async fn apply(&mut self, plan: Plan) {
        for target in plan.stop {
            if let Some(running) = self.running.remove(&target) {
                running.task.abort();
            }
        }
        for (target, state) in plan.tell {
            if let Some(running) = self.running.get(&target) {
                running.state.send_replace(state);
            }
        }
        for (target, state) in plan.start {
            match Puller::new(&target, Arc::clone(&self.shared)) {
                Ok(puller) => {
                    let phase = phase(puller.name(), self.shared.options.interval);
                    let (sender, receiver) = watch::channel(state);
                    let task = self.spawn(puller, phase, receiver);
                    let running = Running {
                        task,
                        state: sender,
                    };
                    self.running.insert(target, running);
                }
                Err(error) => self.report(error).await,
            }
        }
    }

    /// Says what is wrong with the finding of targets.
    async fn report(&self, error: Error) {
        let scraped = Scraped {
            target: "discovery".to_owned(),
            errors: vec![error],
            ..Scraped::default()
        };
        self.send(scraped).await;
    }

    /// Logs the entries of the choice that have not fitted anything yet.
    fn say_idle(&self) {
        for entry in self.shared.naming.idle() {
            tracing::warn!("{entry} fits no metric so far");
        }
    }

    async fn write_sums(&self) {
        let age_max = self.shared.options.interval * SUMS_AGE_INTERVALS;
        let batch = self.shared.sum_rows(age_max);
        if !batch.is_empty() {
            let scraped = Scraped {
                target: "sums over the cluster".to_owned(),
                batch,
                ..Scraped::default()
            };
            self.send(scraped).await;
        }
    }

    /// Hands over what is the supervisor's own; gives up where it is told to stop meanwhile, as
    /// the tasks do, since then the channel may stay full.
    async fn send(&self, scraped: Scraped) {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            sent = self.sink.send(scraped) => {
                if sent.is_err() {
                    tracing::debug!("nobody takes what was collected");
                }
            }
            _ = async { shutdown.wait_for(|stop| *stop).await.is_ok() } => {}
        }
    }
}

/// When in the interval a target is scraped: anywhere, but for one target always the same, so
/// that thousands do not answer at a time, and a restart changes nothing.
pub(super) fn phase(name: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(hasher.finish() % interval_ns.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::target::Readiness;

    fn cadvisor(host: &str) -> Target {
        Target::Cadvisor {
            url: format!("http://{host}:8080"),
        }
    }

    #[test]
    fn targets_that_stay_keep_their_task_and_hear_what_is_new() {
        let ready = NodeState::default();
        let not_ready = NodeState {
            readiness: Readiness::NotReady,
            ..ready
        };
        let running = HashMap::from([
            (cadvisor("stays"), ready),
            (cadvisor("changes"), ready),
            (cadvisor("goes"), ready),
        ]);
        let wanted = HashMap::from([
            (cadvisor("stays"), ready),
            (cadvisor("changes"), not_ready),
            (cadvisor("comes"), ready),
        ]);
        assert_eq!(
            plan(&running, &wanted),
            Plan {
                stop: vec![cadvisor("goes")],
                start: vec![(cadvisor("comes"), ready)],
                tell: vec![(cadvisor("changes"), not_ready)],
            }
        );
    }

    #[test]
    fn a_target_has_its_place_in_the_interval_and_many_are_spread_over_it() {
        let interval = Duration::from_secs(10);
        let phases: Vec<Duration> = (0..1_000)
            .map(|node| phase(&format!("https://node-{node}:10250"), interval))
            .collect();
        assert!(phases.iter().all(|phase| *phase < interval));
        assert_eq!(phases[7], phase("https://node-7:10250", interval));
        for second in 0..10 {
            let within = phases.iter().filter(|phase| phase.as_secs() == second);
            let count = within.count();
            assert!((50..150).contains(&count), "{count} in second {second}");
        }
    }
}
