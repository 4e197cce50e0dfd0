//! Bodies of requests: bounded in size and in time, unpacked where they are packed.

use std::io::Read;
use std::ops::Deref;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;

use super::room::{Full, Room};
use crate::app::App;

/// A client that sends nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// Smaller pieces are put together, so that a body of a byte a piece does not take more memory
/// than its bytes.
const PIECE_BYTES_MIN: usize = 4 << 10;
/// How many times its packed bytes a body is taken to have before it is unpacked.
const UNPACKED_RATIO_MAX: usize = 32;
/// How much is unpacked at a time.
const UNPACK_BYTES: usize = 64 << 10;

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Received {
    bytes: Bytes,
    room: Room,
}

/// A body in the pieces that it came in, and the room that it takes.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: Vec<Bytes>,
    /// What came in pieces that are too small to be kept.
    last: BytesMut,
    len: usize,
    room: Room,
}

impl Deref for Received {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It is over the limit; the text is InfluxDB's.
    #[error("Request Entity Too Large")]
    TooLarge,
    /// All requests together are over theirs.
    #[error("the bodies of requests fill request_memory_max ({0} bytes): try again in a moment")]
    Full(usize),
    /// It took longer than it may.
    #[error("the request's body did not come within read_body_timeout ({0:?})")]
    Slow(Duration),
    /// It stopped in the middle.
    #[error("the request's body ended early: {0}")]
    Broken(String),
    /// It does not unpack.
    #[error("gzip: {0}")]
    Packed(std::io::Error),
}

impl BodyError {
    /// What it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::Packed(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Full> for BodyError {
    fn from(full: Full) -> Self {
        Self::Full(full.0)
    }
}

/// Reads a whole body, within the limits of the settings.
///
/// # Errors
/// All of [`BodyError`] but [`BodyError::Packed`].
pub(super) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, BodyError> {
    read_pieces(app, headers, body).await.map(Pieces::join)
}

/// As [`read`], without putting it together.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_pieces(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<Pieces, BodyError> {
    let deadline = app.http.read_body_timeout;
    let room = app.bodies.room();
    tokio::time::timeout(
        deadline,
        gather(headers, body, app.http.body_bytes_max, room),
    )
    .await
    .map_err(|_| BodyError::Slow(deadline))?
}

async fn gather(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
    mut room: Room,
) -> Result<Pieces, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > bytes_max as u64) {
        return Err(BodyError::TooLarge);
    }
    let (mut pieces, mut last) = (Vec::new(), BytesMut::new());
    let (mut len, mut full) = (0, None);
    loop {
        let frame = tokio::time::timeout(IDLE, body.frame())
            .await
            .map_err(|_| BodyError::Broken(format!("nothing came for {IDLE:?}")))?;
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        len += piece.len();
        if len > bytes_max {
            return Err(BodyError::TooLarge);
        }
        // Where there is no room, the rest is read and dropped: a client that still sends when it
        // is answered would see a broken connection and not the answer.
        match room.grow(piece.len()) {
            Ok(()) if full.is_none() => {
                if piece.len() < PIECE_BYTES_MIN {
                    last.extend_from_slice(&piece);
                } else {
                    if !last.is_empty() {
                        pieces.push(last.split().freeze());
                    }
                    pieces.push(piece);
                }
            }
            Ok(()) => {}
            Err(error) => {
                (pieces, last) = (Vec::new(), BytesMut::new());
                room = room.budget().room();
                full = Some(error);
            }
        }
    }
    match full {
        Some(full) => Err(full.into()),
        None => Ok(Pieces {
            pieces,
            last,
            len,
            room,
        }),
    }
}

/// Whether the body is packed.
pub(super) fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

impl Pieces {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// In order.
    pub(super) fn into_pieces(self) -> (Vec<Bytes>, Room) {
        let Self {
            mut pieces,
            last,
            room,
            ..
        } = self;
        if !last.is_empty() {
            pieces.push(last.freeze());
        }
        (pieces, room)
    }

    /// Puts it together.
    pub(super) fn join(self) -> Received {
        let len = self.len;
        let (mut pieces, room) = self.into_pieces();
        let bytes = if pieces.len() < 2 {
            pieces.pop().unwrap_or_default()
        } else {
            let mut whole = BytesMut::with_capacity(len);
            for piece in pieces {
                whole.extend_from_slice(&piece);
            }
            whole.freeze()
        };
        Received { bytes, room }
    }
}

/// How many bytes a packed body says that it has unpacked, in its last four; not more than such
/// bodies have.
fn unpacked_bytes(packed: &[u8]) -> usize {
    let said = packed
        .last_chunk()
        .map_or(0, |last| u32::from_le_bytes(*last));
    let said = usize::try_from(said).unwrap_or(usize::MAX);
    said.min(packed.len().saturating_mul(UNPACKED_RATIO_MAX))
}

impl Received {
    /// Unpacks it. The limits hold for what comes out, too, so that a small request cannot fill
    /// the memory.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`], [`BodyError::Full`], [`BodyError::Packed`].
    pub(super) fn unpack(self, bytes_max: usize) -> Result<Self, BodyError> {
        let Self { bytes, mut room } = self;
        let mut unpacked = Vec::with_capacity(unpacked_bytes(&bytes).min(bytes_max));
        let mut reader = MultiGzDecoder::new(&bytes[..]);
        loop {
            let before = unpacked.len();
            let mut some = (&mut reader).take(UNPACK_BYTES as u64);
            some.read_to_end(&mut unpacked).map_err(BodyError::Packed)?;
            let more = unpacked.len() - before;
            if more == 0 {
                break;
            }
            if unpacked.len() > bytes_max {
                return Err(BodyError::TooLarge);
            }
            room.grow(more)?;
        }
        Ok(Self {
            bytes: unpacked.into(),
            room,
        })
    }

    /// As one piece.
    pub(super) fn into_pieces(self) -> (Vec<Bytes>, Room) {
        (vec![self.bytes], self.room)
    }
}
