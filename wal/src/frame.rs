//! A frame: the checksummed envelope that every append to the log is wrapped in.
//!
//! Owns the byte layout (docs/format.md, "Log frame") and its check. It never looks into the body.

use std::ops::Range;

use crate::{Error, Result};

/// The bytes before a frame's body.
pub const FRAME_HEADER_BYTES: usize = 40;

/// The largest body of one frame.
pub const FRAME_BODY_BYTES_MAX: usize = 256 << 20;

/// Frames start at multiples of this within a file.
pub const FRAME_ALIGN_BYTES: usize = 8;

/// The first four bytes of every frame.
const MAGIC: [u8; 4] = *b"PFRM";

/// The only kind of frame so far: a body that the log's owner understands.
const KIND_BODY: u32 = 0;

/// One append, as read back from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The log file's epoch: bytes of another file, or of an earlier use of its blocks, differ.
    pub epoch: u64,
    /// The place in the log: the first frame ever is 1, and each next one is one more.
    pub sequence: u64,
    /// The last frame that was durable when this one was written: below `sequence`.
    pub synced_sequence: u64,
    /// What the owner drained into it.
    pub body: &'a [u8],
}

/// The bytes a frame with a body of `body_bytes` takes in a file.
#[must_use]
pub fn frame_bytes(body_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + body_bytes).next_multiple_of(FRAME_ALIGN_BYTES)
}

/// Makes a frame of `buffer`, which holds [`FRAME_HEADER_BYTES`] of room and then the body.
///
/// Shape: the room is filled in, zeros are appended up to the alignment.
///
/// # Errors
/// [`Error::Limit`] where the body is over [`FRAME_BODY_BYTES_MAX`]; `buffer` is as it was.
///
/// # Panics
/// Where `buffer` is shorter than the room.
pub fn seal(buffer: &mut Vec<u8>, epoch: u64, sequence: u64, synced_sequence: u64) -> Result<()> {
    let body_bytes = buffer
        .len()
        .checked_sub(FRAME_HEADER_BYTES)
        .expect("a drain only appends, so the header's room is still there");
    if body_bytes > FRAME_BODY_BYTES_MAX {
        return Err(Error::Limit {
            what: "log frame",
            got: body_bytes as u64,
            limit: FRAME_BODY_BYTES_MAX as u64,
        });
    }
    let length = u32::try_from(body_bytes).expect("the maximum fits 32 bits");
    debug_assert!(
        synced_sequence < sequence,
        "a frame cannot be durable before it is written"
    );
    buffer[0..4].copy_from_slice(&MAGIC);
    buffer[4..8].copy_from_slice(&length.to_le_bytes());
    buffer[12..16].copy_from_slice(&KIND_BODY.to_le_bytes());
    buffer[16..24].copy_from_slice(&epoch.to_le_bytes());
    buffer[24..32].copy_from_slice(&sequence.to_le_bytes());
    buffer[32..40].copy_from_slice(&synced_sequence.to_le_bytes());
    let crc = checksum(buffer);
    buffer[8..12].copy_from_slice(&crc.to_le_bytes());
    buffer.resize(frame_bytes(body_bytes), 0);
    Ok(())
}

/// How many bytes the frame takes that `bytes` start with, which are at least its header. Nothing
/// is verified; `None` where it is no frame of `epoch`.
pub(crate) fn announced_bytes(bytes: &[u8], epoch: u64) -> Option<usize> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let body_bytes = usize::try_from(read_u32(header, 4)).ok()?;
    (starts_like(header, epoch) && body_bytes <= FRAME_BODY_BYTES_MAX)
        .then(|| frame_bytes(body_bytes))
}

/// Reads the frame of `epoch` that starts at the first byte of `bytes`, and how many bytes it takes.
///
/// `None` where there is no whole, sound frame of that epoch.
#[must_use]
pub fn decode(bytes: &[u8], epoch: u64) -> Option<(Frame<'_>, usize)> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    if !starts_like(header, epoch) || read_u32(header, 12) != KIND_BODY {
        return None;
    }
    let body_bytes = usize::try_from(read_u32(header, 4)).ok()?;
    if body_bytes > FRAME_BODY_BYTES_MAX {
        return None;
    }
    let whole_bytes = frame_bytes(body_bytes);
    let unpadded = bytes
        .get(..whole_bytes)?
        .get(..FRAME_HEADER_BYTES + body_bytes)?;
    if checksum(unpadded) != read_u32(header, 8) {
        return None;
    }
    let frame = Frame {
        epoch,
        sequence: read_u64(header, 24),
        synced_sequence: read_u64(header, 32),
        body: &unpadded[FRAME_HEADER_BYTES..],
    };
    Some((frame, whole_bytes))
}

