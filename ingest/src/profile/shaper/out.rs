//! Rows on their way out, under the names of their profile.

use plimsoll_engine::model::{Batch, Point};
use plimsoll_engine::{FieldValue, TagSet, Timestamp};

use super::sums::{MILLIS_NS, Sum};
use crate::choice::SeriesSet;
use crate::names::Series;
use crate::number::rounded;
use crate::profile::Profile;

/// Rows on their way out.
pub(super) struct Out {
    profile: Profile,
    chosen: SeriesSet,
    pub(super) batch: Batch,
    names: Vec<Option<(u32, u32)>>,
    /// The number of the tag set whose points go by.
    pub(super) row: u32,
}

impl Out {
    pub(super) fn new(profile: Profile, chosen: SeriesSet) -> Self {
        Self {
            profile,
            chosen,
            batch: Batch::default(),
            names: vec![None; Series::ALL.len()],
            row: 0,
        }
    }

    pub(super) fn push(
        &mut self,
        series: Series,
        tags: &TagSet,
        time: Timestamp,
        value: FieldValue,
    ) {
        if self.chosen.has(series) {
            self.row = self.batch.tag_set(tags);
            self.own(series, time, value);
        }
    }

    /// Adds a value of the row that goes by, unless its series is left out; whether it did.
    pub(super) fn own(&mut self, series: Series, time: Timestamp, value: FieldValue) -> bool {
        if !self.chosen.has(series) {
            return false;
        }
        let (profile, batch) = (self.profile, &mut self.batch);
        let (measurement, field) = *self.names[series as usize].get_or_insert_with(|| {
            let (measurement, field) = profile.names(series);
            (batch.name(measurement), batch.name(field))
        });
        batch.push(measurement, self.row, time, [(field, value)]);
        true
    }

    pub(super) fn integer(&mut self, series: Series, tags: &TagSet, time: Timestamp, value: i64) {
        self.push(series, tags, time, FieldValue::Integer(value));
    }

    pub(super) fn float(&mut self, series: Series, tags: &TagSet, time: Timestamp, value: f64) {
        self.push(series, tags, time, FieldValue::Float(value));
    }

    /// A rate of what is counted, a second.
    pub(super) fn rate(&mut self, series: Series, time: Timestamp, rate: f64) {
        let value = match series {
            Series::CpuUsageRate => match rounded(rate / MILLIS_NS) {
                Some(millis) => FieldValue::Integer(millis),
                None => return,
            },
            _ => FieldValue::Float(rate),
        };
        self.own(series, time, value);
    }

    pub(super) fn sum(&mut self, series: Series, tags: &TagSet, sum: Sum) {
        match series {
            Series::PageFaultsRate | Series::MajorPageFaultsRate => {
                self.float(series, tags, sum.time, sum.value);
            }
            _ => {
                if let Some(value) = rounded(sum.value) {
                    self.integer(series, tags, sum.time, value);
                }
            }
        }
    }

    /// A point of a name that is none of ours.
    pub(super) fn as_is(&mut self, from: &Batch, point: &Point<'_>, tags: &TagSet) {
        let fields: Vec<(&str, FieldValue)> = point
            .fields
            .iter()
            .map(|(field, value)| (&*from.names()[*field as usize], value.clone()))
            .collect();
        let measurement = &from.names()[point.measurement as usize];
        self.batch.add(measurement, tags, point.time, fields);
    }
}
