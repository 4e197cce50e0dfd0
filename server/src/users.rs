//! Users, their passwords and what they may do.
//!
//! The set is small and lives in memory; every change is durable in the data directory before it
//! is acknowledged. Messages are InfluxDB's.

mod file;
mod password;
mod privileges;
mod set;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use plimsoll_engine::Timestamp;
use plimsoll_query::ast::{Secret, Statement};

pub(crate) use password::Verified;
pub(crate) use set::{Access, Problem, User, UserSet};

use crate::exit::{Code, Failure};

/// The users of a data directory.
#[derive(Debug)]
pub(crate) struct Users {
    path: PathBuf,
    set: RwLock<Arc<UserSet>>,
    /// Held while a change is written, so that two changes cannot lose one another.
    changing: Mutex<()>,
    verified: Verified,
}

/// Why somebody is not let in; the texts are InfluxDB's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// User and password do not belong together, or there is no such user.
    #[error("authorization failed")]
    Password,
    /// A token that is not good; says why.
    #[error("{0}")]
    Token(String),
}

impl Users {
    /// Reads the users of a data directory; none where it has none yet.
    ///
    /// # Errors
    /// A line that names the file, where it cannot be read or is damaged.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(file::NAME);
        let set = file::read(&path).map_err(|error| {
            let code = match error {
                file::Error::Damaged(_) => Code::Corrupt,
                file::Error::Io(_) => Code::Data,
            };
            Failure::new(code, format!("{}: {error}", path.display()))
        })?;
        Ok(Self {
            path,
            set: RwLock::new(Arc::new(set)),
            changing: Mutex::new(()),
            verified: Verified::default(),
        })
    }

    /// The file of a data directory's users, name and bytes, for a backup; `None` where it has none.
    ///
    /// # Errors
    /// A line that names the file, where it cannot be read.
    pub(crate) fn companion(directory: &Path) -> Result<Option<(&'static str, Vec<u8>)>, Failure> {
        let path = directory.join(file::NAME);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some((file::NAME, bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let line = format!("{}: {error}", path.display());
                Err(Failure::new(Code::Data, line))
            }
        }
    }

    /// The users as they are now.
    pub(crate) fn all(&self) -> Arc<UserSet> {
        Arc::clone(&self.set.read())
    }

    /// Whether `password` is the user's. Slow on purpose where it was not seen before: call it on
    /// a thread that may block.
    ///
    /// # Errors
    /// [`Denied::Password`], which does not say which of the two is wrong.
    pub(crate) fn log_in(&self, name: &str, password: &str) -> Result<Arc<User>, Denied> {
        let user = self.all().user(name).cloned();
        let hash = user.as_ref().map(|user| user.hash.as_str());
        if self.verified.check(name, password, hash) {
            user.ok_or(Denied::Password)
        } else {
            Err(Denied::Password)
        }
    }

    /// Whether `password` was found right a moment ago, which is quick to say.
    pub(crate) fn log_in_again(&self, name: &str, password: &str) -> Option<Arc<User>> {
        let user = self.all().user(name).cloned()?;
        let known = self.verified.is_known(name, password, &user.hash);
        known.then_some(user)
    }

    /// The user that a JSON Web Token names.
    ///
    /// # Errors
    /// [`Denied::Token`].
    pub(crate) fn bearer(
        &self,
        token: &str,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Arc<User>, Denied> {
        let name = token::username(token, secret, now).map_err(Denied::Token)?;
        let user = self.all().user(&name).cloned();
        user.ok_or_else(|| Denied::Token(Problem::UserNotFound.to_string()))
    }

    /// Makes a user. One that is there with the same password and rights is left as it is.
    ///
    /// # Errors
    /// [`Problem::UserExists`], [`Problem::UsernameRequired`], [`Problem::NotStored`].
    pub(crate) fn create(&self, name: &str, password: &Secret, admin: bool) -> Result<(), Problem> {
        if let Some(there) = self.all().user(name) {
            let same = there.admin == admin && password::matches(&password.0, &there.hash);
            return if same {
                Ok(())
            } else {
                Err(Problem::UserExists)
            };
        }
        let hash = password::hash(&password.0)?;
        self.change(|set| set.create(name, hash, admin))
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// [`Problem::UserNotFound`], [`Problem::NotStored`].
    pub(crate) fn set_password(&self, name: &str, password: &Secret) -> Result<(), Problem> {
        let hash = password::hash(&password.0)?;
        self.change(|set| set.set_password(name, hash))
    }

    /// Applies a change and makes it durable; on an error nothing has changed.
    ///
    /// # Errors
    /// The change's own, or [`Problem::NotStored`].
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut UserSet) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let _turn = self.changing.lock();
        let before = self.all();
        let mut set = UserSet::clone(&before);
        change(&mut set)?;
        if set == *before {
            return Ok(());
        }
        file::write(&self.path, &set).map_err(|error| {
            tracing::error!(path = %self.path.display(), %error, "users were not stored");
            Problem::NotStored(error.to_string())
        })?;
        self.verified.forget();
        *self.set.write() = Arc::new(set);
        Ok(())
    }

    /// Whether somebody may run all of these statements; the text says what they may not.
    ///
    /// # Errors
    /// InfluxDB's text.
    pub(crate) fn may_run(
        &self,
        user: Option<&User>,
        statements: &[Statement],
        database: &str,
    ) -> Result<(), String> {
        let set = self.all();
        if set.is_empty() {
            return match statements.first() {
                Some(Statement::CreateUser { admin: true, .. }) => Ok(()),
                _ => Err("create admin user first or disable authentication".to_owned()),
            };
        }
        let user = user.ok_or("no user provided")?;
        // Rights may have changed since the request came in.
        let user = set.user(&user.name).ok_or("no user provided")?;
        privileges::check(user, statements, database)
    }

    /// A user as they are now, for rights that may have changed since they logged in.
    pub(crate) fn current(&self, user: &User) -> Option<Arc<User>> {
        self.all().user(&user.name).cloned()
    }
}
