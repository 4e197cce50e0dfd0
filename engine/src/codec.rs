//! Codecs of blocks: values in, bytes out, and back.
//!
//! Pure: no files, no checksums, no clocks. A block holds 1..=[`BLOCK_POINTS_MAX`] values; its
//! count and its first number (the *seed*) are kept by the caller, which has them in the block
//! index anyway. Decoding hostile bytes gives [`Malformed`], never a panic, and allocates no more
//! than the block's count allows. The bytes are described in docs/format.md.

pub mod bits;
pub mod boolean;
pub mod cold;
pub mod decimal;
pub mod float;
pub mod gorilla;
pub mod integer;
pub mod packed;
pub mod text;
pub mod ticks;
pub mod time;
pub mod varint;

/// The most rows a block may have.
pub const BLOCK_POINTS_MAX: usize = 256;

/// Why bytes are not a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// How a block's bytes are to be read. The numbers are stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Little-endian numbers, as they are.
    Raw = 0,
    /// One value throughout (no bytes at all), or runs of equal values.
    Run = 1,
    /// tsz-compress, delta of delta: times that many chunks share.
    Tsz = 2,
    /// Patched bit-packing: integers and times.
    Packed = 3,
    /// Gorilla's XOR: floats as they come.
    Gorilla = 4,
    /// Floats that are decimals, as integers.
    Decimal = 5,
    /// Differences to the number before, 8 bytes each: in cold pages, which compress them.
    Cold = 6,
    /// Strings (dictionary, zstd) and booleans (bitmap).
    Text = 7,
    /// Integers whose steps are multiples of a kernel's tick, but for some.
    Ticks = 8,
}

impl Codec {
    /// The codec with this number on disk.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            0 => Self::Raw,
            1 => Self::Run,
            2 => Self::Tsz,
            3 => Self::Packed,
            4 => Self::Gorilla,
            5 => Self::Decimal,
            6 => Self::Cold,
            7 => Self::Text,
            8 => Self::Ticks,
            _ => return None,
        })
    }
}
