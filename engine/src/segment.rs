//! Segments: immutable files of one partition (under construction on its own branch).
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    unused_variables,
    reason = "replaced by the real one before it lands"
)]
use crate::Result;
use crate::model::*;
use crate::predicate::TagIndex;
use plimsoll_wal::storage::{ReadMode, Storage};
use roaring::RoaringBitmap;
use std::path::Path;
use std::sync::Arc;
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentFacts {
    pub len_bytes: u64,
    pub footer_crc: u32,
    pub points: u64,
    pub tag_sets: u32,
    pub time_range: TimeRange,
}
#[derive(Debug, Clone, Copy)]
pub struct SegmentIdentity {
    pub partition: u64,
    pub segment: u64,
    pub rank_low: u64,
    pub rank_high: u64,
}
#[derive(Debug, Clone, Copy)]
pub struct ColumnId(pub u32);
#[derive(Debug, Clone, Copy)]
pub struct TimeColumn(pub u32);
#[derive(Debug, Clone)]
pub struct SegmentColumn {
    pub field: Arc<str>,
    pub field_type: FieldType,
    pub id: ColumnId,
}
#[derive(Debug)]
pub struct SegmentBuilder;
#[derive(Debug)]
pub struct BlockRef;
impl SegmentBuilder {
    pub fn new(identity: SegmentIdentity) -> Self {
        Self
    }
    pub fn time_column(&mut self, times: &[i64]) -> TimeColumn {
        TimeColumn(0)
    }
    pub fn chunk(
        &mut self,
        measurement: &str,
        field: &str,
        tags: &TagSet,
        times: TimeColumn,
        presence: Option<&[bool]>,
        values: &Values,
    ) -> Result<()> {
        Ok(())
    }
    pub fn write(self, storage: &dyn Storage, path: &Path) -> Result<SegmentFacts> {
        Err(crate::Error::Closed)
    }
}
#[derive(Debug)]
pub struct Segment {
    facts: SegmentFacts,
}
impl Segment {
    pub fn open(
        storage: &dyn Storage,
        path: &Path,
        facts: &SegmentFacts,
        mode: ReadMode,
    ) -> Result<Self> {
        Ok(Self {
            facts: facts.clone(),
        })
    }
    pub fn facts(&self) -> &SegmentFacts {
        &self.facts
    }
    pub fn time_range(&self) -> TimeRange {
        self.facts.time_range
    }
    pub fn measurements(&self) -> Result<Vec<Arc<str>>> {
        Ok(Vec::new())
    }
    pub fn columns(&self, measurement: &str) -> Result<Vec<SegmentColumn>> {
        Ok(Vec::new())
    }
    pub fn column(
        &self,
        measurement: &str,
        field: &str,
        field_type: FieldType,
    ) -> Result<Option<ColumnId>> {
        Ok(None)
    }
    pub fn tag_set(&self, id: u32) -> Result<TagSet> {
        Ok(TagSet::default())
    }
    pub fn measurement_ids(&self, measurement: &str) -> Result<RoaringBitmap> {
        Ok(RoaringBitmap::new())
    }
    pub fn bounds(&self, measurement: &str, id: u32) -> Result<Option<(Timestamp, Timestamp)>> {
        Ok(None)
    }
    pub fn tag_keys(&self, measurement: &str) -> Result<Vec<Arc<str>>> {
        Ok(Vec::new())
    }
    pub fn blocks(
        &self,
        column: ColumnId,
        tag_set: u32,
        range: TimeRange,
    ) -> Result<Vec<BlockRef>> {
        Ok(Vec::new())
    }
    pub fn read_block(
        &self,
        block: &BlockRef,
        range: TimeRange,
        times: &mut Vec<i64>,
        values: &mut Values,
    ) -> Result<()> {
        Ok(())
    }
}
impl TagIndex for Segment {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(RoaringBitmap::new())
    }
    fn postings(&self, key: &str, value: &str) -> Result<RoaringBitmap> {
        Ok(RoaringBitmap::new())
    }
    fn each_value(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) -> Result<()> {
        Ok(())
    }
}
