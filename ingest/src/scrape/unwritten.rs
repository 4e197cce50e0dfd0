//! Room for scrapes that were read and are not written yet, in bytes.

use std::sync::Arc;

use plimsoll_engine::model::Batch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit of the room stands for.
const UNIT_BYTES: usize = 1 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Unwritten {
    room: Arc<Semaphore>,
    units: u32,
}

/// A scrape's part of the room.
#[derive(Debug)]
pub struct Place(
    #[expect(dead_code, reason = "it is held, and gives its part back when it goes")]
    OwnedSemaphorePermit,
);

impl Unwritten {
    pub(super) fn new(bytes_max: usize) -> Self {
        let units = (bytes_max / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Self {
            room: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// Waits for the room that a batch takes. One that is larger than all of it has it alone.
    pub(super) async fn place(&self, batch: &Batch) -> Option<Place> {
        let units = u32::try_from(batch.bytes().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(units.min(self.units));
        // The semaphore is never closed.
        permit.await.ok().map(Place)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use plimsoll_engine::{FieldValue, TagSet, Timestamp};

    use super::*;

    fn batch(points: i64) -> Batch {
        let mut batch = Batch::default();
        for time in 0..points {
            let fields = [("value", FieldValue::Integer(time))];
            batch.add("m", &TagSet::default(), Timestamp(time), fields);
        }
        batch
    }

    #[test]
    fn a_scrape_waits_until_there_is_room_and_one_that_is_too_large_has_it_alone() {
        let (small, large) = (batch(100), batch(10_000));
        assert!(small.bytes() > UNIT_BYTES && small.bytes() * 50 < large.bytes());
        let room = Unwritten::new(small.bytes() * 3);
        // None where it would have to wait.
        let place = |batch: &Batch| room.place(batch).now_or_never().flatten();
        let two = [place(&small), place(&small)];
        assert!(two.iter().all(Option::is_some));
        assert!(place(&large).is_none(), "two of three parts are taken");
        drop(two);
        let all = place(&large);
        assert!(all.is_some());
        assert!(place(&small).is_none(), "all of it is taken");
        drop(all);
        assert!(place(&small).is_some());
    }
}
