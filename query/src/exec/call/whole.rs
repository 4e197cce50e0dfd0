//! Runs calls that need all points of a window at once.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use plimsoll_engine::model::{FieldValue, Values};

use super::{Caller, Job, Points, at_start};
use crate::exec::column::{self, Column};
use crate::exec::error::Result;
use crate::exec::fields::Readers;
use crate::exec::load::Block;
use crate::exec::merged::Merged;
use crate::functions::{Whole, window};
use crate::plan::Function;

impl Caller<'_> {
    pub(super) fn whole(
        &self,
        job: &Job<'_>,
        whole: Whole,
        readers: &mut Readers<'_>,
    ) -> Result<Points> {
        if let Some(points) = self.ranked(job, whole, readers)? {
            return Ok(points);
        }
        let blocks = self.blocks(job, readers, whole.takes(job.argument.field_type))?;
        let is_plain = !job.with_columns && job.call.by.is_empty() && self.plan.ascending;
        let merged = if matches!(whole, Whole::Percentile(_)) && is_plain {
            Merged::by_window(&blocks, &job.windows)
        } else {
            Merged::new(blocks, self.plan.ascending)
        };
        let Some(values) = &merged.values else {
            return Ok(Points::empty());
        };
        let keeps_times = whole.keeps_times()
            || (whole.is_selector() && job.is_lone_selector && !job.windows.is_grouped());
        let mut times = Vec::new();
        let mut rows = Vec::new();
        let mut kept = Values::new(window::result_type(whole, values));
        let mut buckets = 0;
        job.windows.runs(&merged.times, |start, run| {
            buckets += 1;
            let places = self.candidates(job, whole, &merged, run.clone());
            let (window_times, window_values): (Vec<i64>, Values) = if places.len() == run.len() {
                let window_values = column::slice(values, run.clone());
                (merged.times[run].to_vec(), window_values)
            } else {
                let window_times = places.iter().map(|at| merged.times[*at as usize]);
                (window_times.collect(), column::gather(values, &places))
            };
            let mut random = |below: usize| self.run.random(below);
            let mut results = window::apply(whole, &window_times, &window_values, &mut random);
            let time_of = |result: &window::Result| result.at.map(|at| window_times[at]);
            if !self.plan.ascending {
                results.sort_by_key(|result| std::cmp::Reverse(time_of(result)));
            }
            for result in results {
                times.push(match time_of(&result) {
                    Some(time) if keeps_times => time,
                    _ => at_start(start),
                });
                rows.push(places[result.at.unwrap_or(0)]);
                push(&mut kept, result.value);
            }
        });
        self.run.check_buckets(buckets)?;
        let with_columns = job.with_columns;
        let beside = merged.beside.iter().filter(|_| with_columns);
        let points = Points {
            times,
            column: Column::full(kept),
            beside: beside.map(|column| column.gather(&rows)).collect(),
        };
        if whole.is_filled() {
            self.fill(job, points, whole == Whole::CountDistinct, readers)
        } else {
            Ok(points)
        }
    }

    /// Drops the rows of one series that cannot be in the answer of top() or bottom(): those that
    /// enough others of their window are before.
    pub(super) fn thin(&self, job: &Job<'_>, block: &mut Block) {
        let Function::Whole(whole @ (Whole::Top(n) | Whole::Bottom(n))) = job.call.function else {
            return;
        };
        let references = &self.plan.references;
        let is_same = |tag| {
            let at = references.iter().position(|(known, _)| known == tag);
            at.is_none_or(|at| matches!(block.beside[at], Column::Same(..)))
        };
        let by = &job.call.by;
        let most = if by.is_empty() { n } else { 1 };
        let is_ascending = block.times.windows(2).all(|two| two[0] < two[1]);
        let Some(values) = block.values.as_ref().filter(|_| is_ascending) else {
            return;
        };
        // Which rows these let stay depends on all others.
        if let Values::Float(values) = values
            && values.iter().any(|value| value.is_nan())
        {
            return;
        }
        if !by.iter().all(is_same) {
            return;
        }
        let mut kept = Vec::new();
        let times = block.times.as_slice();
        job.windows.runs(times, |_, run| {
            let mut rows: Vec<u32> = run.filter_map(|row| u32::try_from(row).ok()).collect();
            if rows.len() > most {
                let before = |a: &u32, b: &u32| {
                    let (a, b) = (*a as usize, *b as usize);
                    if is_better(whole, values, times, a, b) {
                        std::cmp::Ordering::Less
                    } else if is_better(whole, values, times, b, a) {
                        std::cmp::Ordering::Greater
                    } else {
                        a.cmp(&b)
                    }
                };
                rows.select_nth_unstable_by(most, before);
                rows.truncate(most);
                rows.sort_unstable();
            }
            kept.extend(rows);
        });
        if kept.len() < times.len() {
            block.keep(&kept);
        }
    }

    /// The rows of a window that are looked at: all, or of top() and bottom() with tags the best
    /// of each combination.
    fn candidates(
        &self,
        job: &Job<'_>,
        whole: Whole,
        merged: &Merged,
        run: Range<usize>,
    ) -> Vec<u32> {
        let rows = run.map(|row| u32::try_from(row).unwrap_or(u32::MAX));
        let Some(values) = merged.values.as_ref().filter(|_| !job.call.by.is_empty()) else {
            return rows.collect();
        };
        let keys: Vec<usize> = job
            .call
            .by
            .iter()
            .filter_map(|tag| {
                self.plan
                    .references
                    .iter()
                    .position(|(known, _)| known == tag)
            })
            .collect();
        let mut best: HashMap<String, u32> = HashMap::new();
        let mut key = String::new();
        for row in rows {
            key.clear();
            for at in &keys {
                write_key(&merged.beside[*at], row as usize, &mut key);
            }
            match best.get_mut(key.as_str()) {
                Some(there) => {
                    if is_better(whole, values, &merged.times, row as usize, *there as usize) {
                        *there = row;
                    }
                }
                None => {
                    best.insert(key.clone(), row);
                }
            }
        }
        let mut rows: Vec<u32> = best.into_values().collect();
        rows.sort_unstable();
        rows
    }
}

/// Appends a cell to a key in which equal texts are equal cells.
fn write_key(column: &Column, row: usize, key: &mut String) {
    if let Column::Typed {
        values: Values::String(values),
        present: None,
    } = column
    {
        let text = &values[row];
        write!(key, "{}:{text}", text.len()).expect("a String takes all that is written");
    } else {
        write!(key, "{:?};", column.cell(row)).expect("a String takes all that is written");
    }
}

fn is_better(whole: Whole, values: &Values, times: &[i64], row: usize, best: usize) -> bool {
    use plimsoll_engine::model::ValueRef::{Float, Integer, Unsigned};
    let order = match (values.value(row), values.value(best)) {
        // What is no number is neither better nor worse.
        (Float(a), Float(b)) => match a.partial_cmp(&b) {
            Some(order) => order,
            None => return false,
        },
        (Integer(a), Integer(b)) => a.cmp(&b),
        (Unsigned(a), Unsigned(b)) => a.cmp(&b),
        _ => std::cmp::Ordering::Equal,
    };
    let order = match whole {
        Whole::Bottom(_) => order.reverse(),
        _ => order,
    };
    order.is_gt() || (order.is_eq() && times[row] < times[best])
}

fn push(values: &mut Values, value: FieldValue) {
    values.push(value.as_ref());
}
