//! One field of many series, read one after the other: what their sources share is looked up once,
//! times are decoded once, and a block whose summary is enough is not decoded.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Column, Series, Source, SourceKind, View};
use crate::Result;
use crate::head::{Generation, ReadTimes};
use crate::model::{FieldType, TimeRange, TimesId, Values};
use crate::segment::{BlockRef, ColumnCursor, ColumnId, Scratch, Segment, TimeCache};
use crate::tombstone::hidden;

/// Whether blocks may be answered for by their summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summaries {
    /// Where the reader takes them.
    #[default]
    Offered,
    /// Every block is decoded: what the other is compared to.
    Ignored,
}

/// Which rows of a series are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    All,
    /// The first ones; a few more may come.
    First(usize),
    /// The last ones; a few more may come before them.
    Last(usize),
}

/// Takes the points of one series piece by piece, in order of time.
pub trait TakePoints {
    /// A block that lies in the range as a whole and that nothing overlaps or hides. True: its
    /// summary was taken. False: it comes as points.
    fn block(&mut self, block: &BlockRef) -> bool;

    /// The points of `rows`: strictly ascending times, later than all before.
    fn points(&mut self, times: &[i64], values: &Values, rows: Range<usize>);

    /// As [`Self::points`], of all rows, with what stands for their times.
    fn points_of(&mut self, id: TimesId, times: &[i64], values: &Values) {
        let _ = id;
        self.points(times, values, 0..times.len());
    }
}

/// A field of a view, found in all its sources.
#[derive(Debug)]
pub struct Field {
    view: View,
    name: Arc<str>,
    field_type: FieldType,
    summaries: Summaries,
    /// By the number of the view's source.
    sources: Vec<Place>,
    times: Arc<TimeCache>,
}

/// Where a source has the field.
#[derive(Debug)]
enum Place {
    Absent,
    Head(Arc<Generation>, u32),
    Segment(Arc<Segment>, ColumnId),
}

/// Reads a field; one for each thread.
#[derive(Debug)]
pub struct FieldReader<'f> {
    field: &'f Field,
    cursors: Vec<Option<ColumnCursor<'f>>>,
    scratch: Scratch,
    values: Values,
    blocks: Vec<BlockRef>,
    /// Of the current series: how many blocks there are, where that is asked for, how many of them
    /// were given as points or by their summaries, and how many values heads have.
    blocks_all: u64,
    given: u64,
    head_values: u64,
    /// Points of heads, by piece; kept for their space, and for the times of the next series.
    heads: Vec<(ReadTimes, Values)>,
}

/// What one source has of a series in the range.
struct Piece {
    first: i64,
    last: i64,
    kind: PieceKind,
}

enum PieceKind {
    /// Which of the reader's heads.
    Head(usize),
    /// The source, and which of the reader's blocks.
    Segment(usize, Range<usize>),
}

impl View {
    /// A field of a measurement, of this type, for reading many series.
    #[must_use]
    pub fn field(
        &self,
        measurement: &Arc<str>,
        name: &str,
        field_type: FieldType,
        summaries: Summaries,
    ) -> Field {
        let place = |source: &Source| match &source.kind {
            SourceKind::Head(head) => head
                .column_number(source.partition, measurement, name, field_type)
                .map_or(Place::Absent, |column| {
                    Place::Head(Arc::clone(head), column)
                }),
            SourceKind::Segment(segment) => segment
                .column(measurement, name, field_type)
                .map_or(Place::Absent, |column| {
                    Place::Segment(Arc::clone(segment), column)
                }),
        };
        Field {
            view: self.clone(),
            name: name.into(),
            field_type,
            summaries,
            sources: self.sources.iter().map(place).collect(),
            times: Arc::clone(&self.times),
        }
    }
}

impl Field {
    /// Its type.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// A reader.
    #[must_use]
    pub fn reader(&self) -> FieldReader<'_> {
        FieldReader {
            field: self,
            cursors: self.sources.iter().map(|_| None).collect(),
            scratch: Scratch::default(),
            values: Values::new(self.field_type),
            blocks: Vec::new(),
            blocks_all: 0,
            given: 0,
            head_values: 0,
            heads: Vec::new(),
        }
    }
}

