//! A WHERE without its time: what the index decides, and what each row must fulfil.

use std::sync::Arc;

use plimsoll_engine::predicate::{TagPredicate, ValueTest};

use super::node::Node;
use crate::ast::{Cast, Expr, Operator, Reference};
use crate::exec::error::{Error, Result};
use crate::functions::math::Math;
use crate::rows::Cell;

/// A condition over one measurement: a tree of tests of tags and tests of rows.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// The same for all.
    Constant(bool),
    /// Decided by a series' tags.
    Tags(TagPredicate),
    /// Whether two tags are there and equal, or not so.
    SameTags(Arc<str>, Arc<str>, Operator),
    /// Decided by a row: an expression over [`Conditions::references`].
    Row(Node),
    /// Both.
    And(Box<Condition>, Box<Condition>),
    /// Either.
    Or(Box<Condition>, Box<Condition>),
}

/// A condition and the names that its rows need.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// The tree.
    pub(crate) condition: Condition,
    /// What its symbols are.
    pub(crate) references: Vec<Reference>,
}

/// What a condition is for one series.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// All its rows.
    All,
    /// None of them.
    None,
    /// Those for which this is true.
    Some(Node),
}

impl Conditions {
    /// No condition.
    pub(crate) fn none() -> Self {
        Self {
            condition: Condition::Constant(true),
            references: Vec::new(),
        }
    }

    /// Compiles a condition over a measurement in which `is_field` knows the fields.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn compile(
        expr: Option<&Expr>,
        measurement: &str,
        is_field: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        let Some(expr) = expr else {
            return Ok(Self::none());
        };
        let mut compiler = Compiler {
            measurement,
            is_field,
            references: Vec::new(),
        };
        let condition = compiler.condition(expr)?;
        Ok(Self {
            condition,
            references: compiler.references,
        })
    }

    /// A predicate that no series with a wanted row fails.
    pub(crate) fn predicate(&self) -> TagPredicate {
        self.condition.predicate()
    }

    /// What is left for a series with these tags.
    pub(crate) fn decide(&self, value: &dyn Fn(&str) -> String) -> Decision {
        self.condition.decide(value)
    }
}

impl Condition {
    /// The whole condition over tags; `None` where rows decide some of it.
    pub(crate) fn of_tags(&self) -> Option<TagPredicate> {
        Some(match self {
            Self::Constant(true) => TagPredicate::All,
            Self::Constant(false) => TagPredicate::None,
            Self::Tags(predicate) => predicate.clone(),
            Self::SameTags(left, right, op) => {
                let same = TagPredicate::Same {
                    left: Arc::clone(left),
                    right: Arc::clone(right),
                };
                match op {
                    Operator::NotEqual => TagPredicate::Not(Box::new(same)),
                    _ => same,
                }
            }
            Self::Row(_) => return None,
            Self::And(left, right) => left.of_tags()?.and(right.of_tags()?),
            Self::Or(left, right) => left.of_tags()?.or(right.of_tags()?),
        })
    }

    fn predicate(&self) -> TagPredicate {
        match self {
            Self::Constant(true) | Self::Row(_) | Self::SameTags(..) => TagPredicate::All,
            Self::Constant(false) => TagPredicate::None,
            Self::Tags(predicate) => predicate.clone(),
            Self::And(left, right) => left.predicate().and(right.predicate()),
            Self::Or(left, right) => left.predicate().or(right.predicate()),
        }
    }

    fn decide(&self, value: &dyn Fn(&str) -> String) -> Decision {
        match self {
            Self::Constant(true) => Decision::All,
            Self::Constant(false) => Decision::None,
            Self::Tags(predicate) => {
                if predicate.matches(value) {
                    Decision::All
                } else {
                    Decision::None
                }
            }
            Self::SameTags(left, right, op) => {
                let (left, right) = (value(left), value(right));
                let is_same = !left.is_empty() && left == right;
                if is_same == (*op == Operator::Equal) {
                    Decision::All
                } else {
                    Decision::None
                }
            }
            Self::Row(node) => Decision::Some(node.clone()),
            Self::And(left, right) => match (left.decide(value), right.decide(value)) {
                (Decision::None, _) | (_, Decision::None) => Decision::None,
                (Decision::All, other) | (other, Decision::All) => other,
                (Decision::Some(left), Decision::Some(right)) => {
                    Decision::Some(Node::binary(Operator::And, left, right))
                }
            },
            Self::Or(left, right) => match (left.decide(value), right.decide(value)) {
                (Decision::All, _) | (_, Decision::All) => Decision::All,
                (Decision::None, other) | (other, Decision::None) => other,
                (Decision::Some(left), Decision::Some(right)) => {
                    Decision::Some(Node::binary(Operator::Or, left, right))
                }
            },
        }
    }
}

