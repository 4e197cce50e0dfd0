//! The columns of row groups: most groups of a shard have the same, so each list is kept once.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::FieldType;

/// The columns of a group, by slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) columns: Box<[u32]>,
    pub(crate) types: Box<[FieldType]>,
}

impl Shape {
    /// How many columns.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }
}

/// The shapes of a shard.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    by_columns: HashMap<Box<[u32]>, Arc<Shape>>,
}

impl Shapes {
    /// The shape of exactly these columns, if some group has it.
    pub(crate) fn find(&self, columns: &[u32]) -> Option<Arc<Shape>> {
        self.by_columns.get(columns).map(Arc::clone)
    }

    /// The shape of exactly these columns.
    pub(crate) fn intern(
        &mut self,
        columns: &[u32],
        type_of: &dyn Fn(u32) -> FieldType,
    ) -> Arc<Shape> {
        if let Some(shape) = self.find(columns) {
            return shape;
        }
        let types = columns.iter().map(|column| type_of(*column)).collect();
        self.insert(columns.into(), types)
    }

    fn insert(&mut self, columns: Box<[u32]>, types: Box<[FieldType]>) -> Arc<Shape> {
        let shape = Arc::new(Shape {
            columns: columns.clone(),
            types,
        });
        self.by_columns.insert(columns, Arc::clone(&shape));
        shape
    }

    /// The shape of a group's columns and one more; a shape that no group has any more goes.
    pub(crate) fn extend(
        &mut self,
        shape: &Arc<Shape>,
        column: u32,
        field_type: FieldType,
    ) -> Arc<Shape> {
        let columns: Box<[u32]> = shape.columns.iter().copied().chain([column]).collect();
        let types = shape.types.iter().copied().chain([field_type]).collect();
        // The group's and the table's.
        if Arc::strong_count(shape) == 2 {
            self.by_columns.remove(&shape.columns);
        }
        match self.by_columns.get(&columns) {
            Some(shape) => Arc::clone(shape),
            None => self.insert(columns, types),
        }
    }
}
