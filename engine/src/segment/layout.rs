//! Header, footer and section numbers of a segment file; docs/format.md, "Segment".

use super::{SegmentFacts, SegmentIdentity};
use crate::codec::Malformed;
use crate::codec::varint::Cursor;
use crate::model::Timestamp;

/// How a segment starts.
const HEADER_MAGIC: [u8; 8] = *b"PLIMSEG\n";
/// How it ends.
const FOOTER_MAGIC: [u8; 8] = *b"PLIMEND\n";
/// The newest format that is read, and the one that is written.
pub const FORMAT: u32 = 1;
/// The feature bits that are understood.
pub const FEATURES: u32 = FEATURE_COLD | FEATURE_TICKS;
/// Values lie in cold pages, and [`Section::ColdPages`] says where.
pub const FEATURE_COLD: u32 = 1;
/// Blocks may be of codec 8. Set in every segment that is written: blocks come after the header.
pub const FEATURE_TICKS: u32 = 2;
/// The header's length.
pub const HEADER_BYTES: usize = 64;
/// The trailer's length: footer length, footer checksum, magic.
pub const TRAILER_BYTES: usize = 16;
/// A footer and its trailer are shorter than this.
pub const FOOTER_BYTES_MAX: u64 = 4096;
/// What one checksum covers.
pub const PAGE_BYTES: usize = 4096;
/// Directory entries behind one entry of a group table.
pub const GROUP: u32 = 64;
/// Tag sets behind one offset.
pub const TAG_SETS_GROUP: u32 = 16;

/// How many sections there may be; the last is there in cold segments only.
pub const SECTIONS: usize = 13;

/// The sections of a segment. The numbers are stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Section {
    /// Blocks of values, by column, tag set, time.
    ChunkData = 1,
    /// Blocks of times.
    TimeData = 2,
    /// Block index: where chunks lie and what their blocks hold.
    ChunkIndex = 3,
    /// Where each 64 chunks start in the two.
    ChunkGroups = 4,
    /// Where time columns lie.
    TimeIndex = 5,
    /// Where each 64 time columns start.
    TimeGroups = 6,
    /// Names, tag keys and tag values, sorted.
    Symbols = 7,
    /// Tag sets, sorted.
    TagSets = 8,
    /// Sets of tag-set ids and their bounds in time.
    Objects = 9,
    /// Tag-set ids by tag.
    Postings = 10,
    /// Measurements, columns, shapes of tag sets, tag keys.
    Schema = 11,
    /// Checksums of all pages before it.
    Checksums = 12,
    /// Where cold pages lie, and what they stand for.
    ColdPages = 13,
}

impl Section {
    /// What an error calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChunkData => "a block of values",
            Self::TimeData => "a block of times",
            Self::ChunkIndex | Self::ChunkGroups => "the block index",
            Self::TimeIndex | Self::TimeGroups => "the index of time columns",
            Self::Symbols => "the symbols",
            Self::TagSets => "the tag sets",
            Self::Objects => "a set of tag-set ids",
            Self::Postings => "the postings",
            Self::Schema => "the schema",
            Self::Checksums => "the checksums",
            Self::ColdPages => "the index of cold pages",
        }
    }
}

/// Where a section lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its length.
    pub len: u64,
}

/// The header, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which format follows.
    pub format: u32,
    /// What a reader must understand.
    pub features: u32,
    /// Which segment it is.
    pub identity: SegmentIdentity,
    /// The header's checksum.
    pub crc: u32,
}

