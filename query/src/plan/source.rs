//! FROM: measurements that are there, and subqueries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_engine::model::FieldType;
use plimsoll_engine::{TimeRange, View};

use super::condition::{Conditions, compile_regex, compile_row};
use super::kind::{self, Kind};
use super::node::Node;
use super::{Outer, Plan};
use crate::ast::{self, Cast, Expr, MeasurementName, Reference};
use crate::exec::context::Context;
use crate::exec::error::{Error, Result};

/// One thing that is read.
#[derive(Debug)]
pub(crate) enum Source {
    /// A measurement.
    Stored(Box<Stored>),
    /// A subquery.
    Derived(Box<Derived>),
}

/// A measurement in a view of one retention policy.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The data.
    pub(crate) view: View,
    /// The measurement.
    pub(crate) measurement: Arc<str>,
    /// Its fields, with the types that they have in one partition or another.
    pub(crate) fields: BTreeMap<Arc<str>, Vec<FieldType>>,
    /// Its tags.
    pub(crate) tag_keys: BTreeSet<Arc<str>>,
    /// WHERE without time.
    pub(crate) conditions: Conditions,
}

/// A subquery.
#[derive(Debug)]
pub(crate) struct Derived {
    /// It.
    pub(crate) plan: Plan,
    /// The outer WHERE without time, over its rows, and the names in it with what they are.
    pub(crate) filter: Option<(Node, Vec<(Reference, Kind)>)>,
}

impl Source {
    /// The kind of a name; a cast is taken by its word.
    pub(crate) fn kind(&self, reference: &Reference) -> Kind {
        match reference.cast {
            Some(Cast::Field) => match self.kind_of(&reference.name) {
                Kind::Tag => Kind::Unknown,
                kind => kind,
            },
            Some(cast) => kind::of_cast(cast).unwrap_or(Kind::Unknown),
            None => self.kind_of(&reference.name),
        }
    }

    /// Whether it has something of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Stored(stored) => stored.kind_of(name) != Kind::Unknown,
            Self::Derived(derived) => {
                let plan = &derived.plan;
                let mut outputs = plan.fields.iter();
                outputs.any(|output| output.name == name)
                    || plan.own_tags.iter().any(|tag| &**tag == name)
            }
        }
    }

    fn kind_of(&self, name: &str) -> Kind {
        match self {
            Self::Stored(stored) => stored.kind_of(name),
            Self::Derived(derived) => {
                let outputs = &derived.plan.fields;
                match outputs.iter().find(|output| output.name == name) {
                    Some(output) if output.kind != Kind::Unknown => output.kind,
                    _ if derived.plan.own_tags.iter().any(|tag| &**tag == name) => Kind::Tag,
                    _ => Kind::Unknown,
                }
            }
        }
    }
}

impl Stored {
    fn kind_of(&self, name: &str) -> Kind {
        let types = self.fields.get(name);
        let tag = self.tag_keys.contains(name);
        types
            .into_iter()
            .flatten()
            .map(|field_type| Kind::Value(*field_type))
            .chain(tag.then_some(Kind::Tag))
            .fold(Kind::Unknown, Kind::or_higher)
    }
}

/// The kind of a name in one measurement; a cast is taken by its word.
pub(crate) fn kind_in(stored: &Stored, reference: &Reference) -> Kind {
    match reference.cast {
        Some(Cast::Field) | None => stored.kind_of(&reference.name),
        Some(cast) => kind::of_cast(cast).unwrap_or(Kind::Unknown),
    }
}

/// The kind of a name over several sources: the highest.
pub(crate) fn kind_over(sources: &[Source], reference: &Reference) -> Kind {
    sources
        .iter()
        .map(|source| source.kind(reference))
        .fold(Kind::Unknown, Kind::or_higher)
}

