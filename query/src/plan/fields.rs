//! The columns of a SELECT and its GROUP BY, with wildcards expanded and names given.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use plimsoll_engine::model::FieldType;

use super::call::Call;
use super::condition::{compile_regex, literal};
use super::kind::{self, Kind};
use super::node::Node;
use super::source::{Source, kind_over};
use super::{Origin, Output};
use crate::ast::{self, Dimension, Expr, Field, Reference, Select, WildcardKind};
use crate::exec::error::{Error, Result};
use crate::functions::math::Math;

/// What a SELECT's columns and GROUP BY come to.
#[derive(Debug)]
pub(crate) struct Fields {
    /// The calls.
    pub(crate) calls: Vec<(Call, Kind)>,
    /// Names outside calls, sorted.
    pub(crate) references: Vec<(Reference, Kind)>,
    /// The columns.
    pub(crate) outputs: Vec<Output>,
    /// The column of times.
    pub(crate) time_name: Arc<str>,
    /// Tags of GROUP BY.
    pub(crate) tags: Vec<Arc<str>>,
}

/// Where a SELECT stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// By itself: types that do not go together are refused.
    Outermost,
    /// In FROM: they compute to nothing.
    Subquery,
}

/// Resolves the columns and GROUP BY of a SELECT.
///
/// # Errors
/// [`Error::Invalid`] with InfluxDB's text.
pub(crate) fn resolve(select: &Select, sources: &[Source], level: Level) -> Result<Fields> {
    let mut time_name: Arc<str> = "time".into();
    let mut fields = Vec::with_capacity(select.fields.len());
    for field in &select.fields {
        match &field.expr {
            Expr::Reference(reference) if reference.name == "time" => {
                if let Some(alias) = &field.alias {
                    time_name = alias.as_str().into();
                }
            }
            Expr::Distinct(name) => fields.push(Field {
                expr: distinct(name),
                alias: field.alias.clone(),
            }),
            _ => fields.push(field.clone()),
        }
    }
    let names = Names::of(sources);
    let has_dimension_wildcard = select
        .dimensions
        .iter()
        .any(|dimension| matches!(dimension.expr, Expr::Wildcard(_) | Expr::Regex(_)));
    let tags = expand_dimensions(&select.dimensions, &names)?;
    let known = names.columns(&tags, has_dimension_wildcard);
    let fields = expand_fields(fields, &known)?;
    compile(fields, tags, time_name, sources, level)
}

fn distinct(name: &str) -> Expr {
    Expr::Call(ast::Call {
        name: "distinct".to_owned(),
        arguments: vec![Expr::Reference(Reference {
            name: name.to_owned(),
            cast: None,
        })],
    })
}

/// The names that wildcards stand for.
struct Names {
    fields: BTreeMap<Arc<str>, Kind>,
    tags: BTreeSet<Arc<str>>,
}

impl Names {
    fn of(sources: &[Source]) -> Self {
        let mut fields: BTreeMap<Arc<str>, Kind> = BTreeMap::new();
        let mut tags = BTreeSet::new();
        let mut add = |name: Arc<str>, kind: Kind| {
            let known = fields.entry(name).or_insert(Kind::Unknown);
            *known = known.or_higher(kind);
        };
        for source in sources {
            match source {
                Source::Stored(stored) => {
                    for (name, types) in &stored.fields {
                        for field_type in types {
                            add(Arc::clone(name), Kind::Value(*field_type));
                        }
                    }
                    tags.extend(stored.tag_keys.iter().cloned());
                }
                Source::Derived(derived) => {
                    let outputs = derived.plan.fields.iter();
                    // What top() tells its points apart by can be named, but no wildcard means it.
                    for output in outputs.filter(|output| output.origin == Origin::Asked) {
                        add(output.name.as_str().into(), output.kind);
                    }
                    tags.extend(derived.plan.own_tags.iter().cloned());
                }
            }
        }
        Self { fields, tags }
    }

