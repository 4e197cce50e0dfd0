//! SELECT … INTO: points of a running statement go into the engine.

use std::time::Duration;

use plimsoll_engine::{Error as EngineError, Written};
use plimsoll_ingest::line::{Dropped, Parsed};
use plimsoll_query::{Cancel, Error, Points};

use crate::app::App;

/// How long a full head is given before the next try: a flush makes room.
const ROOM_WAIT: Duration = Duration::from_millis(20);

/// Writes points; waits where the head is full, until there is room or the statement is stopped.
///
/// # Errors
/// InfluxDB's texts: unknown policy, points that were dropped.
pub(crate) fn write(app: &App, cancel: &Cancel, points: &Points) -> Result<(), Error> {
    let written = loop {
        match app
            .engine
            .write(&points.database, &points.policy, &points.batch)
        {
            Err(EngineError::Busy { .. }) => {
                cancel.check()?;
                std::thread::park_timeout(ROOM_WAIT);
            }
            written => break written?,
        }
    };
    match Parsed::default().error_text(dropped(&written).as_ref()) {
        None => Ok(()),
        Some(text) => Err(Error::Invalid(text)),
    }
}

/// What the engine refused: the first reason stands for all, as in InfluxDB.
pub(crate) fn dropped(written: &Written) -> Option<Dropped> {
    let first = written.rejected.first()?;
    Some(Dropped {
        reason: first.reason.clone(),
        count: written
            .rejected
            .iter()
            .map(|rejected| rejected.points)
            .sum(),
    })
}
