//! The parameter `params`: a JSON object with the values of `$name`s.

use plimsoll_query::{Parameter, Params};
use serde_json::Value;

/// Reads the object; `null` is an empty one.
///
/// # Errors
/// The text that the client is told.
pub(super) fn read(text: &str) -> Result<Params, String> {
    let read: Option<serde_json::Map<String, Value>> = serde_json::from_str(text)
        .map_err(|error| format!("error parsing query parameters: {error}"))?;
    let mut params = Params::default();
    for (name, value) in read.unwrap_or_default() {
        params.insert(name, parameter(value)?);
    }
    Ok(params)
}

fn parameter(value: Value) -> Result<Parameter, String> {
    Ok(match value {
        Value::Bool(flag) => Parameter::Boolean(flag),
        Value::String(text) => Parameter::String(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Parameter::Integer(integer),
            (None, Some(float)) if number.is_f64() => Parameter::Number(float),
            _ => {
                return Err(format!(
                    "error parsing json value: {number} is out of range"
                ));
            }
        },
        Value::Object(object) => typed(object),
        Value::Null | Value::Array(_) => {
            Parameter::Error("unable to bind parameter with type".to_owned())
        }
    })
}

/// `{"regex": "x"}` and its like.
fn typed(object: serde_json::Map<String, Value>) -> Parameter {
    let mut pairs = object.into_iter();
    let (Some((kind, value)), None) = (pairs.next(), pairs.next()) else {
        return Parameter::Error("bound object parameter value must have exactly one entry".into());
    };
    match (kind.as_str(), value) {
        ("ident" | "identifier", Value::String(text)) => Parameter::Identifier(text),
        ("regex", Value::String(text)) => Parameter::Regex(text),
        ("string", Value::String(text)) => Parameter::String(text),
        ("duration", Value::String(text)) => Parameter::Duration(text),
        ("duration", Value::Number(ns)) if ns.is_i64() => {
            Parameter::duration_ns(ns.as_i64().unwrap_or_default())
        }
        ("integer", Value::Number(number)) if number.is_i64() => {
            Parameter::Integer(number.as_i64().unwrap_or_default())
        }
        ("float" | "number", Value::Number(number)) => {
            Parameter::Number(number.as_f64().unwrap_or_default())
        }
        ("boolean", Value::Bool(flag)) => Parameter::Boolean(flag),
        (other, _) => Parameter::Error(format!("unknown bound parameter type {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types() {
        let params = read(r#"{"a":1,"b":1.5,"c":"x","d":true,"e":{"regex":"y"}}"#).unwrap();
        let mut expected = Params::default();
        expected.insert("a", Parameter::Integer(1));
        expected.insert("b", Parameter::Number(1.5));
        expected.insert("c", Parameter::String("x".into()));
        expected.insert("d", Parameter::Boolean(true));
        expected.insert("e", Parameter::Regex("y".into()));
        assert_eq!(params, expected);
        assert_eq!(read("null").unwrap(), Params::default());
        assert_eq!(read("{}").unwrap(), Params::default());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["x", "[]", "1", "{\"a\":18446744073709551615}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
