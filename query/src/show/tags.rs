//! SHOW TAG KEYS and SHOW TAG VALUES.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_engine::View;

use super::{
    Chosen, Policies, RowTests, choose, conditions, cut, each_measurement, each_name, table,
};
use crate::ast::{Expr, KeyFilter, Operator, Show, Source};
use crate::exec::Emitter;
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};
use crate::plan::{compile_regex, split};
use crate::rows::Cell;

/// SHOW TAG KEYS.
pub(crate) fn tag_keys(
    show: &Show,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let filter = show.key.as_ref().map(Keys::of).transpose()?;
    check_quotes(show.condition.as_ref())?;
    let mut found: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    each_measurement(show, context, Policies::All, |view, name, chosen| {
        let keys = found.entry(Arc::clone(name)).or_default();
        match chosen {
            Chosen::All => keys.extend(view.tag_keys(name)?),
            Chosen::Some(series) => {
                for series in series {
                    keys.extend(series.tags.pairs().map(|(key, _)| Arc::from(key.as_ref())));
                }
            }
        }
        Ok(())
    })?;
    found.retain(|_, keys| {
        keys.retain(|key| filter.as_ref().is_none_or(|filter| filter.holds(key)));
        !keys.is_empty()
    });
    for (name, keys) in cut(found, show.soffset, show.slimit) {
        let keys = cut(keys, show.offset, show.limit);
        if !keys.is_empty() {
            let values = keys.into_iter().map(|key| vec![Cell::String(key)]);
            emitter.rows(table(&name, &["tagKey"], values.collect()))?;
        }
    }
    Ok(())
}

/// SHOW TAG VALUES.
pub(crate) fn tag_values(
    show: &Show,
    context: &Context<'_>,
    emitter: &mut Emitter<'_>,
) -> Result<()> {
    let filter = match &show.key {
        Some(filter) => Keys::of(filter)?,
        None => return Err(Error::invalid("SHOW TAG VALUES needs WITH KEY")),
    };
    check_quotes(show.condition.as_ref())?;
    check_policies(show)?;
    let split = split(show.condition.as_ref(), context.now, None)?;
    let (wanted, rest) = ValueFilter::take(split.rest)?;
    let mut found: BTreeMap<Arc<str>, Vec<Pair>> = BTreeMap::new();
    let (rest, range) = (rest.as_ref(), split.range);
    each_name(show, context, Policies::Named, range, |view, name| {
        let pairs = found.entry(Arc::clone(name)).or_default();
        let before = pairs.len();
        let values = match index_values(view, name, &filter, rest)? {
            Some(values) => values,
            None => {
                let mut values = BTreeSet::new();
                for series in choose(view, name, rest, range, RowTests::Kept)? {
                    let pairs = series.tags.pairs().filter(|(key, _)| filter.holds(key));
                    values.extend(pairs.map(|(key, value)| (Arc::from(&*key), Arc::from(&*value))));
                }
                values.into_iter().collect()
            }
        };
        pairs.extend(values.into_iter().filter(|(_, value)| wanted.holds(value)));
        if before > 0 {
            // The same measurement in another policy.
            pairs.sort();
            pairs.dedup();
        }
        Ok(())
    })?;
    for (name, pairs) in found {
        let pairs = cut(pairs, show.offset, show.limit);
        if !pairs.is_empty() {
            let values = pairs
                .into_iter()
                .map(|(key, value)| vec![Cell::String(key), Cell::String(value)]);
            emitter.rows(table(&name, &["key", "value"], values.collect()))?;
        }
    }
    Ok(())
}

/// A tag key with a value.
type Pair = (Arc<str>, Arc<str>);

/// The tag values of a measurement from the index, where that alone decides, in order.
fn index_values(
    view: &View,
    measurement: &Arc<str>,
    filter: &Keys,
    rest: Option<&Expr>,
) -> Result<Option<Vec<Pair>>> {
    let Some(predicate) = conditions(view, measurement, rest)?.condition.of_tags() else {
        return Ok(None);
    };
    // As a set: they may be named twice, and in any order.
    let keys: BTreeSet<Arc<str>> = match filter {
        Keys::In(keys) => keys.iter().map(|key| Arc::from(key.as_str())).collect(),
        _ => view.tag_keys(measurement)?,
    };
    let mut pairs = Vec::new();
    for key in keys {
        if !filter.holds(&key) {
            continue;
        }
        let Some(values) = view.tag_values(measurement, &key, &predicate)? else {
            return Ok(None);
        };
        let values = values.into_iter();
        pairs.extend(values.map(|value| (Arc::clone(&key), value)));
    }
    Ok(Some(pairs))
}

