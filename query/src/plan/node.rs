//! Expressions that are ready to run over the cells of a row.

use ::regex::Regex;

use crate::ast::Operator;
use crate::functions::Number;
use crate::functions::math::Math;
use crate::rows::Cell;

/// An expression over numbered symbols.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A literal.
    Constant(Cell),
    /// A column of the row.
    Symbol(usize),
    /// The right side of `=~` and `!~`.
    Regex(Regex),
    /// Two sides.
    Binary(Operator, Box<Node>, Box<Node>),
    /// A function per row.
    Math(Math, Vec<Node>),
}

/// Where an expression stands: InfluxDB's evaluator differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In SELECT, or between literals: integer / integer is a float.
    Column,
    /// In WHERE over stored points: a field without a value goes with nothing.
    Stored,
    /// In WHERE over a subquery: a column without a value is false beside a boolean, as in SELECT.
    Derived,
}

impl Node {
    /// The value over a row whose cells `symbol` gives.
    pub(crate) fn eval(&self, place: Place, symbol: &dyn Fn(usize) -> Cell) -> Cell {
        match self {
            Self::Constant(cell) => cell.clone(),
            Self::Symbol(number) => symbol(*number),
            Self::Regex(_) => Cell::Null,
            Self::Math(math, arguments) => {
                let cells: Vec<Cell> = arguments
                    .iter()
                    .map(|argument| argument.eval(place, symbol))
                    .collect();
                math.call(&cells)
            }
            Self::Binary(op @ (Operator::Matches | Operator::NotMatches), left, right) => {
                match (left.eval(place, symbol), &**right) {
                    (Cell::String(text), Self::Regex(regex)) => {
                        Cell::Boolean(regex.is_match(&text) == (*op == Operator::Matches))
                    }
                    // What is no text matches nothing, and does not match nothing either.
                    _ => Cell::Boolean(false),
                }
            }
            Self::Binary(op, left, right) => binary(
                *op,
                left.eval(place, symbol),
                right.eval(place, symbol),
                place,
            ),
        }
    }

    /// Whether the value is true, in a WHERE.
    pub(crate) fn holds(&self, place: Place, symbol: &dyn Fn(usize) -> Cell) -> bool {
        self.eval(place, symbol) == Cell::Boolean(true)
    }

    /// `left op right`, computed at once where both are literals.
    pub(crate) fn binary(op: Operator, left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Constant(left), Self::Constant(right)) => {
                Self::Constant(binary(op, left, right, Place::Column))
            }
            (left, right) => Self::Binary(op, Box::new(left), Box::new(right)),
        }
    }

    /// Calls `visit` with the number of each symbol.
    pub(crate) fn each_symbol(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Symbol(number) => visit(*number),
            Self::Binary(_, left, right) => {
                left.each_symbol(visit);
                right.each_symbol(visit);
            }
            Self::Math(_, arguments) => {
                for argument in arguments {
                    argument.each_symbol(visit);
                }
            }
            Self::Constant(_) | Self::Regex(_) => {}
        }
    }
}

fn is_comparison(op: Operator) -> bool {
    op.precedence() == 3
}

/// `left op right` as InfluxDB's evaluator has it: integers wrap, `/0` is 0, what does not compare
/// is false and what does not compute is null.
fn binary(op: Operator, mut left: Cell, mut right: Cell, place: Place) -> Cell {
    match (&left, &right) {
        _ if place == Place::Stored => {}
        (Cell::Null, Cell::Boolean(_)) => left = Cell::Boolean(false),
        (Cell::Boolean(_), Cell::Null) => right = Cell::Boolean(false),
        _ => {}
    }
    let answer = match (&left, &right) {
        (Cell::Boolean(a), Cell::Boolean(b)) => booleans(op, *a, *b),
        // Whatever stands beside a boolean here is not true.
        (Cell::Boolean(_), _) if is_logical(op) => Some(Cell::Boolean(false)),
        (Cell::Float(a), Cell::Float(b)) => floats(op, *a, *b),
        (Cell::Float(a), Cell::Integer(b)) => floats(op, *a, b.float()),
        (Cell::Float(a), Cell::Unsigned(b)) => floats(op, *a, b.float()),
        (Cell::Integer(a), Cell::Float(b)) => floats(op, a.float(), *b),
        (Cell::Unsigned(a), Cell::Float(b)) => floats(op, a.float(), *b),
        (Cell::Integer(a), Cell::Integer(b)) => integers(op, *a, *b, place),
        (Cell::Unsigned(a), Cell::Unsigned(b)) => unsigned(op, *a, *b),
        (Cell::Integer(a), Cell::Unsigned(b)) => mixed(op, i128::from(*a), i128::from(*b)),
        (Cell::Unsigned(a), Cell::Integer(b)) => mixed(op, i128::from(*a), i128::from(*b)),
        (Cell::String(a), Cell::String(b)) => match op {
            Operator::Equal => Some(Cell::Boolean(a == b)),
            Operator::NotEqual => Some(Cell::Boolean(a != b)),
            _ => None,
        },
        _ => None,
    };
    answer.unwrap_or(if is_comparison(op) {
        Cell::Boolean(false)
    } else {
        Cell::Null
    })
}

