//! Subscriptions: where a policy's points are sent as well.

use super::{Applied, Catalog, Policy};
use crate::{Error, Result};

/// How many of a subscription's destinations get a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destinations {
    /// Each of them.
    All,
    /// One, in turn.
    Any,
}

impl Destinations {
    /// The word in the statement.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Any => "ANY",
        }
    }
}

/// A subscription to a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name, unique in the policy.
    pub name: String,
    /// Which destinations get a batch.
    pub mode: Destinations,
    /// Addresses, as the statement wrote them; whoever makes the change has checked them.
    pub destinations: Vec<String>,
}

impl Catalog {
    pub(super) fn create_subscription(
        &mut self,
        database: &str,
        policy: &str,
        subscription: &Subscription,
    ) -> Result<Applied> {
        let policy = self.policy_mut(database, policy)?;
        let mut names = policy.subscriptions.iter().map(|there| &there.name);
        if names.any(|name| *name == subscription.name) {
            return Err(Error::Invalid("subscription already exists".to_owned()));
        }
        policy.subscriptions.push(subscription.clone());
        Ok(Applied::Changed)
    }

    pub(super) fn drop_subscription(
        &mut self,
        database: &str,
        policy: &str,
        name: &str,
    ) -> Result<Applied> {
        let policy = self.policy_mut(database, policy)?;
        let mut names = policy.subscriptions.iter().map(|there| &there.name);
        let Some(at) = names.position(|there| there == name) else {
            return Err(Error::Invalid("subscription not found".to_owned()));
        };
        policy.subscriptions.remove(at);
        Ok(Applied::Changed)
    }

    fn policy_mut(&mut self, database: &str, name: &str) -> Result<&mut Policy> {
        let policies = &mut self.database_mut(database)?.policies;
        policies
            .iter_mut()
            .find(|policy| policy.name == name)
            .ok_or_else(|| Error::PolicyNotFound(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CatalogChange, MakeDefault, PolicySpec};
    use super::*;

    fn create(catalog: &mut Catalog, policy: &str, name: &str) -> Result<Applied> {
        catalog.apply(&CatalogChange::CreateSubscription {
            database: "d".to_owned(),
            policy: policy.to_owned(),
            subscription: Subscription {
                name: name.to_owned(),
                mode: Destinations::Any,
                destinations: vec!["udp://h:1".to_owned()],
            },
        })
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let made = catalog.apply(&CatalogChange::CreateDatabase {
            name: "d".to_owned(),
            policy: None,
        });
        assert_eq!(made.unwrap(), Applied::Changed);
        catalog
    }

    #[test]
    fn a_name_is_used_once_in_a_policy() {
        let mut catalog = catalog();
        create(&mut catalog, "autogen", "s").unwrap();
        let error = create(&mut catalog, "autogen", "s").unwrap_err();
        assert_eq!(error.to_string(), "subscription already exists");
        let error = create(&mut catalog, "none", "s").unwrap_err();
        assert_eq!(error.to_string(), "retention policy not found: none");
    }

    #[test]
    fn what_is_not_there_is_not_dropped() {
        let mut catalog = catalog();
        create(&mut catalog, "autogen", "s").unwrap();
        let change = CatalogChange::DropSubscription {
            database: "d".to_owned(),
            policy: "autogen".to_owned(),
            name: "s".to_owned(),
        };
        assert_eq!(catalog.apply(&change).unwrap(), Applied::Changed);
        let error = catalog.apply(&change).unwrap_err();
        assert_eq!(error.to_string(), "subscription not found");
    }

    #[test]
    fn altering_a_policy_keeps_its_subscriptions() {
        let mut catalog = catalog();
        create(&mut catalog, "autogen", "s").unwrap();
        let altered = catalog.apply(&CatalogChange::AlterPolicy {
            database: "d".to_owned(),
            policy: PolicySpec {
                name: Some("autogen".to_owned()),
                retention: Some(super::super::DAY_NS * 30),
                shard_duration_ns: Some(0),
                ..PolicySpec::default()
            },
            default: MakeDefault::No,
        });
        assert_eq!(altered.unwrap(), Applied::Changed);
        let policy = catalog.database("d").unwrap().policy("").unwrap();
        assert_eq!(policy.subscriptions.len(), 1);
        assert_eq!(policy.retention.as_ns(), super::super::DAY_NS * 30);
    }
}
