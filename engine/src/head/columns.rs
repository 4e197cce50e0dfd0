//! The columns of a generation: (partition, measurement, field, type), numbered.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::FieldType;
use crate::partition::PartitionId;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnDefinition {
    pub(crate) partition: PartitionId,
    pub(crate) measurement: Arc<str>,
    pub(crate) field: Arc<str>,
    pub(crate) field_type: FieldType,
}

/// All columns by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    by_number: HashMap<u32, Arc<ColumnDefinition>>,
    by_name: HashMap<(PartitionId, Arc<str>), HashMap<Arc<str>, u32>>,
    next: u32,
}

impl Columns {
    pub(crate) fn find(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
        field: &str,
    ) -> Option<u32> {
        self.by_name
            .get(&(partition, Arc::clone(measurement)))?
            .get(field)
            .copied()
    }

    pub(crate) fn definition(&self, column: u32) -> Option<&Arc<ColumnDefinition>> {
        self.by_number.get(&column)
    }

    /// Numbers a new column.
    pub(crate) fn define(&mut self, definition: ColumnDefinition) -> u32 {
        let number = self.next;
        self.insert(number, definition);
        number
    }

    /// A column with a number that the log gave it.
    pub(crate) fn insert(&mut self, number: u32, definition: ColumnDefinition) {
        let key = (definition.partition, Arc::clone(&definition.measurement));
        self.by_name
            .entry(key)
            .or_default()
            .insert(Arc::clone(&definition.field), number);
        self.by_number.insert(number, Arc::new(definition));
        self.next = self.next.max(number.saturating_add(1));
    }

    /// Forgets a column of which nothing is left, so that its field may come back with another
    /// type.
    pub(crate) fn remove(&mut self, partition: PartitionId, measurement: &Arc<str>, field: &str) {
        let key = (partition, Arc::clone(measurement));
        if let Some(fields) = self.by_name.get_mut(&key) {
            if let Some(number) = fields.remove(field) {
                self.by_number.remove(&number);
            }
            if fields.is_empty() {
                self.by_name.remove(&key);
            }
        }
    }

    /// Numbers of the columns of one measurement.
    pub(crate) fn of_measurement(
        &self,
        partition: PartitionId,
        measurement: &Arc<str>,
    ) -> impl Iterator<Item = u32> {
        self.by_name
            .get(&(partition, Arc::clone(measurement)))
            .into_iter()
            .flat_map(|fields| fields.values().copied())
    }

    /// Columns of one partition.
    pub(crate) fn of_partition(
        &self,
        partition: PartitionId,
    ) -> impl Iterator<Item = &Arc<ColumnDefinition>> {
        self.by_number
            .values()
            .filter(move |column| column.partition == partition)
    }
}
