//! The way of an answer from the thread that runs the query to the socket.
//!
//! Bytes are gathered, indented and packed where that was asked for, and sent through a bounded
//! channel: a slow client slows its query, and a client that is gone stops it.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::StatusCode;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::Stream;
use plimsoll_query::Cancel;
use tokio::sync::mpsc;

use super::pretty::{Indenter, Layout};

/// Bytes that are gathered before they are sent.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces between the query and the socket.
const PIECES_MAX: usize = 4;

/// Whether an answer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// As it is.
    Plain,
    /// gzip.
    Gzip,
}

/// What goes through the channel.
#[derive(Debug)]
pub(super) enum Piece {
    /// The request cannot be answered; nothing else follows.
    Refused(StatusCode, String),
    /// All of the answer at once; nothing else follows.
    Whole(Bytes),
    /// Some of it.
    Part(Bytes),
    /// It is complete.
    End,
}

/// The client is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// Makes both ends. Dropping `Incoming` stops the query.
pub(super) fn channel(cancel: &Arc<Cancel>) -> (mpsc::Sender<Piece>, Incoming) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let cancel = Arc::clone(cancel);
    (
        sender,
        Incoming {
            receiver,
            cancel,
            ended: false,
        },
    )
}

/// The writing end.
pub(super) struct Output {
    sender: mpsc::Sender<Piece>,
    /// Compact and unpacked; what was not sent yet.
    pub(super) pending: Vec<u8>,
    indenter: Option<Indenter>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Whether something was sent.
    pub(super) started: bool,
}

impl Output {
    pub(super) fn new(sender: mpsc::Sender<Piece>, layout: Layout, packing: Packing) -> Self {
        Self {
            sender,
            pending: Vec::new(),
            indenter: (layout == Layout::Pretty).then(Indenter::default),
            gzip: (packing == Packing::Gzip)
                .then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            started: false,
        }
    }

    /// Sends what is pending where it is worth it.
    pub(super) fn flush_if_full(&mut self) -> Result<(), Gone> {
        if self.pending.len() < PIECE_BYTES {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Sends what is pending, so that the client can read it now.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        let mut piece = self.encoded();
        if let Some(gzip) = &mut self.gzip {
            gzip.flush().expect("writing to memory does not fail");
            piece = std::mem::take(gzip.get_mut());
        }
        self.started = true;
        self.send(Piece::Part(piece.into()))
    }

    /// Sends the rest and says that it is complete.
    pub(super) fn finish(mut self) -> Result<(), Gone> {
        let mut piece = self.encoded();
        if let Some(gzip) = self.gzip.take() {
            piece = gzip.finish().expect("writing to memory does not fail");
        }
        if !self.started {
            return self.send(Piece::Whole(piece.into()));
        }
        self.send(Piece::Part(piece.into()))?;
        self.send(Piece::End)
    }

    /// What is pending, indented; where it is packed, it has gone into the packer instead.
    fn encoded(&mut self) -> Vec<u8> {
        let compact = std::mem::take(&mut self.pending);
        let plain = match &mut self.indenter {
            None => compact,
            Some(indenter) => {
                let mut indented = Vec::with_capacity(compact.len() * 2);
                indenter.push(&compact, &mut indented);
                indented
            }
        };
        match &mut self.gzip {
            None => plain,
            Some(gzip) => {
                gzip.write_all(&plain)
                    .expect("writing to memory does not fail");
                Vec::new()
            }
        }
    }

    fn send(&self, piece: Piece) -> Result<(), Gone> {
        self.sender.blocking_send(piece).map_err(|_| Gone)
    }
}

/// The reading end: the body of the answer.
#[derive(Debug)]
pub(super) struct Incoming {
    receiver: mpsc::Receiver<Piece>,
    cancel: Arc<Cancel>,
    ended: bool,
}

impl Incoming {
    /// The first piece; none where the query broke off.
    pub(super) async fn first(&mut self) -> Option<Piece> {
        let first = self.receiver.recv().await;
        self.ended = matches!(first, Some(Piece::Whole(_) | Piece::Refused(..)));
        first
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(context).map(|piece| match piece {
            Some(Piece::Part(bytes) | Piece::Whole(bytes)) => Some(Ok(bytes)),
            Some(Piece::End | Piece::Refused(..)) => {
                self.ended = true;
                None
            }
            // Cutting the connection is all that can still tell the client.
            None => {
                self.ended = true;
                Some(Err(std::io::Error::other("the query broke off")))
            }
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.ended {
            self.cancel.stop("query aborted");
        }
    }
}
