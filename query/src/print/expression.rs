//! Expressions.

use std::fmt;

use crate::ast::{Call, Cast, Expr, Reference, Regex, WildcardKind};
use crate::parser::format_duration;

use super::{join, quote_identifier, quote_string};

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.replace('/', "\\/"))
    }
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Tag => "tag",
            Self::Field => "field",
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_identifier(&self.name))?;
        match self.cast {
            Some(cast) => write!(f, "::{cast}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        join(f, &self.arguments, ", ")?;
        f.write_str(")")
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary { op, left, right } => write!(f, "{left} {} {right}", op.symbol()),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Call(call) => write!(f, "{call}"),
            Self::Reference(reference) => write!(f, "{reference}"),
            Self::Wildcard(WildcardKind::All) => f.write_str("*"),
            Self::Wildcard(WildcardKind::Fields) => f.write_str("*::field"),
            Self::Wildcard(WildcardKind::Tags) => f.write_str("*::tag"),
            Self::Regex(regex) => write!(f, "{regex}"),
            Self::Number(number) => f.write_str(&print_number(*number)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::String(text) => f.write_str(&quote_string(text)),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Duration(ns) => f.write_str(&format_duration(*ns)),
            Self::Time(time) => write!(f, "'{}'", print_time(time.0)),
            Self::Nil => f.write_str("nil"),
            Self::BoundParameter(name) => write!(f, "${}", quote_identifier(name)),
            Self::List(names) => {
                f.write_str("(")?;
                join(f, names.iter().map(|name| quote_identifier(name)), ", ")?;
                f.write_str(")")
            }
            Self::Distinct(name) => write!(f, "DISTINCT {}", quote_identifier(name)),
        }
    }
}

/// Without an exponent, at least three digits after the point where it is whole, as InfluxDB.
fn print_number(number: f64) -> String {
    let text = format!("{number}");
    if text.contains('.') || !number.is_finite() {
        text
    } else {
        format!("{number:.3}")
    }
}

fn print_time(ns: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns));
    time.map_or_else(|_| ns.to_string(), |time| time.to_string())
}