impl FieldReader<'_> {
    /// Gives `taker` the points of a series of the field's view that lie in `range`, the last
    /// write of each time, in ascending order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`]; what `taker` was given until then means nothing.
    pub fn read(
        &mut self,
        series: &Series,
        range: TimeRange,
        rows: Rows,
        taker: &mut dyn TakePoints,
    ) -> Result<()> {
        let range = range.intersect(&self.field.view.range);
        let Some(pieces) = self.pieces(series, range, rows)? else {
            return self.read_merged(series, range, rows, taker);
        };
        match rows {
            Rows::All => {
                for piece in &pieces {
                    self.give(piece, range, taker, |_, _| {})?;
                }
            }
            Rows::First(wanted) => self.give_until(pieces.iter(), wanted, range, taker)?,
            Rows::Last(wanted) => self.give_last(&pieces, wanted, range, taker)?,
        }
        if let Some(tally) = &self.field.view.tally {
            tally.head(self.head_values);
            tally.skipped(self.blocks_all.saturating_sub(self.given));
        }
        Ok(())
    }

    /// How many points of a series lie in `range`, where that can be told without reading them.
    pub fn count(&mut self, series: &Series, range: TimeRange) -> Option<u64> {
        let view = &self.field.view;
        let range = range.intersect(&view.range);
        let [(number, id)] = series.places.as_slice() else {
            return None;
        };
        let source = &view.sources[*number as usize];
        let masks = &source.masks;
        if !masks.is_empty() && !hidden(masks, &series.measurement, &series.tags).is_empty() {
            return None;
        }
        let Place::Head(head, column) = &self.field.sources[*number as usize] else {
            return None;
        };
        if range.is_empty() {
            return Some(0);
        }
        let count = head.count_column(*id, source.partition, *column, range)?;
        if let Some(tally) = &view.tally {
            tally.head(count as u64);
        }
        Some(count as u64)
    }

    /// What each source has, in order of time; none where pieces overlap or something is hidden.
    fn pieces(
        &mut self,
        series: &Series,
        range: TimeRange,
        rows: Rows,
    ) -> Result<Option<SmallVec<[Piece; 4]>>> {
        self.blocks.clear();
        (self.blocks_all, self.given, self.head_values) = (0, 0, 0);
        let mut pieces: SmallVec<[Piece; 4]> = SmallVec::new();
        let mut heads = 0;
        for (number, id) in &series.places {
            let number = *number as usize;
            let source = &self.field.view.sources[number];
            let masks = &source.masks;
            if !masks.is_empty() && !hidden(masks, &series.measurement, &series.tags).is_empty() {
                return Ok(None);
            }
            match &self.field.sources[number] {
                Place::Absent => {}
                Place::Head(head, column) => {
                    if heads == self.heads.len() {
                        let values = Values::new(self.field.field_type);
                        self.heads.push((ReadTimes::default(), values));
                    }
                    let (times, values) = &mut self.heads[heads];
                    times.clear();
                    values.clear();
                    // Of several sources the wanted rows may all be another's.
                    let rows = if series.places.len() == 1 {
                        rows
                    } else {
                        Rows::All
                    };
                    head.read_column(*id, source.partition, *column, range, rows, times, values);
                    let times = times.as_slice();
                    self.head_values += times.len() as u64;
                    if let (Some(first), Some(last)) = (times.first(), times.last()) {
                        pieces.push(Piece {
                            first: *first,
                            last: *last,
                            kind: PieceKind::Head(heads),
                        });
                        heads += 1;
                    }
                }
                Place::Segment(segment, column) => {
                    let start = self.blocks.len();
                    let cursor = match &mut self.cursors[number] {
                        Some(cursor) => cursor,
                        none => none.insert(ColumnCursor::new(segment, *column)?),
                    };
                    cursor.blocks(*id, range, &mut self.blocks)?;
                    if self.field.view.tally.is_some() {
                        self.blocks_all += segment.blocks_count(*column, *id)?;
                    }
                    if let [first, ..] = &self.blocks[start..]
                        && let Some(last) = self.blocks.last()
                    {
                        pieces.push(Piece {
                            first: first.first.0,
                            last: last.last.0,
                            kind: PieceKind::Segment(number, start..self.blocks.len()),
                        });
                    }
                }
            }
        }
        pieces.sort_by_key(|piece| piece.first);
        let overlap = pieces.windows(2).any(|two| two[0].last >= two[1].first);
        Ok((!overlap).then_some(pieces))
    }

    /// Gives a piece; `count` is told of the rows of each part.
    fn give(
        &mut self,
        piece: &Piece,
        range: TimeRange,
        taker: &mut dyn TakePoints,
        mut count: impl FnMut(&mut dyn TakePoints, usize),
    ) -> Result<()> {
        match &piece.kind {
            PieceKind::Head(head) => {
                let (times, values) = &mut self.heads[*head];
                let id = times.id();
                let times = times.as_slice();
                give_all(taker, id, times, values);
                count(taker, times.len());
            }
            PieceKind::Segment(source, blocks) => {
                for at in blocks.clone() {
                    let rows = self.give_block(*source, at, range, taker)?;
                    count(taker, rows);
                }
            }
        }
        Ok(())
    }

    /// Gives a block as its summary or as points; answers how many rows it has in the range.
    fn give_block(
        &mut self,
        source: usize,
        at: usize,
        range: TimeRange,
        taker: &mut dyn TakePoints,
    ) -> Result<usize> {
        let block = &self.blocks[at];
        let is_inside = range.start <= block.first && block.last <= range.end;
        self.given += 1;
        let tally = self.field.view.tally.as_ref();
        if is_inside && self.field.summaries == Summaries::Offered && taker.block(block) {
            if let Some(tally) = tally {
                tally.summarised(1);
            }
            return Ok(block.count as usize);
        }
        if let Some(tally) = tally {
            tally.decoded(u64::from(block.count), block.encoded_bytes());
        }
        let Place::Segment(segment, _) = &self.field.sources[source] else {
            return Ok(0);
        };
        let decoded = segment.decode_block(
            block,
            &self.field.times,
            &mut self.scratch,
            &mut self.values,
        )?;
        let times = decoded.times();
        if is_inside {
            give_all(taker, decoded.id(), times, &self.values);
            return Ok(times.len());
        }
        let from = times.partition_point(|time| *time < range.start.0);
        let rows = from..times.partition_point(|time| *time <= range.end.0).max(from);
        if !rows.is_empty() {
            taker.points(times, &self.values, rows.clone());
        }
        Ok(rows.len())
    }

    fn give_until<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p Piece>,
        wanted: usize,
        range: TimeRange,
        taker: &mut dyn TakePoints,
    ) -> Result<()> {
        let mut given = 0;
        for piece in pieces {
            match &piece.kind {
                PieceKind::Head(_) => self.give(piece, range, taker, |_, rows| given += rows)?,
                PieceKind::Segment(source, blocks) => {
                    for at in blocks.clone() {
                        if given >= wanted {
                            return Ok(());
                        }
                        given += self.give_block(*source, at, range, taker)?;
                    }
                }
            }
            if given >= wanted {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives the last rows: from the block on behind which there are not enough.
    fn give_last(
        &mut self,
        pieces: &[Piece],
        wanted: usize,
        range: TimeRange,
        taker: &mut dyn TakePoints,
    ) -> Result<()> {
        // A block at an edge of the range may have no row in it: it does not count.
        let mut behind = 0;
        let mut from = 0;
        let mut first_block = None;
        'pieces: for (number, piece) in pieces.iter().enumerate().rev() {
            from = number;
            first_block = None;
            match &piece.kind {
                PieceKind::Head(head) => behind += self.heads[*head].0.len(),
                PieceKind::Segment(_, blocks) => {
                    for at in blocks.clone().rev() {
                        first_block = Some(at);
                        let block = &self.blocks[at];
                        if range.start <= block.first && block.last <= range.end {
                            behind += block.count as usize;
                        }
                        if behind >= wanted {
                            break 'pieces;
                        }
                    }
                }
            }
            if behind >= wanted {
                break;
            }
        }
        for piece in pieces.iter().skip(from) {
            match (&piece.kind, first_block.take()) {
                (PieceKind::Segment(source, blocks), Some(first)) => {
                    for at in first..blocks.end {
                        self.give_block(*source, at, range, taker)?;
                    }
                }
                _ => self.give(piece, range, taker, |_, _| {})?,
            }
        }
        Ok(())
    }

    /// The slow way: everything is decoded and laid over one another.
    fn read_merged(
        &mut self,
        series: &Series,
        range: TimeRange,
        rows: Rows,
        taker: &mut dyn TakePoints,
    ) -> Result<()> {
        let field = self.field;
        let Column { times, values } = field.view.column(series, &field.name, field.field_type)?;
        let from = times.partition_point(|time| *time < range.start.0);
        let to = times.partition_point(|time| *time <= range.end.0).max(from);
        let kept = match rows {
            Rows::All => from..to,
            Rows::First(wanted) => from..to.min(from.saturating_add(wanted)),
            Rows::Last(wanted) => from.max(to.saturating_sub(wanted))..to,
        };
        if !kept.is_empty() {
            taker.points(&times, &values, kept);
        }
        Ok(())
    }
}

/// Gives all of some points, of which there is at least one.
fn give_all(taker: &mut dyn TakePoints, id: Option<TimesId>, times: &[i64], values: &Values) {
    match id {
        Some(id) => taker.points_of(id, times, values),
        None => taker.points(times, values, 0..times.len()),
    }
}
