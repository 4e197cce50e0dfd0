//! Bodies of requests: bounded in size and in time, unpacked where they are packed.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;

/// A client that sends nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// How much room is made before anything has arrived.
const RESERVE_BYTES_MAX: usize = 1 << 20;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It is over the limit.
    #[error("Request Entity Too Large")]
    TooLarge,
    /// It stopped in the middle.
    #[error("the request's body ended early: {0}")]
    Broken(String),
    /// It does not unpack.
    #[error("gzip: {0}")]
    Packed(std::io::Error),
}

/// Reads a whole body of at most `bytes_max`.
///
/// # Errors
/// [`BodyError::TooLarge`], [`BodyError::Broken`].
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > bytes_max as u64) {
        return Err(BodyError::TooLarge);
    }
    let expected = announced
        .and_then(|len| usize::try_from(len).ok())
        .unwrap_or(0);
    let mut whole = BytesMut::with_capacity(expected.min(RESERVE_BYTES_MAX));
    loop {
        let frame = tokio::time::timeout(IDLE, body.frame())
            .await
            .map_err(|_| BodyError::Broken(format!("nothing came for {IDLE:?}")))?;
        let Some(frame) = frame else {
            return Ok(whole.freeze());
        };
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if whole.len() + piece.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&piece);
    }
}

/// Whether the body is packed.
pub(super) fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

/// Unpacks a body. The limit holds for what comes out, too, so that a small request cannot fill
/// the memory.
///
/// # Errors
/// [`BodyError::TooLarge`], [`BodyError::Packed`].
pub(super) fn unpack(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(packed)
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(BodyError::Packed)?;
    if unpacked.len() > bytes_max {
        return Err(BodyError::TooLarge);
    }
    Ok(unpacked)
}
