//! Functions of single values: per row, in SELECT and in WHERE.

use super::{Number, elementary};
use crate::rows::Cell;

/// A function of one or two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Math {
    /// Size; of integers, too.
    Abs,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Tangent.
    Tan,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Inverse tangent of y / x.
    Atan2,
    /// e to the power.
    Exp,
    /// Logarithm to a base.
    Log,
    /// To the base e.
    Ln,
    /// To the base 2.
    Log2,
    /// To the base 10.
    Log10,
    /// Square root.
    Sqrt,
    /// Power.
    Pow,
    /// Down.
    Floor,
    /// Up.
    Ceil,
    /// To the nearest, halves away from zero.
    Round,
}

impl Math {
    /// The function of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" => Self::Tan,
            "asin" => Self::Asin,
            "acos" => Self::Acos,
            "atan" => Self::Atan,
            "atan2" => Self::Atan2,
            "exp" => Self::Exp,
            "log" => Self::Log,
            "ln" => Self::Ln,
            "log2" => Self::Log2,
            "log10" => Self::Log10,
            "sqrt" => Self::Sqrt,
            "pow" => Self::Pow,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            "round" => Self::Round,
            _ => return None,
        })
    }

    /// How many arguments it takes.
    pub(crate) fn arity(self) -> usize {
        match self {
            Self::Atan2 | Self::Log | Self::Pow => 2,
            _ => 1,
        }
    }

    /// Whether an integer stays an integer.
    pub(crate) fn keeps_type(self) -> bool {
        matches!(self, Self::Abs | Self::Floor | Self::Ceil | Self::Round)
    }

    /// The result; null where an argument is no number.
    pub(crate) fn call(self, arguments: &[Cell]) -> Cell {
        if self.keeps_type() {
            match arguments {
                [Cell::Integer(v)] if self == Self::Abs => return Cell::Integer(v.wrapping_abs()),
                [Cell::Integer(v)] => return Cell::Integer(*v),
                [Cell::Unsigned(v)] => return Cell::Unsigned(*v),
                _ => {}
            }
        }
        let numbers: Option<Vec<f64>> = arguments.iter().map(number).collect();
        match numbers.as_deref() {
            Some([x]) => self.of_one(*x).map_or(Cell::Null, Cell::Float),
            Some([a, b]) => self.of_two(*a, *b).map_or(Cell::Null, Cell::Float),
            _ => Cell::Null,
        }
    }

    fn of_one(self, x: f64) -> Option<f64> {
        Some(match self {
            Self::Abs => x.abs(),
            Self::Sin => elementary::sin(x),
            Self::Cos => elementary::cos(x),
            Self::Tan => elementary::tan(x),
            Self::Asin => elementary::asin(x),
            Self::Acos => elementary::acos(x),
            Self::Atan => elementary::atan(x),
            Self::Exp => elementary::exp(x),
            Self::Ln => elementary::ln(x),
            Self::Log2 => elementary::log2(x),
            Self::Log10 => elementary::log10(x),
            Self::Sqrt => x.sqrt(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round(),
            Self::Atan2 | Self::Log | Self::Pow => return None,
        })
    }

    fn of_two(self, a: f64, b: f64) -> Option<f64> {
        Some(match self {
            Self::Atan2 => elementary::atan2(a, b),
            Self::Log => elementary::ln(a) / elementary::ln(b),
            Self::Pow => elementary::pow(a, b),
            _ => return None,
        })
    }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Float(v) => Some(*v),
        Cell::Integer(v) => Some(v.float()),
        Cell::Unsigned(v) => Some(v.float()),
        _ => None,
    }
}