/// Encodes the header of a segment of this format.
pub fn encode_header(identity: SegmentIdentity, features: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(HEADER_MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(features.to_le_bytes());
    for number in [
        identity.partition,
        identity.segment,
        identity.rank_lo,
        identity.rank_hi,
    ] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.resize(HEADER_BYTES - 4, 0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.try_into().expect("the header has a fixed length")
}

/// Decodes a header; its magic and checksum hold for every format.
pub fn decode_header(bytes: &[u8]) -> Result<Header, Malformed> {
    let mut cursor = Cursor::new(bytes.get(..HEADER_BYTES).unwrap_or_default());
    if cursor.array()? != HEADER_MAGIC {
        return Err(Malformed("a header of another kind of file"));
    }
    let header = Header {
        format: cursor.u32_fixed()?,
        features: cursor.u32_fixed()?,
        identity: SegmentIdentity {
            partition: cursor.u64_fixed()?,
            segment: cursor.u64_fixed()?,
            rank_lo: cursor.u64_fixed()?,
            rank_hi: cursor.u64_fixed()?,
        },
        crc: u32::from_le_bytes(*bytes[..HEADER_BYTES].last_chunk().expect("64 bytes")),
    };
    if crc32fast::hash(&bytes[..HEADER_BYTES - 4]) != header.crc {
        return Err(Malformed("a header whose checksum differs"));
    }
    Ok(header)
}

/// The footer, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Where the sections lie, by number less one.
    pub sections: [Span; SECTIONS],
    /// Field values.
    pub points: u64,
    /// The unit of times in the index, ns.
    pub tick: u64,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// How many tag sets.
    pub tag_sets: u32,
    /// How many time columns.
    pub time_columns: u32,
    /// What one page checksum covers.
    pub page_bytes: u32,
    /// The checksum of the checksums.
    pub checksums_crc: u32,
    /// The header's checksum.
    pub header_crc: u32,
}

impl Footer {
    /// Where a section lies.
    pub fn section(&self, section: Section) -> Span {
        self.sections[section as usize - 1]
    }

    /// Encodes the footer with its trailer, and says its checksum.
    pub fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::new();
        let there = if self.section(Section::ColdPages) == Span::default() {
            &self.sections[..SECTIONS - 1]
        } else {
            &self.sections[..]
        };
        let count = u32::try_from(there.len()).expect("a dozen");
        bytes.extend(count.to_le_bytes());
        for (number, span) in (1u32..).zip(there) {
            bytes.extend(number.to_le_bytes());
            bytes.extend(span.offset.to_le_bytes());
            bytes.extend(span.len.to_le_bytes());
        }
        bytes.extend(self.points.to_le_bytes());
        bytes.extend(self.tick.to_le_bytes());
        bytes.extend(self.first.0.to_le_bytes());
        bytes.extend(self.last.0.to_le_bytes());
        for number in [
            self.tag_sets,
            self.time_columns,
            self.page_bytes,
            self.checksums_crc,
            self.header_crc,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        let len = u32::try_from(bytes.len()).expect("a few hundred bytes");
        bytes.extend(len.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes.extend(FOOTER_MAGIC);
        (bytes, crc)
    }

    /// Decodes the footer at the end of `tail`, which is a file from `tail_offset` to its end, and
    /// must be what `facts` say.
    pub fn decode(tail: &[u8], tail_offset: u64, facts: &SegmentFacts) -> Result<Self, Malformed> {
        let Some((rest, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
            return Err(Malformed("a file too short for a footer"));
        };
        let mut cursor = Cursor::new(trailer);
        let len = cursor.u32_fixed()? as usize;
        let crc = cursor.u32_fixed()?;
        if cursor.array()? != FOOTER_MAGIC {
            return Err(Malformed("a footer that is not there"));
        }
        let Some(start) = rest.len().checked_sub(len) else {
            return Err(Malformed("a footer longer than the file"));
        };
        let body = &tail[start..tail.len() - TRAILER_BYTES + 4];
        if crc != facts.footer_crc || crc32fast::hash(body) != crc {
            return Err(Malformed("a footer whose checksum differs"));
        }
        let mut cursor = Cursor::new(&rest[start..]);
        let mut sections = [Span::default(); SECTIONS];
        for _ in 0..cursor.u32_fixed()? {
            let number = cursor.u32_fixed()? as usize;
            let span = Span {
                offset: cursor.u64_fixed()?,
                len: cursor.u64_fixed()?,
            };
            let end = span.offset.checked_add(span.len);
            if end.is_none_or(|end| end > tail_offset + start as u64) {
                return Err(Malformed("a section beyond the file"));
            }
            // A section that is not known must be harmless: feature bits say otherwise.
            if let Some(known) = number.checked_sub(1).and_then(|at| sections.get_mut(at)) {
                *known = span;
            }
        }
        let footer = Self {
            sections,
            points: cursor.u64_fixed()?,
            tick: cursor.u64_fixed()?,
            first: Timestamp(cursor.u64_fixed()?.cast_signed()),
            last: Timestamp(cursor.u64_fixed()?.cast_signed()),
            tag_sets: cursor.u32_fixed()?,
            time_columns: cursor.u32_fixed()?,
            page_bytes: cursor.u32_fixed()?,
            checksums_crc: cursor.u32_fixed()?,
            header_crc: cursor.u32_fixed()?,
        };
        if footer.page_bytes == 0 || footer.tick == 0 {
            return Err(Malformed("a footer of impossible numbers"));
        }
        Ok(footer)
    }
}