/// Resolves FROM.
///
/// # Errors
/// Unknown databases and policies, and what a subquery fails with.
pub(crate) fn resolve(
    sources: &[ast::Source],
    context: &Context<'_>,
    below: Outer,
) -> Result<Vec<Source>> {
    let mut resolved = Vec::new();
    for source in sources {
        match source {
            ast::Source::Measurement(measurement) => {
                let view = open(measurement, context, below.range)?;
                let schema = open(measurement, context, below.schema)?;
                for name in names(measurement, &schema)? {
                    resolved.push(Source::Stored(Box::new(stored(&view, &schema, name)?)));
                }
            }
            ast::Source::Subquery(select) => {
                let plan = Plan::build(select, context, Some(below))?;
                resolved.push(Source::Derived(Box::new(Derived { plan, filter: None })));
            }
        }
    }
    Ok(resolved)
}

fn open(measurement: &ast::Measurement, context: &Context<'_>, range: TimeRange) -> Result<View> {
    let database = if measurement.database.is_empty() {
        context.database
    } else {
        &measurement.database
    };
    if database.is_empty() {
        return Err(Error::DatabaseRequired);
    }
    let policy = if measurement.policy.is_empty() && database == context.database {
        context.policy
    } else {
        &measurement.policy
    };
    Ok(context.snapshot.view(database, policy, range)?)
}

fn names(measurement: &ast::Measurement, view: &View) -> Result<Vec<Arc<str>>> {
    match &measurement.name {
        MeasurementName::Name(name) => Ok(vec![name.as_str().into()]),
        MeasurementName::Regex(pattern) => {
            let regex = compile_regex(&pattern.0)?;
            let mut names: Vec<Arc<str>> = view.measurements()?.into_iter().collect();
            names.retain(|name| regex.is_match(name));
            Ok(names)
        }
        MeasurementName::BackReference => {
            Err(Error::invalid("error parsing query: invalid measurement"))
        }
    }
}

/// A measurement of `view`, with the names that it has in `schema`.
fn stored(view: &View, schema: &View, measurement: Arc<str>) -> Result<Stored> {
    let mut fields: BTreeMap<Arc<str>, Vec<FieldType>> = BTreeMap::new();
    for (name, field_type) in schema.fields(&measurement)? {
        fields.entry(name).or_default().push(field_type);
    }
    Ok(Stored {
        view: view.clone(),
        tag_keys: schema.tag_keys(&measurement)?,
        measurement,
        fields,
        conditions: Conditions::none(),
    })
}

/// Gives each source its part of WHERE.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn compile_conditions(sources: &mut [Source], rest: Option<&Expr>) -> Result<()> {
    // What is a field in one of them is one in all.
    let fields: BTreeSet<String> = rest
        .into_iter()
        .flat_map(names_in)
        .filter(|name| {
            let reference = Reference {
                name: name.clone(),
                cast: None,
            };
            matches!(kind_over(sources, &reference), Kind::Value(_))
        })
        .collect();
    let over_rows = match rest.map(compile_row).transpose()? {
        None => None,
        Some((node, references)) => {
            let kinds = references.into_iter().map(|reference| {
                let kind = kind_over(sources, &reference);
                (reference, kind)
            });
            Some((node, kinds.collect::<Vec<_>>()))
        }
    };
    for source in sources {
        match source {
            Source::Stored(stored) => {
                let is_field = |name: &str| fields.contains(name);
                stored.conditions = Conditions::compile(rest, &stored.measurement, &is_field)?;
            }
            Source::Derived(derived) => {
                derived.filter.clone_from(&over_rows);
            }
        }
    }
    Ok(())
}

/// The names in an expression.
fn names_in(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::Reference(reference) => vec![reference.name.clone()],
        Expr::Binary { left, right, .. } => [names_in(left), names_in(right)].concat(),
        Expr::Paren(inner) => names_in(inner),
        Expr::Call(call) => call.arguments.iter().flat_map(names_in).collect(),
        _ => Vec::new(),
    }
}
