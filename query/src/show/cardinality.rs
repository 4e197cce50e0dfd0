//! SHOW … CARDINALITY: how many series, measurements, tag keys, tag values and field keys there are.
//!
//! All forms count exactly; where InfluxDB only estimates, the column is called as it calls it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_engine::predicate::TagPredicate;
use plimsoll_engine::{Series, TagSet, TimeRange, View};

use super::tags::Keys;
use super::{Policies, RowTests, choose, names, scopes, table};
use crate::ast::{Cardinality, Dimension, Expr, Show, WildcardKind};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
use crate::plan::{compile_regex, split};
use crate::rows::{Cell, Rows};

/// The column of a count.
const COUNT: &str = "count";
/// The column of what InfluxDB estimates.
const ESTIMATION: &str = "cardinality estimation";

/// One thing that is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Tags(TagSet),
    Text(Arc<str>),
}

/// A group: its measurement, empty where all are one, and its values of the grouping tags.
type Key = (Arc<str>, Vec<Arc<str>>);

/// SHOW … CARDINALITY.
pub(crate) fn cardinality(
    of: Cardinality,
    exact: bool,
    show: &Show,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let is_plain = show.dimensions.is_empty() && show.limit == 0 && show.offset == 0;
    let is_whole = is_plain && show.sources.is_empty() && show.condition.is_none();
    let is_estimated = !exact && of == Cardinality::Series && is_plain;
    if !exact && is_whole && matches!(of, Cardinality::Series | Cardinality::Measurement) {
        let count = of_database(of, names::database(show, context)?, context)?;
        return emitter.rows(table("", &[ESTIMATION], vec![vec![count]]));
    }
    let counter = Counter::new(of, show, context)?;
    let counted = counter.count()?;
    if show.offset > 0 {
        // Each series has one row.
        return Ok(());
    }
    let column: Arc<str> = if is_estimated { ESTIMATION } else { COUNT }.into();
    for ((name, values), items) in counted {
        let tags = counter.group_by.iter().cloned().zip(values);
        emitter.rows(Rows {
            name,
            tags: tags.collect(),
            columns: [Arc::clone(&column)].into(),
            values: vec![vec![number(items.len())]],
            ..Rows::default()
        })?;
    }
    Ok(())
}

fn number(count: usize) -> Cell {
    Cell::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// All series or measurements of a database, whatever their policy; none where it is not there.
fn of_database(of: Cardinality, database: &str, context: &Context<'_>) -> Result<Cell> {
    let Ok(there) = context.snapshot.catalog().database(database) else {
        return Ok(number(0));
    };
    let mut views: BTreeMap<Arc<str>, Vec<View>> = BTreeMap::new();
    for policy in &there.policies {
        let view = context
            .snapshot
            .view(database, &policy.name, TimeRange::ALL)?;
        for name in view.measurements()? {
            views.entry(name).or_default().push(view.clone());
        }
    }
    if of == Cardinality::Measurement {
        return Ok(number(views.len()));
    }
    let mut count = 0;
    for (name, views) in views {
        context.cancel.check()?;
        let mut different: BTreeSet<TagSet> = BTreeSet::new();
        let is_alone = views.len() == 1;
        for view in views {
            let series = view.series(&name, &TagPredicate::All)?;
            if is_alone {
                count += series.len();
            } else {
                different.extend(series.into_iter().map(|series| series.tags));
            }
        }
        count += different.len();
    }
    Ok(number(count))
}

/// Counts by group.
struct Counter<'a> {
    of: Cardinality,
    show: &'a Show,
    context: &'a Context<'a>,
    range: TimeRange,
    condition: Option<Expr>,
    keys: Option<Keys>,
    group_by: Vec<Arc<str>>,
}

