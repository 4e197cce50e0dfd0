//! The queries that run now: SHOW QUERIES lists them, KILL QUERY stops one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use plimsoll_engine::Timestamp;
use plimsoll_query::Cancel;
use plimsoll_query::exec::INTERRUPTED;

/// All of them, by number; no number is used twice.
#[derive(Debug, Default)]
pub(crate) struct Queries(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    running: BTreeMap<u64, Running>,
}

#[derive(Debug)]
struct Running {
    text: String,
    database: String,
    started: Timestamp,
    cancel: Arc<Cancel>,
    status: Status,
}

/// Whether a query was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    /// It ends at its next look at its flag.
    Killed,
}

impl Status {
    /// InfluxDB's word.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Killed => "killed",
        }
    }
}

/// A query as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) database: String,
    pub(crate) started: Timestamp,
    pub(crate) status: Status,
}

/// Why a query was not killed, in InfluxDB's words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotKilled {
    #[error("no such query id: {0}")]
    Unknown(u64),
    #[error("already killed")]
    Already,
}

/// Keeps a query in the list until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    queries: &'a Queries,
    id: u64,
}

impl Queries {
    /// Lists a query, for as long as the answer lives.
    pub(crate) fn enter(
        &self,
        text: String,
        database: &str,
        started: Timestamp,
        cancel: &Arc<Cancel>,
    ) -> Entry<'_> {
        let mut table = self.0.lock();
        table.last += 1;
        let id = table.last;
        table.running.insert(
            id,
            Running {
                text,
                database: database.to_owned(),
                started,
                cancel: Arc::clone(cancel),
                status: Status::Running,
            },
        );
        Entry { queries: self, id }
    }

    /// Those that run now, by number.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let table = self.0.lock();
        let listed = table.running.iter().map(|(id, query)| Listed {
            id: *id,
            text: query.text.clone(),
            database: query.database.clone(),
            started: query.started,
            status: query.status,
        });
        listed.collect()
    }

    /// Stops a query: its statement ends with "query interrupted".
    ///
    /// # Errors
    /// There is none of this number, or it was killed before.
    pub(crate) fn kill(&self, id: u64) -> Result<(), NotKilled> {
        let mut table = self.0.lock();
        let query = table.running.get_mut(&id).ok_or(NotKilled::Unknown(id))?;
        if query.status == Status::Killed {
            return Err(NotKilled::Already);
        }
        query.status = Status::Killed;
        query.cancel.stop(INTERRUPTED);
        Ok(())
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.queries.0.lock().running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_listed_while_its_entry_lives_and_killed_once() {
        let queries = Queries::default();
        let (first, second) = (Arc::default(), Arc::default());
        let started = Timestamp(7);
        let one = queries.enter("SELECT 1".to_owned(), "d", started, &first);
        let two = queries.enter("SELECT 2".to_owned(), "", started, &second);
        let ids = |queries: &Queries| queries.list().iter().map(|q| q.id).collect::<Vec<_>>();
        assert_eq!(ids(&queries), [1, 2]);
        assert_eq!(queries.kill(2), Ok(()));
        assert_eq!(queries.kill(2), Err(NotKilled::Already));
        assert_eq!(queries.kill(3), Err(NotKilled::Unknown(3)));
        assert_eq!(second.check().unwrap_err().to_string(), "query interrupted");
        first.check().expect("the other runs on");
        assert_eq!(queries.list()[1].status.text(), "killed");
        drop(two);
        assert_eq!(ids(&queries), [1]);
        drop(one);
        assert_eq!(ids(&queries), [0; 0]);
        let three = queries.enter(String::new(), "", started, &first);
        assert_eq!(ids(&queries), [3]);
        drop(three);
    }
}
