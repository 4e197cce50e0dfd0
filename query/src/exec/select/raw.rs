//! Rows of a SELECT without calls: points as they are stored, merged by time.

use plimsoll_engine::{Rows, TimeRange};

use super::{Run, held_bytes};
use crate::exec::column::Column;
use crate::exec::error::Result;
use crate::exec::fields::{Fields, Readers, read_block};
use crate::exec::load::{Block, Member, range};
use crate::exec::merged::Merged;
use crate::exec::outputs::blanked_column;
use crate::exec::pool;
use crate::exec::window::Windows;
use crate::plan::Plan;

/// Series of one group that are read before their rows are merged, where only some rows are asked
/// for.
const MEMBERS_AT_ONCE: usize = 64;

impl Run<'_> {
    /// Of many blocks the rows that a LIMIT can still answer, so that the others are not held.
    fn first_rows(&self, blocks: Vec<Block>, rows: usize, ascending: bool) -> Result<Vec<Block>> {
        if blocks.len() < 2 {
            return Ok(blocks);
        }
        let held = blocks.iter().map(held_bytes).sum();
        let merged = Merged::new(blocks, true);
        let block = Block {
            times: merged.times,
            values: merged.values,
            beside: merged.beside,
        };
        let block = block.keep_end(rows, ascending);
        self.release(held);
        self.hold(&block)?;
        Ok(vec![block])
    }

    /// The rows of one member of a SELECT without calls, or those at the end that a LIMIT needs.
    fn raw_block(
        &self,
        plan: &Plan,
        member: &Member<'_>,
        range: TimeRange,
        readers: &mut Readers<'_>,
    ) -> Result<Option<Block>> {
        let Some((reader, series)) = readers.of_member(0, member) else {
            return member.load(self, None, &plan.references, range);
        };
        self.context.cancel.check()?;
        let rows = match plan.rows.needed() {
            None => Rows::All,
            Some(rows) if plan.ascending => Rows::First(rows),
            Some(rows) => Rows::Last(rows),
        };
        let block = read_block(reader, series, range.intersect(&self.readable), rows)?;
        let Some(values) = block.values else {
            return Ok(None);
        };
        // A row's time counts as its value does.
        self.count_points(2 * block.times.len())?;
        Ok(Some(Block {
            times: block.times,
            values: None,
            beside: vec![Column::full(values)],
        }))
    }

    /// Rows of a SELECT without calls.
    pub(super) fn raw_rows(
        &self,
        plan: &Plan,
        windows: &Windows,
        members: &[Member<'_>],
        fields: &Fields,
    ) -> Result<(Vec<i64>, Vec<Column>)> {
        let mut blocks: Vec<Block> = Vec::new();
        let range = range(windows.start, windows.end);
        let needed = plan.rows.needed();
        for some in members.chunks(MEMBERS_AT_ONCE) {
            let loaded = pool::chunks(self.execution, some, |members| {
                let mut readers = fields.readers();
                let blocks = members.iter();
                let blocks = blocks.map(|member| {
                    let block = self.raw_block(plan, member, range, &mut readers)?;
                    Ok(match needed {
                        Some(rows) => block.map(|block| block.keep_end(rows, plan.ascending)),
                        None => block,
                    })
                });
                blocks.collect()
            })?;
            for block in loaded.into_iter().flatten() {
                self.hold(&block)?;
                blocks.push(block);
            }
            if let Some(rows) = needed {
                blocks = self.first_rows(blocks, rows, plan.ascending)?;
            }
        }
        let merged = Merged::new(blocks, plan.ascending);
        let rows = plan.rows.range(merged.times.len());
        let (times, columns) = if rows.len() == merged.times.len() {
            (merged.times, merged.beside)
        } else {
            let columns = merged.beside.iter();
            (
                merged.times[rows.clone()].to_vec(),
                columns.map(|column| column.slice(rows.clone())).collect(),
            )
        };
        let blanked = columns.into_iter().zip(&plan.references);
        let blanked = blanked.map(|(column, (_, kind))| blanked_column(plan.blank, column, *kind));
        Ok((times, blanked.collect()))
    }
}
