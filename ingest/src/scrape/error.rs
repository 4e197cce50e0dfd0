//! What can go wrong with a target, in words that say what to do about it.

use std::path::PathBuf;

/// What is wrong with a target.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its URL cannot be one.
    #[error("{url} is not the URL of a target: {why}")]
    Url {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its URL was one once.
    #[error("{url}: {gone}; {today}")]
    Gone {
        /// The URL as it was given.
        url: String,
        /// What is gone, and since when.
        gone: &'static str,
        /// What is there today.
        today: &'static str,
    },
    /// A token or certificate cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    File {
        /// Token or certificates.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why it is not.
        source: std::io::Error,
    },
    /// A file of certificates holds none.
    #[error("{} holds no certificate in PEM form{}", path.display(), .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        why: Option<String>,
    },
    /// No client can be made for it.
    #[error("cannot make a client for {url}: {why}")]
    Client {
        /// The URL, without credentials.
        url: String,
        /// The reasons, outermost first.
        why: String,
    },
    /// It was not reached.
    #[error("{url}: {why}{hint}")]
    Unreachable {
        /// The URL, without credentials.
        url: String,
        /// The reasons, outermost first.
        why: String,
        /// What to do about it, or empty.
        hint: &'static str,
    },
    /// It took too long.
    #[error("{url}: no answer within the deadline of {deadline_ms} ms")]
    Deadline {
        /// The URL, without credentials.
        url: String,
        /// The deadline.
        deadline_ms: u128,
    },
    /// It does not know who asks.
    #[error("{url}: 401 Unauthorized: {why}")]
    Unauthorized {
        /// The URL, without credentials.
        url: String,
        /// Which token was refused.
        why: String,
    },
    /// It knows who asks, and will not answer.
    #[error("{url}: 403 Forbidden: the account's role lacks the rule: {rule}")]
    Forbidden {
        /// The URL, without credentials.
        url: String,
        /// The rule that is missing.
        rule: String,
    },
    /// It answered something else than 200.
    #[error("{url}: {status}")]
    Status {
        /// The URL, without credentials.
        url: String,
        /// The status, with its reason.
        status: String,
    },
    /// It answered too much.
    #[error("{url}: the answer is longer than max_scrape_size, {limit} bytes")]
    BodyTooLong {
        /// The URL, without credentials.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// It answered too many points.
    #[error(
        "{url}: its answer holds {got} points, and max_scrape_series is {limit}: none was kept"
    )]
    TooManySeries {
        /// The URL, without credentials.
        url: String,
        /// How many there are.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// It answered something that is not what belongs there.
    #[error("{url}: {why}")]
    Payload {
        /// The URL, without credentials.
        url: String,
        /// What does not parse.
        why: String,
    },
    /// The name of a Kubelet's node is not known yet.
    #[error(
        "{url}: the node's name is not known until /stats/summary has answered once, so nothing was kept"
    )]
    NodeUnknown {
        /// The URL, without credentials.
        url: String,
    },
    /// Targets cannot be found.
    #[error("{by}: {why}")]
    Discovery {
        /// What looks for them.
        by: String,
        /// What is wrong.
        why: String,
    },
    /// The work on a payload ended in a panic, which is a fault of this program.
    #[error("{target}: a fault of this program: {why}")]
    Internal {
        /// The target.
        target: String,
        /// What the panic said.
        why: String,
    },
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