/// Finds the first sound frame of `epoch` that starts in `starts`: its offset, itself, its length.
///
/// Only bytes with the magic and the epoch are checked further. The epoch holds bits that nobody
/// outside can guess, so bodies cannot be written that imitate frames or make the search slow.
#[must_use]
pub fn find(bytes: &[u8], starts: Range<usize>, epoch: u64) -> Option<(usize, Frame<'_>, usize)> {
    let last = starts
        .end
        .min(bytes.len().saturating_sub(FRAME_HEADER_BYTES - 1));
    let mut at = starts.start.next_multiple_of(FRAME_ALIGN_BYTES);
    while at < last {
        if let Some((frame, len)) = decode(&bytes[at..], epoch) {
            return Some((at, frame, len));
        }
        at += FRAME_ALIGN_BYTES;
    }
    None
}

fn starts_like(header: &[u8], epoch: u64) -> bool {
    header[..4] == MAGIC && read_u64(header, 16) == epoch
}

/// Covers all of the header but the checksum, and the body.
fn checksum(unpadded: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&unpadded[..8]);
    crc.update(&unpadded[12..]);
    crc.finalize()
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes were sliced"),
    )
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes were sliced"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(body: &[u8], epoch: u64, sequence: u64, synced: u64) -> Vec<u8> {
        let mut buffer = vec![0; FRAME_HEADER_BYTES];
        buffer.extend_from_slice(body);
        seal(&mut buffer, epoch, sequence, synced).unwrap();
        buffer
    }

    #[test]
    fn a_frame_has_the_layout_of_the_format_document() {
        let bytes = sealed(b"hello", 0x0102, 7, 6);
        assert_eq!(bytes.len(), 48);
        assert_eq!(&bytes[..8], b"PFRM\x05\0\0\0");
        assert_eq!(
            &bytes[12..40],
            [
                0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(&bytes[40..], b"hello\0\0\0");
    }

    #[test]
    fn a_body_over_the_limit_is_refused_and_left_as_it_was() {
        let mut buffer = vec![0; FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX + 1];
        assert!(
            matches!(seal(&mut buffer, 1, 1, 0), Err(Error::Limit { got, limit, .. }) if got == limit + 1)
        );
        assert_eq!(buffer.len(), FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX + 1);
        assert!(buffer[..FRAME_HEADER_BYTES].iter().all(|&b| b == 0));
    }

    #[test]
    fn every_flipped_bit_before_the_padding_is_noticed() {
        let good = sealed(b"a body", 3, 9, 4);
        for bit in 0..(FRAME_HEADER_BYTES + 6) * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad, 3), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_as_it_was_sealed(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            epoch: u64, sequence in 1u64.., behind in 1u64..,
        ) {
            let synced_sequence = sequence.saturating_sub(behind);
            let bytes = sealed(&body, epoch, sequence, synced_sequence);
            prop_assert_eq!(bytes.len() % FRAME_ALIGN_BYTES, 0);
            prop_assert_eq!(bytes.len(), frame_bytes(body.len()));
            let frame = Frame { epoch, sequence, synced_sequence, body: &body };
            prop_assert_eq!(decode(&bytes, epoch), Some((frame, bytes.len())));
            prop_assert_eq!(decode(&bytes, epoch ^ 1), None);
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut], epoch), None);
            }
        }

        #[test]
        fn a_frame_is_found_behind_bytes_of_any_kind(
            words in proptest::collection::vec(any::<u64>(), 0..50), body: Vec<u8>,
        ) {
            let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let at = bytes.len();
            bytes.extend(sealed(&body, 77, 5, 2));
            let found = find(&bytes, 0..bytes.len(), 77).map(|(offset, frame, _)| (offset, frame.sequence));
            prop_assert_eq!(found, Some((at, 5)));
            prop_assert_eq!(find(&bytes, at + 1..bytes.len(), 77), None);
        }

        #[test]
        fn random_bytes_are_never_a_frame_and_never_a_panic(bytes: Vec<u8>, epoch: u64) {
            prop_assert_eq!(decode(&bytes, epoch), None);
            prop_assert_eq!(find(&bytes, 0..bytes.len(), epoch), None);
        }
    }
}
