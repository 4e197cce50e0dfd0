//! Databases with their retention policies, continuous queries and subscriptions: a pure state and
//! the changes to it.
//!
//! Names lead to ids that are never used again, so that replay can drop rows of what is gone.

mod continuous;
mod subscription;

use std::collections::BTreeMap;

use crate::{Error, Result};

pub use continuous::{ContinuousQuery, Ran};
pub use subscription::{Destinations, Subscription};

/// One hour in ns.
pub const HOUR_NS: i64 = 3_600_000_000_000;
/// One day in ns.
pub const DAY_NS: i64 = 24 * HOUR_NS;
/// The shortest retention InfluxDB allows.
pub const RETENTION_NS_MIN: i64 = HOUR_NS;
/// The longest name of a database or policy, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Number of a database, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub u64);

/// Number of a retention policy, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub u64);

/// How long points are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// They are never dropped.
    Forever,
    /// They are dropped when their partition ended this many ns ago.
    For(i64),
}

impl Retention {
    /// The duration in ns, 0 for ever, as SHOW RETENTION POLICIES prints it.
    #[must_use]
    pub fn as_ns(self) -> i64 {
        match self {
            Self::Forever => 0,
            Self::For(ns) => ns,
        }
    }

    /// 0 is for ever.
    #[must_use]
    pub fn from_ns(ns: i64) -> Self {
        if ns == 0 {
            Self::Forever
        } else {
            Self::For(ns)
        }
    }

    /// InfluxDB's shard duration for this retention: 1h below 2 days, 1d below 180 days, else 7d.
    #[must_use]
    pub fn default_shard_duration_ns(self) -> i64 {
        match self {
            Self::For(ns) if ns < 2 * DAY_NS => HOUR_NS,
            Self::For(ns) if ns < 180 * DAY_NS => DAY_NS,
            _ => 7 * DAY_NS,
        }
    }
}

/// A retention policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its number.
    pub id: PolicyId,
    /// Its name.
    pub name: String,
    /// How long its points are kept.
    pub retention: Retention,
    /// The length of its partitions in ns.
    pub shard_duration_ns: i64,
    /// Kept and shown, without effect: there is one copy.
    pub replication: u32,
    /// Where its points are sent as well, in the order they were made.
    pub subscriptions: Vec<Subscription>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its number.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
    /// The policy that is used where none is named; empty after it was dropped.
    pub default_policy: String,
    /// Policies by name, in the order they were made.
    pub policies: Vec<Policy>,
    /// In the order they were made.
    pub continuous_queries: Vec<ContinuousQuery>,
}

impl Database {
    /// The policy `name`, or the default where `name` is empty.
    ///
    /// # Errors
    /// [`Error::PolicyNotFound`].
    pub fn policy(&self, name: &str) -> Result<&Policy> {
        let name = if name.is_empty() {
            &self.default_policy
        } else {
            name
        };
        self.policies
            .iter()
            .find(|policy| policy.name == name)
            .ok_or_else(|| Error::PolicyNotFound(name.to_owned()))
    }
}

/// What a policy is asked to be; `None` leaves the default or the present value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySpec {
    /// Its name; in CREATE DATABASE the default is `autogen`.
    pub name: Option<String>,
    /// How long points are kept.
    pub retention: Option<i64>,
    /// The length of a partition in ns, 0 for the default.
    pub shard_duration_ns: Option<i64>,
    /// Copies, shown only.
    pub replication: Option<u32>,
}

/// A change to the catalog; the log records it, replay applies it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogChange {
    /// CREATE DATABASE [WITH …].
    CreateDatabase {
        /// Its name.
        name: String,
        /// What stands behind WITH.
        policy: Option<PolicySpec>,
    },
    /// DROP DATABASE.
    DropDatabase {
        /// Its name.
        name: String,
    },
    /// CREATE RETENTION POLICY.
    CreatePolicy {
        /// The database.
        database: String,
        /// What is asked for; `name` and `retention` are set.
        policy: PolicySpec,
        /// Whether it becomes the default.
        default: MakeDefault,
    },
    /// ALTER RETENTION POLICY.
    AlterPolicy {
        /// The database.
        database: String,
        /// The policy's name and what changes.
        policy: PolicySpec,
        /// Whether it becomes the default.
        default: MakeDefault,
    },
    /// DROP RETENTION POLICY.
    DropPolicy {
        /// The database.
        database: String,
        /// The policy.
        name: String,
    },
    /// CREATE CONTINUOUS QUERY.
    CreateContinuousQuery {
        /// The database.
        database: String,
        /// Its name.
        name: String,
        /// The whole statement, as it is shown and run.
        text: String,
    },
    /// DROP CONTINUOUS QUERY.
    DropContinuousQuery {
        /// The database.
        database: String,
        /// The query.
        name: String,
    },
    /// Continuous queries ran: the next start knows where they go on.
    ContinuousQueriesRan(Vec<Ran>),
    /// CREATE SUBSCRIPTION.
    CreateSubscription {
        /// The database.
        database: String,
        /// The policy.
        policy: String,
        /// What is made.
        subscription: Subscription,
    },
    /// DROP SUBSCRIPTION.
    DropSubscription {
        /// The database.
        database: String,
        /// The policy.
        policy: String,
        /// The subscription.
        name: String,
    },
}

