//! Fills the windows of a call that have no points.

use super::{Caller, Job, Points, Seeds};
use crate::exec::column::Column;
use crate::exec::error::Result;
use crate::exec::fields::Readers;
use crate::exec::window::Windows;
use crate::functions::fill::{self, Filling};

impl Caller<'_> {
    /// The points with one more in the first window, where that has none: what was there before
    /// the range. None where that is not asked for, or nothing was there.
    fn seeded(
        &self,
        job: &Job<'_>,
        points: &Points,
        readers: &mut Readers<'_>,
    ) -> Result<Option<(Vec<i64>, Column)>> {
        let first = job.windows.of(job.windows.start).0;
        if self.plan.look_back_ns == 0
            || job.windows.start <= plimsoll_engine::model::TIME_MIN.0
            || points.times.first() == Some(&first)
        {
            return Ok(None);
        }
        let past = Windows {
            start: job
                .windows
                .start
                .saturating_sub(self.plan.look_back_ns)
                .max(plimsoll_engine::model::TIME_MIN.0),
            end: job.windows.start - 1,
            ..job.windows.clone()
        };
        let unfilled = Caller {
            seeds: Seeds::AreLookedFor,
            ..*self
        };
        let call = (job.number, job.call);
        let before = unfilled.nested(call, past, job.extra, false, readers)?;
        let Some(last) = before.times.len().checked_sub(1) else {
            return Ok(None);
        };
        let mut times = vec![first];
        times.extend(&points.times);
        let seed = before.column.slice(last..last + 1);
        let is_empty = points.times.is_empty();
        let rest = (!is_empty).then(|| points.column.clone());
        Ok(Some((
            times,
            Column::concat([seed].into_iter().chain(rest).collect()),
        )))
    }

    /// Fills the windows without points, where GROUP BY time and fill() ask for it.
    pub(super) fn fill(
        &self,
        job: &Job<'_>,
        points: Points,
        is_count: bool,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        if self.seeds == Seeds::AreLookedFor {
            return Ok(points);
        }
        let Some(mut filling) = self.plan.filling.filter(|_| job.windows.is_grouped()) else {
            return Ok(points);
        };
        if is_count && filling == Filling::Null {
            filling = Filling::Integer(0);
        }
        let ascending = self.plan.ascending;
        let seeded = self.seeded(job, &points, readers)?;
        let (starts, column) = seeded.as_ref().map_or_else(
            || (&points.times, &points.column),
            |(times, column)| (times, column),
        );
        let Some(bounds) = fill::bounds(&job.windows, ascending, starts) else {
            return Ok(points);
        };
        self.run.check_buckets(fill::count(&job.windows, bounds))?;
        let Column::Typed { values, .. } = column else {
            return Ok(points);
        };
        let (times, column) = fill::apply(filling, &job.windows, ascending, bounds, starts, values);
        let beside = points
            .beside
            .into_iter()
            .map(|column| spread(&column, &points.times, &times));
        Ok(Points {
            beside: beside.collect(),
            times,
            column,
        })
    }
}

/// A column's cells at the rows that were there before filling.
fn spread(column: &Column, before: &[i64], times: &[i64]) -> Column {
    let mut at = 0;
    let cells = times.iter().map(|time| {
        if before.get(at) == Some(time) {
            at += 1;
            column.cell(at - 1)
        } else {
            crate::rows::Cell::Null
        }
    });
    Column::from_cells(cells.collect())
}