    /// What `*` stands for in SELECT: fields, and the tags that GROUP BY does not name, by name;
    /// of one name the field comes first.
    fn columns(&self, grouped: &[Arc<str>], has_dimension_wildcard: bool) -> Vec<(Arc<str>, Kind)> {
        let mut columns: Vec<(Arc<str>, Kind)> = self
            .fields
            .iter()
            .map(|(name, kind)| (Arc::clone(name), *kind))
            .collect();
        if !has_dimension_wildcard && !columns.is_empty() {
            let tags = self.tags.iter().filter(|tag| !grouped.contains(tag));
            columns.extend(tags.map(|tag| (Arc::clone(tag), Kind::Tag)));
            columns.sort_by(|a, b| a.0.cmp(&b.0));
        }
        columns
    }
}

fn expand_dimensions(dimensions: &[Dimension], names: &Names) -> Result<Vec<Arc<str>>> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    for dimension in dimensions {
        match &dimension.expr {
            Expr::Reference(reference) => tags.push(reference.name.as_str().into()),
            Expr::Wildcard(_) => tags.extend(names.tags.iter().cloned()),
            Expr::Regex(pattern) => {
                let regex = compile_regex(&pattern.0)?;
                let matching = names.tags.iter().filter(|name| regex.is_match(name));
                tags.extend(matching.cloned());
            }
            Expr::Call(_) => {}
            _ => return Err(Error::invalid("only time and tag dimensions allowed")),
        }
    }
    Ok(tags)
}

fn expand_fields(fields: Vec<Field>, known: &[(Arc<str>, Kind)]) -> Result<Vec<Field>> {
    let mut expanded = Vec::with_capacity(fields.len());
    for field in fields {
        match &field.expr {
            Expr::Wildcard(wanted) => expanded.extend(known.iter().filter_map(|(name, kind)| {
                let is_wanted = match wanted {
                    WildcardKind::All => true,
                    WildcardKind::Fields => *kind != Kind::Tag,
                    WildcardKind::Tags => *kind == Kind::Tag,
                };
                is_wanted.then(|| plain(name, *kind))
            })),
            Expr::Regex(pattern) => {
                let regex = compile_regex(&pattern.0)?;
                let matching = known.iter().filter(|(name, _)| regex.is_match(name));
                expanded.extend(matching.map(|(name, kind)| plain(name, *kind)));
            }
            Expr::Call(call) => match expand_call(call, &field, known)? {
                Some(calls) => expanded.extend(calls),
                None => expanded.push(field),
            },
            Expr::Binary { .. } => {
                refuse_wildcards(&field.expr, &field.expr)?;
                expanded.push(field);
            }
            _ => expanded.push(field),
        }
    }
    Ok(expanded)
}

/// A reference that is pinned to its kind, so that a tag and a field of one name stay two.
fn plain(name: &str, kind: Kind) -> Field {
    Field {
        expr: Expr::Reference(Reference {
            name: name.to_owned(),
            cast: (kind == Kind::Tag).then_some(ast::Cast::Tag),
        }),
        alias: None,
    }
}

/// `f(*)`, `f(/re/)`, also inside other calls: one column for each field of a type that fits.
fn expand_call(
    call: &ast::Call,
    field: &Field,
    known: &[(Arc<str>, Kind)],
) -> Result<Option<Vec<Field>>> {
    let mut innermost = call;
    while let Some(Expr::Call(inner)) = innermost.arguments.first() {
        innermost = inner;
    }
    let regex = match innermost.arguments.first() {
        Some(Expr::Wildcard(WildcardKind::Tags)) => {
            return Err(Error::invalid(format!(
                "unable to use tag wildcard in {}()",
                innermost.name
            )));
        }
        Some(Expr::Wildcard(_)) => None,
        Some(Expr::Regex(pattern)) => Some(compile_regex(&pattern.0)?),
        _ => return Ok(None),
    };
    let fits = |name: &str, kind: Kind| {
        let by_type = match kind {
            Kind::Value(FieldType::Float | FieldType::Integer | FieldType::Unsigned) => {
                innermost.name != "count_hll"
            }
            Kind::Value(FieldType::Boolean) => {
                takes_anything(&innermost.name) || matches!(&*innermost.name, "min" | "max")
            }
            Kind::Value(FieldType::String) => takes_anything(&innermost.name),
            Kind::Tag | Kind::Unknown => false,
        };
        by_type && regex.as_ref().is_none_or(|regex| regex.is_match(name))
    };
    let base = name_of(field);
    Ok(Some(
        known
            .iter()
            .filter(|(name, kind)| fits(name, *kind))
            .map(|(name, _)| Field {
                expr: Expr::Call(with_argument(call, name)),
                alias: Some(format!("{base}_{name}")),
            })
            .collect(),
    ))
}

