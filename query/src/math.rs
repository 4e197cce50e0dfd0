//! The functions of single numbers, on constants.

use crate::ast::Expr;

/// How many arguments the function `name` takes, if it is one of single numbers.
pub(crate) fn arity(name: &str) -> Option<usize> {
    match name {
        "abs" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "exp" | "ln" | "log2"
        | "log10" | "sqrt" | "floor" | "ceil" | "round" => Some(1),
        "atan2" | "log" | "pow" => Some(2),
        _ => None,
    }
}

/// The value of a call on constants, [`Expr::Nil`] where one is no number; none where `name` is no
/// function of so many numbers.
pub(crate) fn evaluate(name: &str, arguments: &[Expr]) -> Option<Expr> {
    if arity(name)? != arguments.len() {
        return None;
    }
    let keeps_integers = matches!(name, "abs" | "floor" | "ceil" | "round");
    match arguments {
        [Expr::Integer(number)] if name == "abs" => Some(Expr::Integer(number.wrapping_abs())),
        [Expr::Integer(_) | Expr::Unsigned(_)] if keeps_integers => Some(arguments[0].clone()),
        _ => {
            let numbers: Option<Vec<f64>> = arguments.iter().map(float).collect();
            let value = numbers.and_then(|numbers| of_numbers(name, &numbers));
            Some(value.map_or(Expr::Nil, Expr::Number))
        }
    }
}

fn of_numbers(name: &str, numbers: &[f64]) -> Option<f64> {
    Some(match (name, numbers) {
        ("abs", &[x]) => x.abs(),
        ("sin", &[x]) => x.sin(),
        ("cos", &[x]) => x.cos(),
        ("tan", &[x]) => x.tan(),
        ("asin", &[x]) => x.asin(),
        ("acos", &[x]) => x.acos(),
        ("atan", &[x]) => x.atan(),
        ("exp", &[x]) => x.exp(),
        ("ln", &[x]) => x.ln(),
        ("log2", &[x]) => x.log2(),
        ("log10", &[x]) => x.log10(),
        ("sqrt", &[x]) => x.sqrt(),
        ("floor", &[x]) => x.floor(),
        ("ceil", &[x]) => x.ceil(),
        ("round", &[x]) => x.round(),
        ("atan2", &[y, x]) => y.atan2(x),
        ("log", &[x, base]) => x.ln() / base.ln(),
        ("pow", &[x, y]) => x.powf(y),
        _ => return None,
    })
}

/// A number as a float.
pub(crate) fn float(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(number) => Some(*number),
        Expr::Integer(number) => Some(from_integer(*number)),
        #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
        Expr::Unsigned(number) => Some(*number as f64),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
pub(crate) fn from_integer(number: i64) -> f64 {
    number as f64
}
