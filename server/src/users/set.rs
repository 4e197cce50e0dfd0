//! The set of users: a pure state and the changes to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use plimsoll_query::ast::Privilege;
use serde::{Deserialize, Serialize};

/// Most users of one server.
pub(crate) const USERS_MAX: usize = 10_000;
/// The longest name of a user, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// What a user may do in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Access {
    /// Nothing.
    pub(crate) const NONE: Self = Self::new(false, false);
    /// Reading.
    pub(crate) const READ: Self = Self::new(true, false);
    /// Writing.
    pub(crate) const WRITE: Self = Self::new(false, true);
    /// Both.
    pub(crate) const ALL: Self = Self::new(true, true);

    const fn new(read: bool, write: bool) -> Self {
        Self { read, write }
    }

    /// Whether all of `needed` is in it.
    fn covers(self, needed: Self) -> bool {
        (self.read || !needed.read) && (self.write || !needed.write)
    }

    /// Without what is in `other`.
    fn without(self, other: Self) -> Self {
        Self::new(self.read && !other.read, self.write && !other.write)
    }
}

impl From<Privilege> for Access {
    fn from(privilege: Privilege) -> Self {
        match privilege {
            Privilege::Read => Self::READ,
            Privilege::Write => Self::WRITE,
            Privilege::All => Self::ALL,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.write) {
            (false, false) => "NO PRIVILEGES",
            (true, false) => "READ",
            (false, true) => "WRITE",
            (true, true) => "ALL PRIVILEGES",
        })
    }
}

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    /// The password's hash, in the PHC string format.
    pub(super) hash: String,
    /// Whether they may do everything.
    pub(crate) admin: bool,
    /// Rights by database. One that was revoked stays, as InfluxDB shows it.
    pub(crate) databases: BTreeMap<String, Access>,
}

impl User {
    /// Whether they may do this in a database.
    pub(crate) fn may(&self, needed: Access, database: &str) -> bool {
        let granted = self.databases.get(database).copied().unwrap_or_default();
        self.admin || granted.covers(needed)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("admin", &self.admin)
            .field("databases", &self.databases)
            .finish_non_exhaustive()
    }
}

/// Why users are not changed; the texts are InfluxDB's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("user already exists")]
    UserExists,
    #[error("user not found")]
    UserNotFound,
    #[error("username required")]
    UsernameRequired,
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    #[error("a user's name has at most {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("a server has at most {USERS_MAX} users")]
    TooMany,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
    #[error("the change is not stored: {0}")]
    NotStored(String),
}

/// All users, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserSet {
    users: BTreeMap<String, Arc<User>>,
}

impl UserSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether anybody may do everything; before that, nobody is asked who they are.
    pub(crate) fn has_admin(&self) -> bool {
        self.users.values().any(|user| user.admin)
    }

    /// Sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(Arc::as_ref)
    }

    pub(crate) fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    pub(super) fn create(&mut self, name: &str, hash: String, admin: bool) -> Result<(), Problem> {
        if name.is_empty() {
            return Err(Problem::UsernameRequired);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Problem::NameTooLong);
        }
        if self.users.contains_key(name) {
            return Err(Problem::UserExists);
        }
        if self.users.len() >= USERS_MAX {
            return Err(Problem::TooMany);
        }
        let user = User {
            name: name.to_owned(),
            hash,
            admin,
            databases: BTreeMap::new(),
        };
        self.users.insert(name.to_owned(), Arc::new(user));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Problem> {
        let removed = self.users.remove(name).map(drop);
        removed.ok_or(Problem::UserNotFound)
    }

    pub(super) fn set_password(&mut self, name: &str, hash: String) -> Result<(), Problem> {
        self.one(name)?.hash = hash;
        Ok(())
    }

    pub(crate) fn set_admin(&mut self, name: &str, admin: bool) -> Result<(), Problem> {
        self.one(name)?.admin = admin;
        Ok(())
    }

    /// GRANT: what was granted before is replaced, as InfluxDB does it.
    pub(crate) fn grant(
        &mut self,
        name: &str,
        database: &str,
        access: Access,
    ) -> Result<(), Problem> {
        let databases = &mut self.one(name)?.databases;
        databases.insert(database.to_owned(), access);
        Ok(())
    }

    /// REVOKE.
    pub(crate) fn revoke(
        &mut self,
        name: &str,
        database: &str,
        access: Access,
    ) -> Result<(), Problem> {
        let databases = &mut self.one(name)?.databases;
        let granted = databases.get(database).copied().unwrap_or_default();
        databases.insert(database.to_owned(), granted.without(access));
        Ok(())
    }

    /// Takes the rights in a database that is gone from everybody.
    pub(crate) fn forget_database(&mut self, database: &str) {
        for user in self.users.values_mut() {
            if user.databases.contains_key(database) {
                Arc::make_mut(user).databases.remove(database);
            }
        }
    }

    fn one(&mut self, name: &str) -> Result<&mut User, Problem> {
        let user = self.users.get_mut(name).ok_or(Problem::UserNotFound)?;
        Ok(Arc::make_mut(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> UserSet {
        let mut set = UserSet::default();
        set.create("ann", "hash".to_owned(), false).unwrap();
        set
    }

    #[test]
    fn a_grant_replaces_and_a_revoke_takes_away() {
        for (grants, revoked, expected) in [
            (vec![Access::READ, Access::WRITE], Access::NONE, "WRITE"),
            (vec![Access::ALL], Access::READ, "WRITE"),
            (vec![Access::ALL], Access::ALL, "NO PRIVILEGES"),
            (vec![Access::READ], Access::WRITE, "READ"),
            (vec![], Access::READ, "NO PRIVILEGES"),
        ] {
            let mut set = set();
            for access in grants {
                set.grant("ann", "db", access).unwrap();
            }
            set.revoke("ann", "db", revoked).unwrap();
            let found = set.user("ann").unwrap().databases["db"].to_string();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn rights_hold_in_their_database_only() {
        let mut set = set();
        set.grant("ann", "db", Access::READ).unwrap();
        let may = |set: &UserSet, access, database| set.user("ann").unwrap().may(access, database);
        assert!(may(&set, Access::READ, "db") && may(&set, Access::NONE, "other"));
        assert!(!may(&set, Access::WRITE, "db") && !may(&set, Access::READ, "other"));
        set.forget_database("db");
        assert!(!may(&set, Access::READ, "db"));
        set.set_admin("ann", true).unwrap();
        assert!(may(&set, Access::ALL, "other") && set.has_admin());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut set = set();
        assert_eq!(
            set.create("ann", String::new(), true),
            Err(Problem::UserExists)
        );
        assert_eq!(
            set.create("", String::new(), true),
            Err(Problem::UsernameRequired)
        );
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(
            set.create(&long, String::new(), true),
            Err(Problem::NameTooLong)
        );
        assert_eq!(set.remove("bob"), Err(Problem::UserNotFound));
        assert_eq!(
            set.grant("bob", "db", Access::ALL),
            Err(Problem::UserNotFound)
        );
    }

    #[test]
    fn a_hash_is_never_shown() {
        assert!(!format!("{:?}", set()).contains("hash\""));
    }
}
