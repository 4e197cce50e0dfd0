//! Runs percentile() and median() of integers: values by window, without their times.

use std::ops::Range;

use plimsoll_engine::model::Values;
use plimsoll_engine::segment::BlockRef;
use plimsoll_engine::{Rows, TakePoints};

use super::{Caller, Job, Points, Spread};
use crate::exec::error::Result;
use crate::exec::fields::Readers;
use crate::exec::load::{Member, range};
use crate::exec::pool;
use crate::exec::window::Windows;
use crate::functions::Whole;
use crate::functions::rank::Ranked;

/// What a value costs until its window is answered.
const VALUE_BYTES: usize = size_of::<u64>();

impl Caller<'_> {
    /// What `whole` answers, where only ranks are asked for.
    pub(super) fn ranked(
        &self,
        job: &Job<'_>,
        whole: Whole,
        readers: &mut Readers<'_>,
    ) -> Result<Option<Points>> {
        let new = || Ranked::new(whole, job.argument.field_type);
        let keeps_times = job.is_lone_selector && !job.windows.is_grouped();
        let is_plain = !job.with_columns && job.call.by.is_empty();
        let Some(mut ranked) = new().filter(|_| is_plain && !keeps_times) else {
            return Ok(None);
        };
        if self.spread == Spread::Groups {
            for member in self.members {
                self.rank_member(job, member, readers, &mut ranked)?;
            }
        } else {
            let parts = pool::chunks(self.run.execution, self.members, |members| {
                let mut readers = self.fields.readers();
                let mut part = new();
                for member in members {
                    if let Some(part) = &mut part {
                        self.rank_member(job, member, &mut readers, part)?;
                    }
                }
                Ok(part.into_iter().collect())
            })?;
            for part in parts {
                ranked.merge(part);
                self.run.check_buckets(ranked.len() as u64)?;
            }
        }
        let (windows, values) = ranked.finish(whole);
        self.windowed(job, &windows, values, readers).map(Some)
    }

    fn rank_member(
        &self,
        job: &Job<'_>,
        member: &Member<'_>,
        readers: &mut Readers<'_>,
        ranked: &mut Ranked,
    ) -> Result<()> {
        let windows = &job.windows;
        let points = match readers.of_member(job.number, member) {
            Some((reader, series)) => {
                self.run.context.cancel.check()?;
                let range = range(windows.start, windows.end).intersect(&self.run.readable);
                let mut taker = Ranking {
                    windows,
                    ranked,
                    points: 0,
                };
                reader.read(series, range, Rows::All, &mut taker)?;
                let points = taker.points;
                self.run.count_points(points)?;
                points
            }
            None => match self.block(job, member, readers)? {
                Some(block) => {
                    let rows = 0..block.times.len();
                    if let Some(values) = &block.values {
                        ranked.add(windows, &block.times, values, rows.clone());
                    }
                    rows.len()
                }
                None => 0,
            },
        };
        ranked.end();
        self.run.hold_bytes((points * VALUE_BYTES) as u64)?;
        self.run.check_buckets(ranked.len() as u64)
    }
}

/// Ranks the points of a series as they are read.
struct Ranking<'a> {
    windows: &'a Windows,
    ranked: &'a mut Ranked,
    points: usize,
}

impl TakePoints for Ranking<'_> {
    fn block(&mut self, _: &BlockRef) -> bool {
        false
    }

    fn points(&mut self, times: &[i64], values: &Values, rows: Range<usize>) {
        self.points += rows.len();
        self.ranked.add(self.windows, times, values, rows);
    }
}
