//! What type an expression has, before it runs.

use plimsoll_engine::model::FieldType;

use crate::ast::{Cast, Expr, Operator};
use crate::exec::error::{Error, Result};
use crate::functions::technical::Indicator;

/// The type of an expression; a tag is text that comes of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing is known by this name.
    Unknown,
    /// A tag.
    Tag,
    /// A field or a result of this type.
    Value(FieldType),
}

impl Kind {
    /// Where a name has several types, the higher rank is meant: number before text before boolean
    /// before tag.
    fn rank(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Tag => 1,
            Self::Value(FieldType::Boolean) => 2,
            Self::Value(FieldType::String) => 3,
            Self::Value(FieldType::Unsigned) => 4,
            Self::Value(FieldType::Integer) => 5,
            Self::Value(FieldType::Float) => 6,
        }
    }

    /// The one that is meant of two.
    pub(crate) fn or_higher(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }

    /// The type of its values; tags are text.
    pub(crate) fn values(self) -> Option<FieldType> {
        match self {
            Self::Unknown => None,
            Self::Tag => Some(FieldType::String),
            Self::Value(field_type) => Some(field_type),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::Tag => "tag".to_owned(),
            Self::Value(field_type) => field_type.to_string(),
        }
    }
}

/// What a cast asks for; `::field` asks for any field, which is no kind.
pub(crate) fn of_cast(cast: Cast) -> Option<Kind> {
    Some(Kind::Value(match cast {
        Cast::Float => FieldType::Float,
        Cast::Integer => FieldType::Integer,
        Cast::Unsigned => FieldType::Unsigned,
        Cast::String => FieldType::String,
        Cast::Boolean => FieldType::Boolean,
        Cast::Tag => return Some(Kind::Tag),
        Cast::Field => return None,
    }))
}

/// The kind of an expression of a SELECT, where `named` knows its references.
///
/// # Errors
/// [`Error::Invalid`] with InfluxDB's `type error: …` where two sides do not go together.
pub(crate) fn of(expr: &Expr, named: &dyn Fn(&crate::ast::Reference) -> Kind) -> Result<Kind> {
    Ok(match expr {
        Expr::Reference(reference) => named(reference),
        Expr::Paren(inner) => of(inner, named)?,
        Expr::Number(_) => Kind::Value(FieldType::Float),
        Expr::Integer(_) => Kind::Value(FieldType::Integer),
        Expr::Unsigned(_) => Kind::Value(FieldType::Unsigned),
        Expr::String(_) => Kind::Value(FieldType::String),
        Expr::Boolean(_) => Kind::Value(FieldType::Boolean),
        Expr::Distinct(name) => named(&crate::ast::Reference {
            name: name.clone(),
            cast: None,
        }),
        Expr::Call(call) => {
            let mut arguments = Vec::with_capacity(call.arguments.len());
            for argument in &call.arguments {
                arguments.push(of(argument, named)?);
            }
            of_call(&call.name, &arguments)?
        }
        Expr::Binary { op, left, right } => of_binary(expr, *op, left, right, named)?,
        _ => Kind::Unknown,
    })
}

fn of_call(name: &str, arguments: &[Kind]) -> Result<Kind> {
    let first = arguments.first().copied().unwrap_or(Kind::Unknown);
    Ok(match name {
        "count" | "elapsed" => Kind::Value(FieldType::Integer),
        "sum_hll" => Kind::Value(FieldType::String),
        "count_hll" => Kind::Value(FieldType::Unsigned),
        "mean"
        | "rate"
        | "median"
        | "integral"
        | "stddev"
        | "derivative"
        | "non_negative_derivative"
        | "moving_average"
        | "holt_winters"
        | "holt_winters_with_fit" => Kind::Value(FieldType::Float),
        name if Indicator::named(name).is_some() => Kind::Value(FieldType::Float),
        // Functions per row among them: InfluxDB takes what they compute of integers for integers.
        _ => first,
    })
}

fn of_binary(
    whole: &Expr,
    op: Operator,
    left: &Expr,
    right: &Expr,
    named: &dyn Fn(&crate::ast::Reference) -> Kind,
) -> Result<Kind> {
    use FieldType::{Boolean, Float, Integer, Unsigned};
    let (lhs, rhs) = (of(left, named)?, of(right, named)?);
    let error = |message: String| {
        let whole = with_kinds(whole, named);
        Error::invalid(format!("type error: {whole}: {message}"))
    };
    let (signed, unsigned) = match (lhs, rhs) {
        (Kind::Value(Integer), Kind::Value(Unsigned)) => (Some(left), Some(right)),
        (Kind::Value(Unsigned), Kind::Value(Integer)) => (Some(right), Some(left)),
        _ => (None, None),
    };
    if let (Some(signed), Some(unsigned)) = (signed, unsigned) {
        if is_literal(unsigned) {
            return Err(error(format!(
                "cannot use {} with an integer and unsigned literal",
                op.symbol()
            )));
        } else if !is_literal(signed) {
            return Err(error(format!(
                "cannot use {} between an integer and unsigned, an explicit cast is required",
                op.symbol()
            )));
        }
    }
    let is_bitwise = matches!(op, Operator::BitAnd | Operator::BitOr | Operator::BitXor);
    Ok(match (lhs, rhs) {
        (Kind::Unknown, other) | (other, Kind::Unknown) => other,
        (Kind::Value(Boolean), _) if is_bitwise => lhs,
        (Kind::Value(Float), Kind::Value(Float | Integer | Unsigned))
        | (Kind::Value(Integer | Unsigned), Kind::Value(Float))
            if !is_bitwise =>
        {
            Kind::Value(Float)
        }
        (Kind::Value(Integer), Kind::Value(Integer)) => lhs,
        (Kind::Value(Unsigned | Integer), Kind::Value(Unsigned | Integer)) => Kind::Value(Unsigned),
        (lhs, rhs) => {
            return Err(error(format!(
                "incompatible types: {} and {}",
                lhs.text(),
                rhs.text()
            )));
        }
    })
}

/// The expression with the type of each name behind it, as InfluxDB prints it once types are known.
fn with_kinds(expr: &Expr, named: &dyn Fn(&crate::ast::Reference) -> Kind) -> Expr {
    match expr {
        Expr::Reference(reference) => Expr::Reference(crate::ast::Reference {
            name: reference.name.clone(),
            cast: reference.cast.or_else(|| match named(reference) {
                Kind::Unknown => None,
                Kind::Tag => Some(Cast::Tag),
                Kind::Value(FieldType::Float) => Some(Cast::Float),
                Kind::Value(FieldType::Integer) => Some(Cast::Integer),
                Kind::Value(FieldType::Unsigned) => Some(Cast::Unsigned),
                Kind::Value(FieldType::String) => Some(Cast::String),
                Kind::Value(FieldType::Boolean) => Some(Cast::Boolean),
            }),
        }),
        Expr::Binary { op, left, right } => Expr::Binary {
            op: *op,
            left: Box::new(with_kinds(left, named)),
            right: Box::new(with_kinds(right, named)),
        },
        Expr::Paren(inner) => Expr::Paren(Box::new(with_kinds(inner, named))),
        Expr::Call(call) => Expr::Call(crate::ast::Call {
            name: call.name.clone(),
            arguments: call
                .arguments
                .iter()
                .map(|a| with_kinds(a, named))
                .collect(),
        }),
        other => other.clone(),
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Integer(_) | Expr::Unsigned(_) | Expr::Number(_) | Expr::String(_) | Expr::Boolean(_)
    )
}
