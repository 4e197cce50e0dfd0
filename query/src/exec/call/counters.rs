//! Runs rate(), increase(), sum_hll() and count_hll() over one group.

use std::collections::BTreeMap;

use plimsoll_engine::model::{FieldType, Values};

use super::{Caller, Job, Points, at_start, wrong_type};
use crate::exec::column::Column;
use crate::exec::error::Result;
use crate::exec::fields::Readers;
use crate::exec::load::Block;
use crate::functions::counter::{Counter, Grown};
use crate::functions::hll::{self, Sketch};

impl Caller<'_> {
    /// How the counters of the group grew: each series by itself, then added up.
    pub(super) fn counter(
        &self,
        job: &Job<'_>,
        counter: Counter,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        // The point before a window's first one may lie in the window before.
        let reading = job.over(job.windows.extended(1, true));
        let mut grown = Grown::new(counter, job.argument.field_type);
        let takes = Counter::takes(job.argument.field_type);
        let part = |_, block: Block| {
            if !takes {
                return Err(wrong_type(&job.call.name, job.argument.field_type));
            }
            let grown = |values| Grown::of(counter, &job.windows, &block.times, values);
            Ok(block.values.as_ref().map(grown))
        };
        self.each_block(&reading, readers, part, |part| {
            if let Some(part) = part {
                grown.merge(part);
            }
            self.run.check_buckets(grown.len() as u64)
        })?;
        let (windows, values) = grown.finish();
        self.windowed(job, &windows, values, readers)
    }

    /// The sketches of the group, as texts.
    pub(super) fn sketches(&self, job: &Job<'_>, readers: &mut Readers<'_>) -> Result<Points> {
        let mut sketches: BTreeMap<i64, Sketch> = BTreeMap::new();
        let part = |_, block: Block| {
            let values = block.values.as_ref();
            Ok(values.map(|values| hll::by_window(&job.windows, &block.times, values)))
        };
        self.each_block(job, readers, part, |part| {
            let more = hll::merge(&mut sketches, part.unwrap_or_default());
            self.run.hold_bytes(more)?;
            self.run.check_buckets(sketches.len() as u64)
        })?;
        let (windows, texts): (Vec<i64>, Vec<_>) = sketches
            .into_iter()
            .map(|(window, sketch)| (window, sketch.text().into()))
            .unzip();
        self.windowed(job, &windows, Values::String(texts), readers)
    }

    /// How many values each sketch of a field holds.
    pub(super) fn counts(&self, job: &Job<'_>, readers: &mut Readers<'_>) -> Result<Points> {
        let merged = self.merged(job, readers, job.argument.field_type == FieldType::String)?;
        Ok(match &merged.values {
            Some(values) => counted(merged.times, values),
            None => Points::empty(),
        })
    }

    /// Results by window, ascending, in the query's direction and filled.
    pub(super) fn windowed(
        &self,
        job: &Job<'_>,
        windows: &[i64],
        values: Values,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        let mut times: Vec<i64> = windows.iter().map(|start| at_start(*start)).collect();
        let mut column = Column::full(values);
        if !self.plan.ascending {
            times.reverse();
            column.reverse();
        }
        let points = Points {
            times,
            column,
            beside: Vec::new(),
        };
        self.fill(job, points, false, readers)
    }
}

/// How many values each sketch of another call holds.
pub(super) fn counts_of(before: Points) -> Points {
    let (rows, values) = before.column.driver(FieldType::String);
    let times = match rows {
        None => before.times,
        Some(rows) => rows.iter().map(|row| before.times[*row as usize]).collect(),
    };
    counted(times, &values)
}

fn counted(times: Vec<i64>, values: &Values) -> Points {
    let counts = match values {
        Values::String(texts) => texts.iter().map(|text| hll::count(text)).collect(),
        _ => Vec::new(),
    };
    Points {
        times,
        column: Column::full(Values::Unsigned(counts)),
        beside: Vec::new(),
    }
}
