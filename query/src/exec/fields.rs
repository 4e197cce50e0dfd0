//! The stored fields that the calls of a SELECT read, opened once, and each thread's readers.

use plimsoll_engine::model::Values;
use plimsoll_engine::segment::BlockRef;
use plimsoll_engine::{Field, FieldReader, Rows, Series, TakePoints, TimeRange};

use super::error::Result;
use super::load::{Block, Member};
use crate::plan::{Decision, Kind, Plan, Source, kind_over};

use super::pool::Execution;
use super::window::Windows;
use super::window::cuts::Cuts;

/// The fields of a SELECT.
#[derive(Debug)]
pub(crate) struct Fields {
    /// By call (or the one name of a SELECT without calls), then by source; none where points need
    /// more than reading: a cast, or the types of several partitions.
    calls: Vec<Vec<Option<Field>>>,
    /// By call: what its argument is.
    kinds: Vec<Kind>,
    inner: Option<Box<Inner>>,
}

/// What the tables of a subquery are made with, where they are made as they are read.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Its windows.
    pub(crate) windows: Windows,
    /// Its fields.
    pub(crate) fields: Fields,
}

/// The readers of one thread, opened as they are needed.
#[derive(Debug)]
pub(crate) struct Readers<'f> {
    fields: &'f Fields,
    open: Vec<Vec<Option<FieldReader<'f>>>>,
    inner: Option<Box<Readers<'f>>>,
    cuts: Cuts,
}

impl Fields {
    /// Opens what the calls of a plan read of its stored sources.
    pub(crate) fn open(plan: &Plan, execution: Execution, inner: Option<Inner>) -> Self {
        let kinds = plan.calls.iter();
        let kinds = kinds.map(|(call, _)| kind_over(&plan.sources, call.reference()));
        Self {
            calls: Self::of_calls(plan, execution),
            kinds: kinds.collect(),
            inner: inner.map(Box::new),
        }
    }

    fn of_calls(plan: &Plan, execution: Execution) -> Vec<Vec<Option<Field>>> {
        let of_call = |reference| {
            let Kind::Value(wanted) = kind_over(&plan.sources, reference) else {
                return plan.sources.iter().map(|_| None).collect();
            };
            let of_source = |source: &Source| match source {
                Source::Stored(stored) => {
                    let types = stored.fields.get(reference.name.as_str())?;
                    (types.as_slice() == [wanted]).then(|| {
                        let summaries = execution.summaries();
                        let (view, measurement) = (&stored.view, &stored.measurement);
                        view.field(measurement, &reference.name, wanted, summaries)
                    })
                }
                Source::Derived(_) => None,
            };
            plan.sources.iter().map(of_source).collect()
        };
        if let ([], [(reference, _)]) = (plan.calls.as_slice(), plan.references.as_slice()) {
            return vec![of_call(reference)];
        }
        let calls = plan.calls.iter();
        calls.map(|(call, _)| of_call(call.reference())).collect()
    }

    /// What the argument of a call is.
    pub(crate) fn kind(&self, call: usize) -> Kind {
        self.kinds.get(call).copied().unwrap_or(Kind::Unknown)
    }

    /// Readers for one thread.
    pub(crate) fn readers(&self) -> Readers<'_> {
        let closed = |call: &Vec<Option<Field>>| call.iter().map(|_| None).collect();
        Readers {
            fields: self,
            open: self.calls.iter().map(closed).collect(),
            inner: self
                .inner
                .as_ref()
                .map(|inner| Box::new(inner.fields.readers())),
            cuts: Cuts::default(),
        }
    }
}

impl<'f> Readers<'f> {
    /// What the tables of a subquery that waits are made with, and its readers.
    pub(crate) fn inner(&mut self) -> (&'f Inner, &mut Readers<'f>) {
        let inner = self.fields.inner.as_deref();
        let both = inner.zip(self.inner.as_deref_mut());
        both.expect("groups that wait come with what they are made with")
    }

    /// The reader, and the series that it may read for a member as it is.
    pub(crate) fn of_member<'s>(
        &mut self,
        call: usize,
        member: &'s Member<'_>,
    ) -> Option<(&mut FieldReader<'f>, &'s Series)> {
        let (reader, series, _) = self.with_cuts(call, member)?;
        Some((reader, series))
    }

    /// As [`Self::of_member`], with how the times of series are cut into windows.
    pub(crate) fn with_cuts<'s>(
        &mut self,
        call: usize,
        member: &'s Member<'_>,
    ) -> Option<(&mut FieldReader<'f>, &'s Series, &mut Cuts)> {
        match member {
            Member::Series {
                source,
                series,
                decision: Decision::All,
                ..
            } => {
                let field = self.fields.calls.get(call)?.get(*source)?.as_ref()?;
                let open = self.open.get_mut(call)?.get_mut(*source)?;
                let reader = open.get_or_insert_with(|| field.reader());
                Some((reader, series, &mut self.cuts))
            }
            Member::Series { .. } | Member::Table { .. } | Member::Pending { .. } => None,
        }
    }

    /// How the times of series are cut into windows.
    pub(crate) fn cuts(&mut self) -> &mut Cuts {
        &mut self.cuts
    }
}

/// Reads all rows of a series as a block.
///
/// # Errors
/// Damaged data.
pub(crate) fn read_block(
    reader: &mut FieldReader<'_>,
    series: &Series,
    range: TimeRange,
    rows: Rows,
) -> Result<Block> {
    struct Keep {
        times: Vec<i64>,
        values: Option<Values>,
    }
    impl TakePoints for Keep {
        fn block(&mut self, _: &BlockRef) -> bool {
            false
        }

        fn points(&mut self, times: &[i64], values: &Values, rows: std::ops::Range<usize>) {
            self.times.extend_from_slice(&times[rows.clone()]);
            self.values
                .get_or_insert_with(|| Values::new(values.field_type()))
                .extend_from(values, rows);
        }
    }
    let mut kept = Keep {
        times: Vec::new(),
        values: None,
    };
    reader.read(series, range, rows, &mut kept)?;
    Ok(Block {
        times: kept.times,
        values: kept.values,
        beside: Vec::new(),
    })
}
