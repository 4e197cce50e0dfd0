//! What a statement answers: series of rows, message by message.

use std::sync::Arc;

/// One cell of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value, or one that JSON cannot say.
    Null,
    /// A time, ns since 1970; printed by the server as RFC 3339 or as an epoch number.
    Time(i64),
    /// A float.
    Float(f64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// Text.
    String(Arc<str>),
    /// True or false.
    Boolean(bool),
    /// Several texts.
    List(Arc<[Arc<str>]>),
}

/// A series of an answer, or a piece of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// The measurement, or what SHOW calls it; empty is left out.
    pub name: Arc<str>,
    /// Grouping tags, sorted by key; empty is left out.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Column names.
    pub columns: Arc<[Arc<str>]>,
    /// Rows, each as long as `columns`.
    pub values: Vec<Vec<Cell>>,
    /// How the offset of `Cell::Time` is printed: `None` is UTC (`Z`).
    pub timezone: Option<Arc<str>>,
    /// Whether more rows of this same series follow.
    pub partial: bool,
}

impl Rows {
    /// The same head, without rows.
    #[must_use]
    pub fn clone_without_values(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            tags: self.tags.clone(),
            columns: Arc::clone(&self.columns),
            values: Vec::new(),
            timezone: self.timezone.clone(),
            partial: self.partial,
        }
    }
}

/// A note that accompanies an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `warning`.
    pub level: &'static str,
    /// The text.
    pub text: String,
}
