//! The way out: batches to what another store takes, and the sending of it.
//!
//! [`Content`] is made of batches without I/O. A [`Sender`] sends one content to one destination
//! and says what became of it; when it is tried again, and from where in the log, is the
//! caller's.

mod content;
mod destination;
mod lines;
mod samples;
mod sender;

#[cfg(test)]
mod tests;

pub use self::content::Content;
pub use self::destination::{Destination, Protocol};
pub use self::sender::{Access, Outcome, Sender};