impl CatalogChange {
    /// The oldest format of the manifest whose programs know this change.
    pub(crate) fn format(&self) -> u32 {
        match self {
            Self::CreateDatabase { .. }
            | Self::DropDatabase { .. }
            | Self::CreatePolicy { .. }
            | Self::AlterPolicy { .. }
            | Self::DropPolicy { .. } => 1,
            Self::CreateContinuousQuery { .. }
            | Self::DropContinuousQuery { .. }
            | Self::ContinuousQueriesRan(_)
            | Self::CreateSubscription { .. }
            | Self::DropSubscription { .. } => 3,
        }
    }
}

/// Whether a statement said DEFAULT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MakeDefault {
    /// The policy becomes the database's default.
    Yes,
    /// The default stays.
    No,
}

/// Whether a change did anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The catalog is different now; the change must be logged.
    Changed,
    /// Nothing to do: it was so already.
    Unchanged,
}

/// All databases and their policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Counts the changes.
    pub version: u64,
    /// The next database's or policy's number.
    pub next_id: u64,
    /// By name.
    pub databases: BTreeMap<String, Database>,
}

impl Catalog {
    /// The database `name`.
    ///
    /// # Errors
    /// [`Error::DatabaseNotFound`].
    pub fn database(&self, name: &str) -> Result<&Database> {
        self.databases
            .get(name)
            .ok_or_else(|| Error::DatabaseNotFound(name.to_owned()))
    }

    /// The policy with this number, with its database.
    #[must_use]
    pub fn policy_by_id(&self, id: PolicyId) -> Option<(&Database, &Policy)> {
        self.databases
            .values()
            .flat_map(|database| {
                database
                    .policies
                    .iter()
                    .map(move |policy| (database, policy))
            })
            .find(|(_, policy)| policy.id == id)
    }