fn takes_anything(function: &str) -> bool {
    matches!(
        function,
        "count"
            | "count_hll"
            | "distinct"
            | "elapsed"
            | "first"
            | "last"
            | "mode"
            | "sample"
            | "sum_hll"
    )
}

fn with_argument(call: &ast::Call, name: &str) -> ast::Call {
    let mut call = call.clone();
    if let Some(first) = call.arguments.first_mut() {
        *first = match first {
            Expr::Call(inner) => Expr::Call(with_argument(inner, name)),
            _ => Expr::Reference(Reference {
                name: name.to_owned(),
                cast: None,
            }),
        };
    }
    call
}

fn refuse_wildcards(whole: &Expr, expr: &Expr) -> Result<()> {
    match expr {
        Expr::Wildcard(_) => Err(Error::invalid(format!(
            "unsupported expression with wildcard: {whole}"
        ))),
        Expr::Regex(_) => Err(Error::invalid(format!(
            "unsupported expression with regex field: {whole}"
        ))),
        Expr::Binary { left, right, .. } => {
            refuse_wildcards(whole, left)?;
            refuse_wildcards(whole, right)
        }
        Expr::Paren(inner) => refuse_wildcards(whole, inner),
        Expr::Call(call) => call
            .arguments
            .iter()
            .try_for_each(|argument| refuse_wildcards(whole, argument)),
        _ => Ok(()),
    }
}

/// How a column is called before duplicates are told apart: alias, function or field; the names
/// of an expression joined by `_`.
fn name_of(field: &Field) -> String {
    match &field.alias {
        Some(alias) => alias.clone(),
        None => expr_name(&field.expr),
    }
}

fn expr_name(expr: &Expr) -> String {
    match expr {
        Expr::Call(call) => call.name.clone(),
        Expr::Reference(reference) => reference.name.clone(),
        Expr::Paren(inner) => expr_name(inner),
        Expr::Binary { .. } => {
            let mut names = Vec::new();
            collect_names(expr, &mut names);
            names.join("_")
        }
        _ => String::new(),
    }
}

fn collect_names(expr: &Expr, names: &mut Vec<String>) {
    match expr {
        Expr::Reference(reference) => names.push(reference.name.clone()),
        Expr::Call(call) => names.push(call.name.clone()),
        Expr::Binary { left, right, .. } => {
            collect_names(left, names);
            collect_names(right, names);
        }
        Expr::Paren(inner) => collect_names(inner, names),
        _ => {}
    }
}