/// Two names compared: one of them was meant to be a text.
///
/// # Errors
/// [`Error::Invalid`] with InfluxDB's text.
fn check_quotes(condition: Option<&Expr>) -> Result<()> {
    match condition {
        Some(Expr::Paren(inner)) => check_quotes(Some(inner)),
        Some(Expr::Binary { op, left, right }) => match op {
            Operator::And | Operator::Or => {
                check_quotes(Some(left))?;
                check_quotes(Some(right))
            }
            Operator::Equal | Operator::NotEqual
                if matches!(
                    (&**left, &**right),
                    (Expr::Reference(_), Expr::Reference(_))
                ) =>
            {
                Err(Error::invalid(format!(
                    "bad WHERE clause for metaquery; one term must be a string literal tag value \
                     within single quotes: {left} {} {right}",
                    op.symbol()
                )))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// FROM of SHOW TAG VALUES names one policy at most.
fn check_policies(show: &Show) -> Result<()> {
    let mut named = show.sources.iter().filter_map(|source| match source {
        Source::Measurement(measurement) if !measurement.policy.is_empty() => {
            Some(measurement.policy.as_str())
        }
        _ => None,
    });
    let Some(first) = named.next() else {
        return Ok(());
    };
    match named.find(|policy| *policy != first) {
        None => Ok(()),
        Some(other) => Err(Error::invalid(format!(
            "only one retention policy allowed in SHOW TAG VALUES query: \"{other}\", \"{first}\""
        ))),
    }
}

/// What WHERE says of `value`, which stands for the tag value itself.
#[derive(Debug, Default)]
pub(super) struct ValueFilter(Vec<ValueTest>);

#[derive(Debug)]
enum ValueTest {
    Equals(String),
    NotEquals(String),
    Matches(::regex::Regex),
    NotMatches(::regex::Regex),
    /// Compared with no text: no value does.
    Nothing,
}

impl ValueFilter {
    /// Takes the comparisons of `value` out of a conjunction, and answers what is left.
    ///
    /// # Errors
    /// A bad regular expression.
    fn take(condition: Option<Expr>) -> Result<(Self, Option<Expr>)> {
        let mut filter = Self::default();
        let rest = match condition {
            None => None,
            Some(condition) => filter.split(condition)?,
        };
        Ok((filter, rest))
    }

    fn split(&mut self, condition: Expr) -> Result<Option<Expr>> {
        match condition {
            Expr::Paren(inner) => {
                let rest = self.split(*inner)?;
                Ok(rest.map(|rest| Expr::Paren(Box::new(rest))))
            }
            Expr::Binary {
                op: Operator::And,
                left,
                right,
            } => Ok(match (self.split(*left)?, self.split(*right)?) {
                (Some(left), Some(right)) => Some(Expr::Binary {
                    op: Operator::And,
                    left: Box::new(left),
                    right: Box::new(right),
                }),
                (one, other) => one.or(other),
            }),
            Expr::Binary { op, left, right } if matches!(&*left, Expr::Reference(reference) if reference.name == "value") =>
            {
                let test = match (op, &*right) {
                    (Operator::Equal, Expr::String(text)) => ValueTest::Equals(text.clone()),
                    (Operator::NotEqual, Expr::String(text)) => ValueTest::NotEquals(text.clone()),
                    (Operator::Matches, Expr::Regex(pattern)) => {
                        ValueTest::Matches(compile_regex(&pattern.0)?)
                    }
                    (Operator::NotMatches, Expr::Regex(pattern)) => {
                        ValueTest::NotMatches(compile_regex(&pattern.0)?)
                    }
                    (Operator::Equal | Operator::NotEqual, _) => ValueTest::Nothing,
                    _ => return Ok(Some(Expr::Binary { op, left, right })),
                };
                self.0.push(test);
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }

    /// Whether a tag value is meant.
    pub(super) fn holds(&self, value: &str) -> bool {
        self.0.iter().all(|test| match test {
            ValueTest::Equals(text) => value == text,
            ValueTest::NotEquals(text) => value != text,
            ValueTest::Matches(regex) => regex.is_match(value),
            ValueTest::NotMatches(regex) => !regex.is_match(value),
            ValueTest::Nothing => false,
        })
    }
}

/// WITH KEY.
pub(super) enum Keys {
    In(Vec<String>),
    NotIn(Vec<String>),
    Matches(::regex::Regex),
    NotMatches(::regex::Regex),
}

impl Keys {
    pub(super) fn of(filter: &KeyFilter) -> Result<Self> {
        Ok(match filter {
            KeyFilter::Equals(key) => Self::In(vec![key.clone()]),
            KeyFilter::NotEquals(key) => Self::NotIn(vec![key.clone()]),
            KeyFilter::Matches(pattern) => Self::Matches(compile_regex(&pattern.0)?),
            KeyFilter::NotMatches(pattern) => Self::NotMatches(compile_regex(&pattern.0)?),
            KeyFilter::In(keys) => Self::In(keys.clone()),
        })
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        match self {
            Self::In(keys) => keys.iter().any(|there| there == key),
            Self::NotIn(keys) => !keys.iter().any(|there| there == key),
            Self::Matches(regex) => regex.is_match(key),
            Self::NotMatches(regex) => !regex.is_match(key),
        }
    }
}
