//! JSON Web Tokens, signed with the shared secret (HMAC), as InfluxDB takes them.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use plimsoll_engine::Timestamp;
use plimsoll_query::ast::Secret;
use serde::Deserialize;
use serde_json::Value;

const NS_PER_SECOND: f64 = 1e9;

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    username: Value,
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    nbf: Value,
}

/// The user that the token names.
///
/// # Errors
/// What is wrong with it, in InfluxDB's words.
pub(super) fn username(token: &str, secret: &Secret, now: Timestamp) -> Result<String, String> {
    if secret.0.is_empty() {
        return Err("bearer auth disabled".to_owned());
    }
    let mut validation = Validation::new(Algorithm::HS512);
    validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    // Times are checked below, by the clock that the server was given.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(secret.0.as_bytes());
    let read = decode::<Claims>(token, &key, &validation);
    let claims = read.map_err(|error| wrong(error.kind()))?.claims;
    #[expect(
        clippy::cast_precision_loss,
        reason = "claims are seconds in a float; less than a µs is lost"
    )]
    let now_s = now.0 as f64 / NS_PER_SECOND;
    let Some(expires_s) = claims.exp.as_f64().filter(|exp| *exp > 0.0) else {
        return Err("token expiration required".to_owned());
    };
    if now_s > expires_s {
        return Err("Token is expired".to_owned());
    }
    if claims.nbf.as_f64().is_some_and(|from_s| now_s < from_s) {
        return Err("Token is not valid yet".to_owned());
    }
    match claims.username {
        Value::String(name) if name.is_empty() => Err("token must contain a username".to_owned()),
        Value::String(name) => Ok(name),
        _ => Err("username in token must be a string".to_owned()),
    }
}

fn wrong(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::InvalidSignature => "signature is invalid",
        ErrorKind::InvalidToken => "token contains an invalid number of segments",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "unexpected signing method"
        }
        _ => "invalid token",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

    fn token(algorithm: Algorithm, claims: &Value) -> String {
        let key = EncodingKey::from_secret(b"shared");
        encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    fn check(token: &str) -> Result<String, String> {
        username(token, &Secret("shared".to_owned()), NOW)
    }

    #[test]
    fn every_hmac_is_taken() {
        let claims = json!({"username": "ann", "exp": 1_700_000_001});
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(check(&token(algorithm, &claims)), Ok("ann".to_owned()));
        }
    }

    #[test]
    fn bad_claims_are_named() {
        for (claims, text) in [
            (json!({"username": "ann"}), "token expiration required"),
            (
                json!({"username": "ann", "exp": "soon"}),
                "token expiration required",
            ),
            (
                json!({"username": "ann", "exp": 1_699_999_999}),
                "Token is expired",
            ),
            (
                json!({"username": "ann", "exp": 1_700_000_009, "nbf": 1_700_000_001}),
                "Token is not valid yet",
            ),
            (
                json!({"username": "", "exp": 1_700_000_009}),
                "token must contain a username",
            ),
            (
                json!({"username": 1, "exp": 1_700_000_009}),
                "username in token must be a string",
            ),
        ] {
            assert_eq!(
                check(&token(Algorithm::HS512, &claims)),
                Err(text.to_owned())
            );
        }
    }

    #[test]
    fn a_token_that_nobody_signed_is_refused() {
        // {"alg":"none","typ":"JWT"} and {"username":"ann","exp":1900000000}
        let head = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let claims = "eyJ1c2VybmFtZSI6ImFubiIsImV4cCI6MTkwMDAwMDAwMH0";
        for text in [
            format!("{head}.{claims}."),
            format!("{head}.{claims}"),
            "x".to_owned(),
            String::new(),
        ] {
            assert!(check(&text).is_err(), "{text}");
        }
        let signed = token(
            Algorithm::HS512,
            &json!({"username": "ann", "exp": 1_700_000_009}),
        );
        let other = Secret("other".to_owned());
        assert_eq!(
            username(&signed, &other, NOW),
            Err("signature is invalid".to_owned())
        );
        assert_eq!(
            username(&signed, &Secret(String::new()), NOW),
            Err("bearer auth disabled".to_owned())
        );
    }
}
