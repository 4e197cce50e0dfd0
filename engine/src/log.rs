//! What the write-ahead log's frames hold: definitions, catalog changes and rows.
//!
//! A frame's body is a sequence of records. Definitions stand before the rows that use them and
//! start afresh in each generation, so a generation replays alone. Byte tables are in
//! docs/format.md.

mod change;
mod decoder;
mod record;
mod row;

pub(crate) use change::{put_subscription, subscription};
pub(crate) use decoder::{Decoder, Entry, Row};
pub(crate) use record::{Deleted, Record, decode, put_record};
pub(crate) use row::{
    ABSOLUTE_EVERY, Bases, Context, Reference, RowHeader, RowPlace, RowShape, RowValues,
    encode_row, row_values,
};
