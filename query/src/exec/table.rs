//! One series of an answer on its way, by column.

use std::sync::Arc;

use super::column::Column;

/// Rows of one name and tag set.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// The measurement.
    pub(crate) name: Arc<str>,
    /// The tags it is grouped by, sorted by key; a missing one is empty.
    pub(crate) tags: Vec<(Arc<str>, Arc<str>)>,
    /// Each row's time, in the query's direction.
    pub(crate) times: Vec<i64>,
    /// The columns, each as long as `times`.
    pub(crate) columns: Vec<Column>,
}

impl Table {
    /// Turns the order of rows around.
    pub(crate) fn reverse(&mut self) {
        self.times.reverse();
        for column in &mut self.columns {
            column.reverse();
        }
    }
}