impl<'a> Counter<'a> {
    fn new(of: Cardinality, show: &'a Show, context: &'a Context<'a>) -> Result<Self> {
        let split = split(show.condition.as_ref(), context.now, None)?;
        let mut counter = Self {
            of,
            show,
            context,
            range: split.range,
            condition: split.rest,
            keys: show.key.as_ref().map(Keys::of).transpose()?,
            group_by: Vec::new(),
        };
        counter.group_by = counter.dimensions(&show.dimensions)?;
        Ok(counter)
    }

    /// Calls `visit` with each measurement of FROM.
    fn each(&self, mut visit: impl FnMut(&View, &Arc<str>) -> Result<()>) -> Result<()> {
        for scope in scopes(self.show, self.context, Policies::Default)? {
            let snapshot = self.context.snapshot;
            let view = snapshot.view(&scope.database, &scope.policy, self.range)?;
            for name in view.measurements()? {
                self.context.cancel.check()?;
                if scope.matcher.matches(&name) {
                    visit(&view, &name)?;
                }
            }
        }
        Ok(())
    }

    /// The tags of GROUP BY, sorted; `*` and regular expressions are those that the sources have.
    fn dimensions(&self, dimensions: &[Dimension]) -> Result<Vec<Arc<str>>> {
        let mut tags: BTreeSet<Arc<str>> = BTreeSet::new();
        for dimension in dimensions {
            let regex = match &dimension.expr {
                Expr::Reference(reference) => {
                    tags.insert(reference.name.as_str().into());
                    continue;
                }
                Expr::Wildcard(WildcardKind::All | WildcardKind::Tags) => None,
                Expr::Regex(pattern) => Some(compile_regex(&pattern.0)?),
                other => {
                    return Err(Error::invalid(format!(
                        "GROUP BY of SHOW … CARDINALITY takes tags, not {other}"
                    )));
                }
            };
            self.each(|view, name| {
                let keys = view.tag_keys(name)?;
                let is_meant = |key: &str| regex.as_ref().is_none_or(|regex| regex.is_match(key));
                tags.extend(keys.into_iter().filter(|key| is_meant(key)));
                Ok(())
            })?;
        }
        Ok(tags.into_iter().collect())
    }

    fn count(&self) -> Result<BTreeMap<Key, BTreeSet<Item>>> {
        let mut counted: BTreeMap<Key, BTreeSet<Item>> = BTreeMap::new();
        self.each(|view, name| {
            let condition = self.condition.as_ref();
            let chosen = choose(view, name, condition, self.range, RowTests::Refused)?;
            let fields = match self.of {
                Cardinality::FieldKey => view.fields(name)?,
                _ => BTreeSet::new(),
            };
            for series in chosen {
                let items: Vec<Item> = match self.of {
                    Cardinality::Series => vec![Item::Tags(series.tags.clone())],
                    Cardinality::Measurement => vec![Item::Text(Arc::clone(name))],
                    Cardinality::FieldKey => {
                        let names = fields.iter().map(|(name, _)| Item::Text(Arc::clone(name)));
                        names.collect()
                    }
                    Cardinality::TagKey | Cardinality::TagValues => self.of_tags(&series),
                };
                if !items.is_empty() {
                    let group = counted.entry(self.key(&series)).or_default();
                    group.extend(items);
                }
            }
            Ok(())
        })?;
        Ok(counted)
    }

    fn of_tags(&self, series: &Series) -> Vec<Item> {
        let pairs = series.tags.pairs();
        let items = pairs.filter_map(|(key, value)| match self.of {
            Cardinality::TagKey => Some(Item::Text(key.as_ref().into())),
            _ if self.keys.as_ref().is_none_or(|keys| keys.holds(&key)) => {
                Some(Item::Text(value.as_ref().into()))
            }
            _ => None,
        });
        items.collect()
    }

    fn key(&self, series: &Series) -> Key {
        let name = match self.of {
            Cardinality::Measurement => "".into(),
            _ => Arc::clone(&series.measurement),
        };
        let value = |key: &Arc<str>| Arc::from(&*series.tags.value(key).unwrap_or_default());
        (name, self.group_by.iter().map(value).collect())
    }
}