fn compile(
    fields: Vec<Field>,
    tags: Vec<Arc<str>>,
    time_name: Arc<str>,
    sources: &[Source],
    level: Level,
) -> Result<Fields> {
    // top() and bottom() with tags give a column for each, right behind theirs.
    let mut columns = Vec::with_capacity(fields.len());
    let mut origins = Vec::with_capacity(fields.len());
    for field in fields {
        let extra: Vec<Expr> = match &field.expr {
            Expr::Call(call) if matches!(&*call.name, "top" | "bottom") => {
                let behind = call.arguments.get(1..).unwrap_or_default();
                let references = behind.iter().filter(|a| matches!(a, Expr::Reference(_)));
                references.cloned().collect()
            }
            _ => Vec::new(),
        };
        columns.push(field);
        origins.push(Origin::Asked);
        origins.extend(extra.iter().map(|_| Origin::Distinguishes));
        columns.extend(extra.into_iter().map(|expr| Field { expr, alias: None }));
    }
    let kind_of = |reference: &Reference| kind_over(sources, reference);
    let kind_of_expr = |expr: &Expr| match (kind::of(expr, &kind_of), level) {
        (Err(_), Level::Subquery) => Ok(Kind::Unknown),
        (kind, _) => kind,
    };
    let mut symbols = Symbols::default();
    for field in &columns {
        symbols.collect(&field.expr)?;
    }
    symbols.references.sort_by(|a, b| a.name.cmp(&b.name));
    let names = column_names(&columns);
    let mut outputs = Vec::with_capacity(columns.len());
    for ((field, column), origin) in columns.iter().zip(names).zip(origins) {
        outputs.push(Output {
            origin,
            node: symbols.node(&field.expr)?,
            kind: kind_of_expr(&field.expr)?,
            name: name_of(field),
            column,
        });
    }
    let mut calls = Vec::with_capacity(symbols.calls.len());
    for (expr, call) in symbols.calls {
        let kind = kind_of_expr(&Expr::Call(expr))?;
        calls.push((call, kind));
    }
    let references = symbols
        .references
        .into_iter()
        .map(|reference| {
            let kind = kind_of(&reference);
            (reference, kind)
        })
        .collect();
    Ok(Fields {
        calls,
        references,
        outputs,
        time_name,
        tags,
    })
}

/// Calls and names, each once.
#[derive(Default)]
struct Symbols {
    calls: Vec<(ast::Call, Call)>,
    references: Vec<Reference>,
}

impl Symbols {
    fn collect(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Call(call) if Math::named(&call.name).is_some() => {
                for argument in &call.arguments {
                    self.collect(argument)?;
                }
            }
            Expr::Call(call) if !self.calls.iter().any(|(known, _)| known == call) => {
                self.calls.push((call.clone(), Call::read(call)?));
            }
            Expr::Reference(reference) if !self.references.contains(reference) => {
                self.references.push(reference.clone());
            }
            Expr::Binary { left, right, .. } => {
                self.collect(left)?;
                self.collect(right)?;
            }
            Expr::Paren(inner) => self.collect(inner)?,
            _ => {}
        }
        Ok(())
    }

    fn node(&self, expr: &Expr) -> Result<Node> {
        Ok(match expr {
            Expr::Call(call) => match Math::named(&call.name) {
                Some(math) => {
                    let mut arguments = Vec::with_capacity(call.arguments.len());
                    for argument in &call.arguments {
                        arguments.push(self.node(argument)?);
                    }
                    Node::Math(math, arguments)
                }
                None => Node::Symbol(
                    self.calls
                        .iter()
                        .position(|(known, _)| known == call)
                        .expect("all calls were collected"),
                ),
            },
            Expr::Reference(reference) => {
                let at = self.references.iter().position(|known| known == reference);
                Node::Symbol(self.calls.len() + at.expect("all names were collected"))
            }
            Expr::Binary { op, left, right } => {
                Node::binary(*op, self.node(left)?, self.node(right)?)
            }
            Expr::Paren(inner) => self.node(inner)?,
            Expr::Regex(_) | Expr::Wildcard(_) => {
                return Err(Error::invalid(
                    "unable to use wildcard in a binary expression",
                ));
            }
            other => Node::Constant(literal(other)),
        })
    }
}

/// The names of the answer's columns: aliases as they are, others made unlike by `_1`, `_2`.
fn column_names(fields: &[Field]) -> Vec<Arc<str>> {
    let mut taken: HashMap<String, usize> = HashMap::new();
    for field in fields {
        if let Some(alias) = &field.alias {
            taken.insert(alias.clone(), 1);
        }
    }
    let mut names = Vec::with_capacity(fields.len());
    for field in fields {
        if let Some(alias) = &field.alias {
            names.push(alias.as_str().into());
            continue;
        }
        let base = expr_name(&field.expr);
        let mut name = base.clone();
        if let Some(mut count) = taken.get(&base).copied() {
            loop {
                name = format!("{base}_{count}");
                if !taken.contains_key(&name) {
                    taken.insert(base, count + 1);
                    break;
                }
                count += 1;
            }
        }
        *taken.entry(name.clone()).or_insert(0) += 1;
        names.push(name.into());
    }
    names
}