/// Compiles an expression whose names are all symbols of a row.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn compile_row(expr: &Expr) -> Result<(Node, Vec<Reference>)> {
    let mut compiler = Compiler {
        measurement: "",
        is_field: &|_| true,
        references: Vec::new(),
    };
    let node = compiler.node(expr)?;
    Ok((node, compiler.references))
}

struct Compiler<'a> {
    measurement: &'a str,
    is_field: &'a dyn Fn(&str) -> bool,
    references: Vec<Reference>,
}

impl Compiler<'_> {
    fn condition(&mut self, expr: &Expr) -> Result<Condition> {
        Ok(match expr {
            Expr::Paren(inner) => self.condition(inner)?,
            Expr::Boolean(value) => Condition::Constant(*value),
            Expr::Binary {
                op: op @ (Operator::And | Operator::Or),
                left,
                right,
            } => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                let (left, right) = (Box::new(left), Box::new(right));
                match op {
                    Operator::And => Condition::And(left, right),
                    _ => Condition::Or(left, right),
                }
            }
            // A number where a question should stand: InfluxDB takes every row.
            Expr::Binary { op, left, right } if op.precedence() > 3 => {
                Condition::Constant(!self.is_of_tags_alone(left, right))
            }
            Expr::Binary { op, left, right } => match self.tag_test(*op, left, right)? {
                Some(condition) => condition,
                None => match self.node(expr)? {
                    Node::Constant(cell) => Condition::Constant(cell == Cell::Boolean(true)),
                    node => Condition::Row(node),
                },
            },
            _ => Condition::Row(self.node(expr)?),
        })
    }

    /// Whether InfluxDB takes arithmetic for a comparison that no tag fulfils.
    fn is_of_tags_alone(&self, left: &Expr, right: &Expr) -> bool {
        match (left, right) {
            (Expr::Reference(tag), Expr::Reference(other)) => {
                self.is_tag(tag) && !(self.is_field)(&other.name)
            }
            (Expr::Reference(tag), Expr::String(_)) | (Expr::String(_), Expr::Reference(tag)) => {
                self.is_tag(tag)
            }
            _ => false,
        }
    }

    /// A comparison that the index decides; none where rows decide.
    fn tag_test(&self, op: Operator, left: &Expr, right: &Expr) -> Result<Option<Condition>> {
        let (reference, value) = match (left, right) {
            (Expr::Reference(reference), value) | (value, Expr::Reference(reference)) => {
                (reference, value)
            }
            _ => return Ok(None),
        };
        if !self.is_tag(reference) {
            return Ok(None);
        }
        let key: Arc<str> = reference.name.as_str().into();
        let tag = |test| TagPredicate::Tag {
            key: Arc::clone(&key),
            test,
        };
        let test = match (op, value) {
            (Operator::Equal | Operator::NotEqual, Expr::String(text)) => {
                tag(ValueTest::In(Arc::new([text.as_str().into()])))
            }
            (Operator::Matches | Operator::NotMatches, Expr::Regex(pattern)) => {
                if matches_everything(&pattern.0) {
                    TagPredicate::All
                } else {
                    tag(regex_test(&pattern.0)?)
                }
            }
            (Operator::Equal | Operator::NotEqual, Expr::Reference(other))
                if self.is_tag(other) =>
            {
                return Ok(Some(Condition::SameTags(
                    key,
                    other.name.as_str().into(),
                    op,
                )));
            }
            _ => return Ok(None),
        };
        let predicate = match (op, test) {
            (Operator::NotMatches, TagPredicate::All) => TagPredicate::None,
            (Operator::NotEqual | Operator::NotMatches, test) => TagPredicate::Not(Box::new(test)),
            (_, test) => test,
        };
        Ok(Some(Condition::Tags(self.of_name(&key, predicate))))
    }

    /// `_name` is the measurement's name, which is known already.
    fn of_name(&self, key: &str, predicate: TagPredicate) -> TagPredicate {
        if key != "_name" {
            return predicate;
        }
        if predicate.matches(&|_| self.measurement.to_owned()) {
            TagPredicate::All
        } else {
            TagPredicate::None
        }
    }

    /// A name is a tag unless the measurement has a field of it, or a cast says otherwise.
    fn is_tag(&self, reference: &Reference) -> bool {
        match reference.cast {
            Some(Cast::Tag) => true,
            Some(_) => false,
            None => !(self.is_field)(&reference.name),
        }
    }

    fn node(&mut self, expr: &Expr) -> Result<Node> {
        Ok(match expr {
            Expr::Paren(inner) => self.node(inner)?,
            Expr::Binary { op, left, right } => {
                Node::binary(*op, self.node(left)?, self.node(right)?)
            }
            Expr::Reference(reference) => {
                let known = self.references.iter().position(|known| known == reference);
                Node::Symbol(known.unwrap_or_else(|| {
                    self.references.push(reference.clone());
                    self.references.len() - 1
                }))
            }
            Expr::Regex(pattern) => Node::Regex(compile_regex(&pattern.0)?),
            Expr::Call(call) => {
                let Some(math) = Math::named(&call.name) else {
                    return Err(Error::invalid(format!(
                        "invalid function call in condition: {expr}"
                    )));
                };
                let mut arguments = Vec::with_capacity(call.arguments.len());
                for argument in &call.arguments {
                    arguments.push(self.node(argument)?);
                }
                Node::Math(math, arguments)
            }
            other => Node::Constant(literal(other)),
        })
    }
}