fn is_logical(op: Operator) -> bool {
    use Operator::{And, BitAnd, BitOr, BitXor, Or};
    matches!(op, And | Or | BitAnd | BitOr | BitXor)
}

fn booleans(op: Operator, a: bool, b: bool) -> Option<Cell> {
    Some(Cell::Boolean(match op {
        Operator::And | Operator::BitAnd => a && b,
        Operator::Or | Operator::BitOr => a || b,
        Operator::BitXor | Operator::NotEqual => a != b,
        Operator::Equal => a == b,
        _ => return None,
    }))
}

fn compare<T: PartialOrd>(op: Operator, a: &T, b: &T) -> Option<Cell> {
    Some(Cell::Boolean(match op {
        Operator::Equal => a == b,
        Operator::NotEqual => a != b,
        Operator::Less => a < b,
        Operator::LessOrEqual => a <= b,
        Operator::Greater => a > b,
        Operator::GreaterOrEqual => a >= b,
        _ => return None,
    }))
}

fn floats(op: Operator, a: f64, b: f64) -> Option<Cell> {
    let value = match op {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if b == 0.0 => 0.0,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
        _ => return compare(op, &a, &b),
    };
    Some(Cell::Float(value))
}

fn integers(op: Operator, a: i64, b: i64, place: Place) -> Option<Cell> {
    Some(Cell::Integer(match op {
        Operator::Add => a.wrapping_add(b),
        Operator::Subtract => a.wrapping_sub(b),
        Operator::Multiply => a.wrapping_mul(b),
        Operator::Divide if place == Place::Column => {
            let value = if b == 0 { 0.0 } else { a.float() / b.float() };
            return Some(Cell::Float(value));
        }
        Operator::Divide | Operator::Modulo if b == 0 => 0,
        Operator::Divide => a.wrapping_div(b),
        Operator::Modulo => a.wrapping_rem(b),
        Operator::BitAnd => a & b,
        Operator::BitOr => a | b,
        Operator::BitXor => a ^ b,
        _ => return compare(op, &a, &b),
    }))
}

fn unsigned(op: Operator, a: u64, b: u64) -> Option<Cell> {
    Some(Cell::Unsigned(match op {
        Operator::Add => a.wrapping_add(b),
        Operator::Subtract => a.wrapping_sub(b),
        Operator::Multiply => a.wrapping_mul(b),
        Operator::Divide => a.checked_div(b).unwrap_or(0),
        Operator::Modulo => a.checked_rem(b).unwrap_or(0),
        Operator::BitAnd => a & b,
        Operator::BitOr => a | b,
        Operator::BitXor => a ^ b,
        _ => return compare(op, &a, &b),
    }))
}

/// A signed and an unsigned integer: compared by value, computed as unsigned ones.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a negative number wraps, as Go's uint64() does"
)]
fn mixed(op: Operator, a: i128, b: i128) -> Option<Cell> {
    match op {
        // InfluxDB compares these two after the cast, the others by value.
        Operator::Equal | Operator::NotEqual => compare(op, &(a as u64), &(b as u64)),
        _ if is_comparison(op) => compare(op, &a, &b),
        _ => unsigned(op, a as u64, b as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(op: Operator, a: Cell, b: Cell) -> Cell {
        binary(op, a, b, Place::Column)
    }

    #[test]
    fn division_by_zero_is_zero_and_integers_wrap() {
        use Cell::{Float, Integer};
        assert_eq!(run(Operator::Divide, Float(5.0), Integer(0)), Float(0.0));
        assert_eq!(run(Operator::Divide, Integer(5), Integer(2)), Float(2.5));
        assert_eq!(run(Operator::Modulo, Integer(5), Integer(0)), Integer(0));
        assert_eq!(
            run(Operator::Add, Integer(i64::MAX), Integer(1)),
            Integer(i64::MIN)
        );
        assert_eq!(
            run(Operator::Modulo, Integer(i64::MIN), Integer(-1)),
            Integer(0)
        );
    }

    #[test]
    fn wrong_types_compare_as_false_and_compute_to_null() {
        let text = || Cell::String("a".into());
        assert_eq!(
            run(Operator::NotEqual, text(), Cell::Integer(1)),
            Cell::Boolean(false)
        );
        assert_eq!(run(Operator::Add, text(), Cell::Integer(1)), Cell::Null);
        assert_eq!(
            run(Operator::NotEqual, Cell::Null, Cell::Boolean(true)),
            Cell::Boolean(true)
        );
        assert_eq!(
            binary(
                Operator::NotEqual,
                Cell::Null,
                Cell::Boolean(true),
                Place::Stored
            ),
            Cell::Boolean(false)
        );
        assert_eq!(
            run(Operator::Less, Cell::Integer(-1), Cell::Unsigned(1)),
            Cell::Boolean(true)
        );
    }
}
