//! A read view: the catalog and every source of data as they were at one moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::catalog::Catalog;
use crate::model::{FieldType, TagSet, TimeRange, Values};
use crate::predicate::TagPredicate;
use crate::{Error, Result};

/// The order in which a scan visits time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the earliest time on.
    Ascending,
    /// From the latest time back.
    Descending,
}

/// What was there when it was taken; later writes and drops do not change it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) catalog: Arc<Catalog>,
}

/// One retention policy's data within a time range.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) range: TimeRange,
}

/// One series of a view: a measurement and a tag set.
#[derive(Debug, Clone)]
pub struct Series {
    /// The measurement.
    pub measurement: Arc<str>,
    /// The tags.
    pub tags: TagSet,
    /// (source number, tag-set id there).
    pub(crate) places: SmallVec<[(u32, u32); 2]>,
}

/// One field of one series: strictly ascending times, and a value for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// ns, strictly ascending.
    pub times: Vec<i64>,
    /// As many values as times.
    pub values: Values,
}

impl Snapshot {
    /// The databases and policies.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The data of `policy` (empty: the default one) of `database` within `range`.
    ///
    /// # Errors
    /// [`Error::DatabaseNotFound`], [`Error::PolicyNotFound`].
    pub fn view(&self, database: &str, policy: &str, range: TimeRange) -> Result<View> {
        let _policy = self.catalog.database(database)?.policy(policy)?;
        Ok(View { range })
    }
}

impl View {
    /// The range it was taken for.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Measurements that may have a point in the range (exact to the block, not to the point).
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn measurements(&self) -> Result<BTreeSet<Arc<str>>> {
        Ok(BTreeSet::new())
    }

    /// Fields of a measurement by name, then type; a field may have several types, one a partition.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn fields(&self, _measurement: &str) -> Result<BTreeSet<(Arc<str>, FieldType)>> {
        Ok(BTreeSet::new())
    }

    /// Tag keys of a measurement.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn tag_keys(&self, _measurement: &str) -> Result<BTreeSet<Arc<str>>> {
        Ok(BTreeSet::new())
    }

    /// Series of a measurement that fulfil the predicate, in canonical order, that may have a
    /// point in the range; [`Self::has_points`] answers exactly.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn series(&self, _measurement: &str, _predicate: &TagPredicate) -> Result<Vec<Series>> {
        Ok(Vec::new())
    }

    /// Whether the series has a point in the range.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn has_points(&self, _series: &Series) -> Result<bool> {
        Ok(false)
    }

    /// All points of one field of one series in the range, of this type, the last write of each
    /// time, in ascending order. Empty where the series has none.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn column(&self, _series: &Series, _field: &str, field_type: FieldType) -> Result<Column> {
        Ok(Column {
            times: Vec::new(),
            values: Values::new(field_type),
        })
    }

    /// Visits the same points as [`Self::column`] in pieces, each in ascending order within
    /// itself, the pieces in `direction`; `visit` answers whether it wants more.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and what `visit` returns.
    pub fn scan<E: From<Error>>(
        &self,
        series: &Series,
        field: &str,
        field_type: FieldType,
        _direction: Direction,
        visit: &mut dyn FnMut(&[i64], &Values) -> Result<std::ops::ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let column = self.column(series, field, field_type)?;
        if !column.times.is_empty() {
            let _stop = visit(&column.times, &column.values)?;
        }
        Ok(())
    }
}