    /// Applies a change; the catalog is as it was where it fails.
    ///
    /// # Errors
    /// [`Error::Invalid`] with InfluxDB's text, and the two `NotFound`s.
    pub fn apply(&mut self, change: &CatalogChange) -> Result<Applied> {
        let applied = match change {
            CatalogChange::CreateDatabase { name, policy } => {
                self.create_database(name, policy.as_ref())?
            }
            CatalogChange::DropDatabase { name } => match self.databases.remove(name) {
                Some(_) => Applied::Changed,
                None => Applied::Unchanged,
            },
            CatalogChange::CreatePolicy {
                database,
                policy,
                default,
            } => self.create_policy(database, policy, *default)?,
            CatalogChange::AlterPolicy {
                database,
                policy,
                default,
            } => self.alter_policy(database, policy, *default)?,
            CatalogChange::DropPolicy { database, name } => self.drop_policy(database, name)?,
            CatalogChange::CreateContinuousQuery {
                database,
                name,
                text,
            } => self.create_continuous_query(database, name, text)?,
            CatalogChange::DropContinuousQuery { database, name } => {
                self.drop_continuous_query(database, name)
            }
            CatalogChange::ContinuousQueriesRan(runs) => self.continuous_queries_ran(runs),
            CatalogChange::CreateSubscription {
                database,
                policy,
                subscription,
            } => self.create_subscription(database, policy, subscription)?,
            CatalogChange::DropSubscription {
                database,
                policy,
                name,
            } => self.drop_subscription(database, policy, name)?,
        };
        if applied == Applied::Changed {
            self.version += 1;
        }
        Ok(applied)
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn create_database(&mut self, name: &str, with: Option<&PolicySpec>) -> Result<Applied> {
        check_name(name)?;
        let spec = with.cloned().unwrap_or_default();
        let policy_name = spec.name.clone().unwrap_or_else(|| "autogen".to_owned());
        check_name(&policy_name)?;
        let wanted = resolve(&spec, PolicyId(0), &policy_name)?;
        if let Some(database) = self.databases.get(name) {
            let Some(_) = with else {
                return Ok(Applied::Unchanged);
            };
            let same = database.default_policy == policy_name
                && database
                    .policy(&policy_name)
                    .is_ok_and(|there| is_as_asked(there, &spec));
            return if same {
                Ok(Applied::Unchanged)
            } else {
                Err(Error::Invalid(CONFLICT.to_owned()))
            };
        }
        let id = DatabaseId(self.take_id());
        let policy = Policy {
            id: PolicyId(self.take_id()),
            ..wanted
        };
        self.databases.insert(
            name.to_owned(),
            Database {
                id,
                name: name.to_owned(),
                default_policy: policy_name,
                policies: vec![policy],
                continuous_queries: Vec::new(),
            },
        );
        Ok(Applied::Changed)
    }

    fn create_policy(
        &mut self,
        database: &str,
        spec: &PolicySpec,
        default: MakeDefault,
    ) -> Result<Applied> {
        let name = spec.name.clone().unwrap_or_default();
        check_name(&name)?;
        let wanted = resolve(spec, PolicyId(0), &name)?;
        let there = self.database(database)?;
        let is_default = there.default_policy == name;
        if let Ok(policy) = there.policy(&name) {
            return if same_terms(policy, &wanted) && (default == MakeDefault::No || is_default) {
                Ok(Applied::Unchanged)
            } else {
                Err(Error::Invalid("retention policy already exists".to_owned()))
            };
        }
        let policy = Policy {
            id: PolicyId(self.take_id()),
            ..wanted
        };
        let database = self.database_mut(database)?;
        database.policies.push(policy);
        if default == MakeDefault::Yes {
            database.default_policy = name;
        }
        Ok(Applied::Changed)
    }

    fn alter_policy(
        &mut self,
        database: &str,
        spec: &PolicySpec,
        default: MakeDefault,
    ) -> Result<Applied> {
        let name = spec.name.clone().unwrap_or_default();
        let database = self.database_mut(database)?;
        let at = database
            .policies
            .iter()
            .position(|policy| policy.name == name)
            .ok_or_else(|| Error::PolicyNotFound(name.clone()))?;
        let old = &mut database.policies[at];
        let merged = PolicySpec {
            name: Some(name.clone()),
            retention: spec.retention.or(Some(old.retention.as_ns())),
            shard_duration_ns: spec.shard_duration_ns.or(Some(old.shard_duration_ns)),
            replication: spec.replication.or(Some(old.replication)),
        };
        let altered = resolve(&merged, old.id, &name)?;
        *old = Policy {
            subscriptions: std::mem::take(&mut old.subscriptions),
            ..altered
        };
        if default == MakeDefault::Yes {
            database.default_policy = name;
        }
        Ok(Applied::Changed)
    }

    fn drop_policy(&mut self, database: &str, name: &str) -> Result<Applied> {
        // InfluxDB: silently fine where the database or the policy is absent.
        let Some(database) = self.databases.get_mut(database) else {
            return Ok(Applied::Unchanged);
        };
        let before = database.policies.len();
        database.policies.retain(|policy| policy.name != name);
        if database.default_policy == name {
            database.default_policy.clear();
        }
        Ok(if database.policies.len() < before {
            Applied::Changed
        } else {
            Applied::Unchanged
        })
    }

    fn database_mut(&mut self, name: &str) -> Result<&mut Database> {
        self.databases
            .get_mut(name)
            .ok_or_else(|| Error::DatabaseNotFound(name.to_owned()))
    }
}

const CONFLICT: &str = "retention policy conflicts with an existing policy";

/// Whether a policy is what CREATE DATABASE asks for: what it leaves out matches anything, so that
/// Heapster's `WITH NAME "default"` finds the database that the server made.
fn is_as_asked(there: &Policy, spec: &PolicySpec) -> bool {
    let shard_duration_ns = match spec.shard_duration_ns {
        None | Some(0) => there.retention.default_shard_duration_ns(),
        Some(asked) => asked.max(HOUR_NS),
    };
    spec.retention
        .is_none_or(|ns| ns == there.retention.as_ns())
        && spec
            .replication
            .is_none_or(|count| count == there.replication)
        && shard_duration_ns == there.shard_duration_ns
}

fn same_terms(a: &Policy, b: &Policy) -> bool {
    a.retention == b.retention
        && a.shard_duration_ns == b.shard_duration_ns
        && a.replication == b.replication
}

fn resolve(spec: &PolicySpec, id: PolicyId, name: &str) -> Result<Policy> {
    let ns = spec.retention.unwrap_or(0);
    if ns < 0 || (ns != 0 && ns < RETENTION_NS_MIN) {
        return Err(Error::Invalid(
            "retention policy duration must be at least 1h0m0s".to_owned(),
        ));
    }
    let retention = Retention::from_ns(ns);
    let shard_duration_ns = match spec.shard_duration_ns {
        None | Some(0) => retention.default_shard_duration_ns(),
        Some(asked) => asked.max(HOUR_NS),
    };
    if let Retention::For(ns) = retention
        && ns < shard_duration_ns
    {
        return Err(Error::Invalid(
            "retention policy duration must be greater than the shard duration".to_owned(),
        ));
    }
    let replication = spec.replication.unwrap_or(1);
    Ok(Policy {
        id,
        name: name.to_owned(),
        retention,
        shard_duration_ns,
        replication,
        subscriptions: Vec::new(),
    })
}

/// A name becomes no path here (ids do), yet InfluxDB refuses these and clients rely on it.
fn check_name(name: &str) -> Result<()> {
    let bad = name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name == "."
        || name == ".."
        || name.contains(['/', '\\'])
        || name.chars().any(char::is_control);
    if bad {
        Err(Error::Invalid("invalid name".to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(catalog: &mut Catalog, name: &str, policy: Option<PolicySpec>) -> Result<Applied> {
        catalog.apply(&CatalogChange::CreateDatabase {
            name: name.to_owned(),
            policy,
        })
    }

    fn named(name: &str) -> Option<PolicySpec> {
        Some(PolicySpec {
            name: Some(name.to_owned()),
            ..PolicySpec::default()
        })
    }

    #[test]
    fn a_database_has_autogen_and_may_be_made_twice() {
        let mut catalog = Catalog::default();
        assert_eq!(create(&mut catalog, "d", None).unwrap(), Applied::Changed);
        assert_eq!(create(&mut catalog, "d", None).unwrap(), Applied::Unchanged);
        let policy = catalog.database("d").unwrap().policy("").unwrap();
        assert_eq!(
            (policy.name.as_str(), policy.shard_duration_ns),
            ("autogen", 7 * DAY_NS)
        );
    }

    #[test]
    fn another_policy_for_an_existing_database_conflicts() {
        let mut catalog = Catalog::default();
        create(&mut catalog, "k8s", named("default")).unwrap();
        assert_eq!(
            create(&mut catalog, "k8s", named("default")).unwrap(),
            Applied::Unchanged
        );
        let error = create(&mut catalog, "k8s", named("other")).unwrap_err();
        assert_eq!(error.to_string(), CONFLICT);
    }

    #[test]
    fn what_create_database_leaves_out_matches_any_policy() {
        let mut catalog = Catalog::default();
        let made = PolicySpec {
            retention: Some(30 * DAY_NS),
            ..named("default").unwrap_or_default()
        };
        create(&mut catalog, "k8s", Some(made)).unwrap();
        let again = create(&mut catalog, "k8s", named("default")).unwrap();
        assert_eq!(again, Applied::Unchanged);
        let longer = PolicySpec {
            retention: Some(60 * DAY_NS),
            ..named("default").unwrap_or_default()
        };
        let error = create(&mut catalog, "k8s", Some(longer)).unwrap_err();
        assert_eq!(error.to_string(), CONFLICT);
    }

    #[test]
    fn ids_are_never_used_again() {
        let mut catalog = Catalog::default();
        create(&mut catalog, "d", None).unwrap();
        let first = catalog.database("d").unwrap().id;
        catalog
            .apply(&CatalogChange::DropDatabase {
                name: "d".to_owned(),
            })
            .unwrap();
        create(&mut catalog, "d", None).unwrap();
        assert!(catalog.database("d").unwrap().id > first);
    }

    #[test]
    fn a_name_that_could_be_a_path_is_refused() {
        for name in ["", ".", "..", "a/b", "a\\b", "a\nb"] {
            assert!(
                create(&mut Catalog::default(), name, None).is_err(),
                "{name:?}"
            );
        }
    }
}
