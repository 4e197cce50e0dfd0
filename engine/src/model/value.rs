//! Field types and values.

use std::fmt;
use std::sync::Arc;

/// The type of a field, per measurement and partition. The numbers are stored on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FieldType {
    /// 64-bit IEEE 754.
    Float = 0,
    /// 64-bit signed.
    Integer = 1,
    /// 64-bit unsigned.
    Unsigned = 2,
    /// UTF-8 text.
    String = 3,
    /// True or false.
    Boolean = 4,
}

impl FieldType {
    /// The type with this number on disk.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        [
            Self::Float,
            Self::Integer,
            Self::Unsigned,
            Self::String,
            Self::Boolean,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == id)
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::String => "string",
            Self::Boolean => "boolean",
        })
    }
}

/// One value that owns its text.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// See [`FieldType::Float`].
    Float(f64),
    /// See [`FieldType::Integer`].
    Integer(i64),
    /// See [`FieldType::Unsigned`].
    Unsigned(u64),
    /// See [`FieldType::String`].
    String(Arc<str>),
    /// See [`FieldType::Boolean`].
    Boolean(bool),
}

impl FieldValue {
    /// The value's type.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.as_ref().field_type()
    }

    /// The same value, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Float(v) => ValueRef::Float(*v),
            Self::Integer(v) => ValueRef::Integer(*v),
            Self::Unsigned(v) => ValueRef::Unsigned(*v),
            Self::String(v) => ValueRef::String(v),
            Self::Boolean(v) => ValueRef::Boolean(*v),
        }
    }
}

/// One value that borrows its text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// See [`FieldType::Float`].
    Float(f64),
    /// See [`FieldType::Integer`].
    Integer(i64),
    /// See [`FieldType::Unsigned`].
    Unsigned(u64),
    /// See [`FieldType::String`].
    String(&'a str),
    /// See [`FieldType::Boolean`].
    Boolean(bool),
}

impl ValueRef<'_> {
    /// The value's type.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::String(_) => FieldType::String,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }

    /// The same value, with its own text.
    #[must_use]
    pub fn to_owned(self) -> FieldValue {
        match self {
            Self::Float(v) => FieldValue::Float(v),
            Self::Integer(v) => FieldValue::Integer(v),
            Self::Unsigned(v) => FieldValue::Unsigned(v),
            Self::String(v) => FieldValue::String(v.into()),
            Self::Boolean(v) => FieldValue::Boolean(v),
        }
    }
}

/// A column of values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// See [`FieldType::Float`].
    Float(Vec<f64>),
    /// See [`FieldType::Integer`].
    Integer(Vec<i64>),
    /// See [`FieldType::Unsigned`].
    Unsigned(Vec<u64>),
    /// See [`FieldType::String`].
    String(Vec<Arc<str>>),
    /// See [`FieldType::Boolean`].
    Boolean(Vec<bool>),
}

/// Runs `$body` with `$v` bound to the vector inside, whatever its type.
macro_rules! each {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            Values::Float($v) => $body,
            Values::Integer($v) => $body,
            Values::Unsigned($v) => $body,
            Values::String($v) => $body,
            Values::Boolean($v) => $body,
        }
    };
}

impl Values {
    /// An empty column of `field_type`.
    #[must_use]
    pub fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Float => Self::Float(Vec::new()),
            FieldType::Integer => Self::Integer(Vec::new()),
            FieldType::Unsigned => Self::Unsigned(Vec::new()),
            FieldType::String => Self::String(Vec::new()),
            FieldType::Boolean => Self::Boolean(Vec::new()),
        }
    }

    /// The column's type.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::String(_) => FieldType::String,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }

    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        each!(self, v => v.clear());
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        each!(self, v => v.truncate(len));
    }

    /// Appends `rows` of a column of the same type.
    ///
    /// # Panics
    /// Where the types differ, or a row is not there.
    pub fn extend_from(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        match (self, other) {
            (Self::Float(to), Self::Float(from)) => to.extend_from_slice(&from[rows]),
            (Self::Integer(to), Self::Integer(from)) => to.extend_from_slice(&from[rows]),
            (Self::Unsigned(to), Self::Unsigned(from)) => to.extend_from_slice(&from[rows]),
            (Self::String(to), Self::String(from)) => to.extend_from_slice(&from[rows]),
            (Self::Boolean(to), Self::Boolean(from)) => to.extend_from_slice(&from[rows]),
            _ => unreachable!("both columns were made for one type"),
        }
    }

    /// The value at `index`, which must be below [`Self::len`].
    #[must_use]
    pub fn value(&self, index: usize) -> ValueRef<'_> {
        match self {
            Self::Float(v) => ValueRef::Float(v[index]),
            Self::Integer(v) => ValueRef::Integer(v[index]),
            Self::Unsigned(v) => ValueRef::Unsigned(v[index]),
            Self::String(v) => ValueRef::String(&v[index]),
            Self::Boolean(v) => ValueRef::Boolean(v[index]),
        }
    }

    /// Appends `value`, which must be of the column's type.
    ///
    /// # Panics
    /// Where it is of another type: columns are typed when they are made.
    pub fn push(&mut self, value: ValueRef<'_>) {
        match (self, value) {
            (Self::Float(v), ValueRef::Float(x)) => v.push(x),
            (Self::Integer(v), ValueRef::Integer(x)) => v.push(x),
            (Self::Unsigned(v), ValueRef::Unsigned(x)) => v.push(x),
            (Self::String(v), ValueRef::String(x)) => v.push(x.into()),
            (Self::Boolean(v), ValueRef::Boolean(x)) => v.push(x),
            (column, value) => panic!(
                "a {} does not belong in a {} column",
                value.field_type(),
                column.field_type()
            ),
        }
    }

    /// Replaces the value at `index` by one of the same type.
    ///
    /// # Panics
    /// Where it is of another type, or `index` is not below [`Self::len`].
    pub fn set(&mut self, index: usize, value: ValueRef<'_>) {
        match (self, value) {
            (Self::Float(v), ValueRef::Float(x)) => v[index] = x,
            (Self::Integer(v), ValueRef::Integer(x)) => v[index] = x,
            (Self::Unsigned(v), ValueRef::Unsigned(x)) => v[index] = x,
            (Self::String(v), ValueRef::String(x)) => v[index] = x.into(),
            (Self::Boolean(v), ValueRef::Boolean(x)) => v[index] = x,
            (column, value) => panic!(
                "a {} does not belong in a {} column",
                value.field_type(),
                column.field_type()
            ),
        }
    }
}
