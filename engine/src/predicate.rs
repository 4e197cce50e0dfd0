//! Conditions on tags, evaluated as set arithmetic over postings.

use std::fmt;
use std::sync::Arc;

use regex::Regex;
use roaring::RoaringBitmap;

use crate::Result;

/// A condition on the tags of a series. A missing tag has the value `""`.
#[derive(Debug, Clone, PartialEq)]
pub enum TagPredicate {
    /// Every series.
    All,
    /// No series.
    None,
    /// Both hold.
    And(Box<TagPredicate>, Box<TagPredicate>),
    /// One holds.
    Or(Box<TagPredicate>, Box<TagPredicate>),
    /// It does not hold.
    Not(Box<TagPredicate>),
    /// The tag's value is tested.
    Tag {
        /// The tag's key.
        key: Arc<str>,
        /// The test.
        test: ValueTest,
    },
    /// The series has both tags, and their values are equal.
    Same {
        /// One tag's key.
        left: Arc<str>,
        /// The other's.
        right: Arc<str>,
    },
}

/// A test of one tag's value.
#[derive(Clone)]
pub enum ValueTest {
    /// Equal to one of these, sorted.
    In(Arc<[Arc<str>]>),
    /// Matches a regular expression.
    Matches(Regex),
    /// Anything else that is decided by the value alone.
    Custom(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for ValueTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(values) => f.debug_tuple("In").field(values).finish(),
            Self::Matches(regex) => f.debug_tuple("Matches").field(&regex.as_str()).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// Tests that are known to be the same; two that merely answer alike may differ.
impl PartialEq for ValueTest {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::In(a), Self::In(b)) => a == b,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            (Self::Custom(a), Self::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl ValueTest {
    /// Whether `value` passes.
    #[must_use]
    pub fn passes(&self, value: &str) -> bool {
        match self {
            Self::In(values) => values.binary_search_by(|v| v.as_ref().cmp(value)).is_ok(),
            Self::Matches(regex) => regex.is_match(value),
            Self::Custom(test) => test(value),
        }
    }
}

/// Postings of one source: which local tag-set ids hold which tag.
pub trait TagIndex {
    /// All ids.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    fn all(&self) -> Result<RoaringBitmap>;

    /// The ids whose tag `key` is `value`.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    fn postings(&self, key: &str, value: &str) -> Result<RoaringBitmap>;

    /// Calls `visit` for each value of `key` that some id has, in order.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    fn each_value(&self, key: &str, visit: &mut dyn FnMut(&str, &RoaringBitmap)) -> Result<()>;
}

impl TagPredicate {
    /// `left AND right`, simplified where one side decides.
    #[must_use]
    pub fn and(self, right: Self) -> Self {
        match (self, right) {
            (Self::All, other) | (other, Self::All) => other,
            (Self::None, _) | (_, Self::None) => Self::None,
            (left, right) => Self::And(Box::new(left), Box::new(right)),
        }
    }

    /// `left OR right`, simplified where one side decides.
    #[must_use]
    pub fn or(self, right: Self) -> Self {
        match (self, right) {
            (Self::None, other) | (other, Self::None) => other,
            (Self::All, _) | (_, Self::All) => Self::All,
            (left, right) => Self::Or(Box::new(left), Box::new(right)),
        }
    }

    /// Whether a tag set that answers `value(key)` fulfils the condition (`""` where it is missing).
    #[must_use]
    pub fn matches(&self, value: &dyn Fn(&str) -> String) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::And(a, b) => a.matches(value) && b.matches(value),
            Self::Or(a, b) => a.matches(value) || b.matches(value),
            Self::Not(a) => !a.matches(value),
            Self::Tag { key, test } => test.passes(&value(key)),
            Self::Same { left, right } => {
                let left = value(left);
                !left.is_empty() && left == value(right)
            }
        }
    }

    /// The ids of `index` that fulfil the condition.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] where the index does not verify.
    pub fn select(&self, index: &dyn TagIndex) -> Result<RoaringBitmap> {
        Ok(match self {
            Self::All => index.all()?,
            Self::None => RoaringBitmap::new(),
            Self::And(a, b) => {
                let left = a.select(index)?;
                if left.is_empty() {
                    left
                } else {
                    left & b.select(index)?
                }
            }
            Self::Or(a, b) => a.select(index)? | b.select(index)?,
            Self::Not(a) => index.all()? - a.select(index)?,
            Self::Tag { key, test } => select_tag(index, key, test)?,
            Self::Same { left, right } => {
                let mut equal = Vec::new();
                index.each_value(left, &mut |value, ids| {
                    equal.push((value.to_owned(), ids.clone()));
                })?;
                let mut found = RoaringBitmap::new();
                for (value, ids) in equal {
                    found |= ids & index.postings(right, &value)?;
                }
                found
            }
        })
    }
}

fn select_tag(index: &dyn TagIndex, key: &str, test: &ValueTest) -> Result<RoaringBitmap> {
    if let ValueTest::In(values) = test
        && !test.passes("")
    {
        let mut found = RoaringBitmap::new();
        for value in values.iter() {
            found |= index.postings(key, value)?;
        }
        return Ok(found);
    }
    let mut passing = RoaringBitmap::new();
    let mut failing = RoaringBitmap::new();
    index.each_value(key, &mut |value, ids| {
        if test.passes(value) {
            passing |= ids;
        } else {
            failing |= ids;
        }
    })?;
    // A missing tag reads as "", so where "" passes, everything passes that does not fail.
    Ok(if test.passes("") {
        index.all()? - failing
    } else {
        passing
    })
}
