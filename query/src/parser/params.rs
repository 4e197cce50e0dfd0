//! Bound parameters: `$name` in a query, its value in `params`.

use std::collections::BTreeMap;

use crate::token::Token;

use super::format_duration;

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// `{"identifier": "x"}`
    Identifier(String),
    /// `"x"`
    String(String),
    /// `{"regex": "x"}`
    Regex(String),
    /// `1.5`
    Number(f64),
    /// `1`
    Integer(i64),
    /// `true`
    Boolean(bool),
    /// `{"duration": "1h"}`
    Duration(String),
    /// Not usable; says why where it is used.
    Error(String),
}

impl Parameter {
    /// A duration given in ns.
    #[must_use]
    pub fn duration_ns(ns: i64) -> Self {
        Self::Duration(format_duration(ns))
    }

    /// As if it had been written in the query.
    pub(crate) fn lexeme(&self) -> (Token, String) {
        match self {
            Self::Identifier(text) => (Token::Identifier, text.clone()),
            Self::String(text) => (Token::String, text.clone()),
            Self::Regex(text) => (Token::Regex, text.clone()),
            Self::Number(number) => (Token::Number, number.to_string()),
            Self::Integer(number) => (Token::Integer, number.to_string()),
            Self::Boolean(true) => (Token::True, String::new()),
            Self::Boolean(false) => (Token::False, String::new()),
            Self::Duration(text) => (Token::Duration, text.clone()),
            Self::Error(text) => (Token::BoundParameter, format!("${text}")),
        }
    }
}

/// Parameters by name, without the `$`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(BTreeMap<String, Parameter>);

impl Params {
    /// Sets one.
    pub fn insert(&mut self, name: impl Into<String>, value: Parameter) {
        self.0.insert(name.into(), value);
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }
}