/// A literal as a cell; what has no value in a row is null.
pub(crate) fn literal(expr: &Expr) -> Cell {
    match expr {
        Expr::Number(value) => Cell::Float(*value),
        Expr::Integer(value) => Cell::Integer(*value),
        Expr::Unsigned(value) => Cell::Unsigned(*value),
        Expr::String(text) => Cell::String(text.as_str().into()),
        Expr::Boolean(value) => Cell::Boolean(*value),
        _ => Cell::Null,
    }
}

/// A regular expression in Go's syntax.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn compile_regex(pattern: &str) -> Result<::regex::Regex> {
    crate::regex::compile(pattern).map_err(|error| Error::invalid(error.to_string()))
}

/// The test of a regular expression; a set where it only lists values, as `/^(a|b\.c)$/` does.
fn regex_test(pattern: &str) -> Result<ValueTest> {
    Ok(match listed(pattern) {
        // A list is never compiled: Grafana sends thousands of values as one.
        Some(mut values) => {
            values.sort_unstable();
            values.dedup();
            ValueTest::In(values.into())
        }
        None => ValueTest::Matches(compile_regex(pattern)?),
    })
}

/// Whether a pattern matches any text, the empty one of a missing tag among them: what Grafana
/// sends for "All".
fn matches_everything(pattern: &str) -> bool {
    matches!(pattern, "" | ".*" | "^.*" | ".*?" | "(.*)" | "(?:.*)")
}

/// The values of `^(a|b)$`, `^(?:a|b)$` or `^a$`, where nothing in it is special.
fn listed(pattern: &str) -> Option<Vec<Arc<str>>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let inner = match inner
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
    {
        Some(group) => group.strip_prefix("?:").unwrap_or(group),
        None if inner.contains('|') => return None,
        None => inner,
    };
    let mut values = Vec::new();
    let mut value = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '|' => values.push(std::mem::take(&mut value).into()),
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_punctuation() => value.push(escaped),
                _ => return None,
            },
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            plain => value.push(plain),
        }
    }
    values.push(value.into());
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_values_is_a_set_and_anything_else_a_regex() {
        let texts = |pattern: &str| {
            listed(pattern).map(|values| values.iter().map(|v| v.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(
            texts(r"^(a|b\.c|d-e)$"),
            Some(vec!["a".into(), "b.c".into(), "d-e".into()])
        );
        assert_eq!(texts("^a$"), Some(vec!["a".into()]));
        for pattern in [
            "^(a|b.c)$",
            "^a|b$",
            "a",
            "^(a)|(b)$",
            r"^\d$",
            ".*",
            r"^a\$",
        ] {
            assert_eq!(texts(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn a_regex_for_everything_is_no_condition_and_its_opposite_is_none() {
        let predicate = |text: &str| {
            let expr = crate::parse_expression(text).unwrap();
            let conditions = Conditions::compile(Some(&expr), "m", &|name| name == "value");
            conditions.unwrap().predicate()
        };
        for pattern in [".*", "^.*", "(.*)"] {
            let (is, is_not) = (
                format!("host =~ /{pattern}/"),
                format!("host !~ /{pattern}/"),
            );
            assert_eq!(predicate(&is), TagPredicate::All, "{pattern}");
            assert_eq!(predicate(&is_not), TagPredicate::None, "{pattern}");
            let regex = compile_regex(pattern).unwrap();
            assert!(["", "a", "a\nb"].iter().all(|text| regex.is_match(text)));
        }
        assert_ne!(predicate("host =~ /.+/"), TagPredicate::All);
    }

    #[test]
    fn a_list_of_thousands_of_values_is_a_set() {
        let values: Vec<String> = (0..5000).map(|i| format!("pod-{i}")).collect();
        let test = regex_test(&format!("^({})$", values.join("|"))).unwrap();
        let ValueTest::In(set) = test else {
            panic!("a set was expected")
        };
        assert_eq!(set.len(), 5000);
    }

    #[test]
    fn tags_are_decided_by_the_index_and_fields_by_rows() {
        let expr = crate::parse_expression("host = 'a' OR (value > 1 AND host = 'b')").unwrap();
        let conditions = Conditions::compile(Some(&expr), "m", &|name| name == "value").unwrap();
        let decide = |host: &'static str| conditions.decide(&move |_| host.to_owned());
        assert!(matches!(decide("a"), Decision::All));
        assert!(matches!(decide("b"), Decision::Some(_)));
        assert!(matches!(decide("c"), Decision::None));
    }
}
