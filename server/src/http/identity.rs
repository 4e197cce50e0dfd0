//! Who asks: credentials of a request, and what the asker may do.
//!
//! In InfluxDB's order: the parameters `u` and `p`, `Bearer`, `Token user:password`, Basic.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plimsoll_query::ast::{Secret, Statement};

use super::body;
use super::parameters::Parameters;
use super::pretty::Layout;
use super::reply;
use crate::app::App;
use crate::users::{Access, Denied, User};

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// Nobody is asked who they are.
    Open,
    /// There is no admin yet, so nobody can say who they are.
    Nobody,
    /// A user who has shown that they are.
    User(Arc<User>),
}

/// What a request says about who sends it.
#[derive(Debug, PartialEq, Eq)]
enum Credentials {
    Password { name: String, password: Secret },
    Bearer(String),
}

/// Finds out who asks, or answers 401.
pub(super) async fn find(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let credentials = credentials(request.uri().query(), request.headers());
    match identify(&app, credentials).await {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err((status, text)) => {
            app.requests.count_authentication_failure();
            let (parts, body) = request.into_parts();
            // A client that still sends when it is answered would not see the answer.
            if let Err(error) = body::read(&app, &parts.headers, body).await {
                tracing::debug!(%error, "the body of a request that is refused");
            }
            refuse(status, &text)
        }
    }
}

async fn identify(
    app: &Arc<App>,
    credentials: Option<Credentials>,
) -> Result<Identity, (StatusCode, String)> {
    if !app.http.auth_enabled {
        return Ok(Identity::Open);
    }
    if !app.users.all().has_admin() {
        return Ok(Identity::Nobody);
    }
    let unauthorized = |text: String| (StatusCode::UNAUTHORIZED, text);
    let credentials = credentials
        .ok_or_else(|| unauthorized("unable to parse authentication credentials".to_owned()))?;
    let found = match credentials {
        Credentials::Bearer(token) => {
            let secret = &app.shared_secret;
            app.users.bearer(&token, secret, app.clock.now())
        }
        Credentials::Password { name, .. } if name.is_empty() => {
            return Err(unauthorized("username required".to_owned()));
        }
        Credentials::Password { name, password } => {
            match app.users.log_in_again(&name, &password.0) {
                Some(user) => Ok(user),
                None => verify(app, name, password).await?,
            }
        }
    };
    found
        .map(Identity::User)
        .map_err(|denied| unauthorized(denied.to_string()))
}

/// Compares a password with its hash, which takes long: on a thread of its own, few at a time.
async fn verify(
    app: &Arc<App>,
    name: String,
    password: Secret,
) -> Result<Result<Arc<User>, Denied>, (StatusCode, String)> {
    let users = Arc::clone(app);
    let checked = app
        .workers
        .verify(move || users.users.log_in(&name, &password.0));
    checked.await.map_err(|refused| {
        tracing::warn!(?refused, "a password was not checked");
        let text = "too many passwords to check at a time: try again in a moment";
        (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
    })
}

fn refuse(status: StatusCode, text: &str) -> Response {
    let mut response = reply::error(status, text, Layout::Compact);
    if status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Basic realm=\"InfluxDB\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
    }
    response
}

fn credentials(query: Option<&str>, headers: &HeaderMap) -> Option<Credentials> {
    let parameters = Parameters::of_address(query);
    let (name, password) = (parameters.value("u"), parameters.value("p"));
    if !name.is_empty() && !password.is_empty() {
        return Some(Credentials::Password {
            name: name.to_owned(),
            password: Secret(password.to_owned()),
        });
    }
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = header.split_once(' ')?;
    let pair = |text: &str| {
        let (name, password) = text.split_once(':')?;
        Some(Credentials::Password {
            name: name.to_owned(),
            password: Secret(password.to_owned()),
        })
    };
    match scheme {
        "Bearer" if !rest.contains(' ') => Some(Credentials::Bearer(rest.to_owned())),
        "Token" if !rest.contains(' ') => pair(rest),
        basic if basic.eq_ignore_ascii_case("basic") => {
            let decoded = STANDARD.decode(rest.trim()).ok()?;
            pair(std::str::from_utf8(&decoded).ok()?)
        }
        _ => None,
    }
}

impl Identity {
    /// Whether they may write into a database.
    ///
    /// # Errors
    /// The status and InfluxDB's text.
    pub(super) fn may_write(&self, app: &App, database: &str) -> Result<(), (StatusCode, String)> {
        self.may(app, Access::WRITE, database, "write to")
    }

    /// Whether they may read a database.
    ///
    /// # Errors
    /// As [`Self::may_write`].
    pub(super) fn may_read(&self, app: &App, database: &str) -> Result<(), (StatusCode, String)> {
        self.may(app, Access::READ, database, "read from")
    }

    /// Whether they may delete from a database through `/api/v2/delete`.
    ///
    /// # Errors
    /// The status and the text of InfluxDB 1.12.
    pub(super) fn may_delete(&self, app: &App, database: &str) -> Result<(), (StatusCode, String)> {
        self.may_write(app, database).map_err(|(status, why)| {
            let text = match self {
                Self::User(user) => format!(
                    "delete - {:?} is not authorized to delete from {database:?}: {why}",
                    user.name
                ),
                _ => format!("delete - user is required to delete from database {database:?}"),
            };
            (status, text)
        })
    }

    fn may(
        &self,
        app: &App,
        access: Access,
        database: &str,
        what: &str,
    ) -> Result<(), (StatusCode, String)> {
        let text = match self {
            Self::Open => return Ok(()),
            Self::Nobody => format!("user is required to {what} database {database:?}"),
            Self::User(user) => {
                // Rights may have changed since the request came in.
                let current = app.users.current(user);
                if current.is_some_and(|user| user.may(access, database)) {
                    return Ok(());
                }
                let name = &user.name;
                format!("{name:?} user is not authorized to {what} database {database:?}")
            }
        };
        Err((StatusCode::FORBIDDEN, text))
    }

    /// Whether they may do what only admins may.
    ///
    /// # Errors
    /// The status and a text in the manner of InfluxDB's.
    pub(super) fn may_administrate(&self, app: &App) -> Result<(), (StatusCode, String)> {
        let text = match self {
            Self::Open => return Ok(()),
            Self::Nobody => "user is required".to_owned(),
            Self::User(user) => {
                if app.users.current(user).is_some_and(|user| user.admin) {
                    return Ok(());
                }
                format!("user {:?}, must be an administrator", user.name)
            }
        };
        Err((StatusCode::FORBIDDEN, text))
    }

    /// Whether they may run these statements.
    ///
    /// # Errors
    /// The status and InfluxDB's text.
    pub(super) fn may_run(
        &self,
        app: &App,
        statements: &[Statement],
        database: &str,
    ) -> Result<(), (StatusCode, String)> {
        let user = match self {
            Self::Open => return Ok(()),
            Self::Nobody => None,
            Self::User(user) => Some(&**user),
        };
        let refused = app.users.may_run(user, statements, database);
        refused.map_err(|text| {
            let name = user.map_or("", |user| &*user.name);
            // The text names the statement without its secrets.
            tracing::info!(user = name, database, text, "a query is not allowed");
            (
                StatusCode::FORBIDDEN,
                format!("error authorizing query: {text}"),
            )
        })
    }

    /// Whether they are to be told that a database is there.
    pub(super) fn may_see(&self, database: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Nobody => false,
            Self::User(user) => {
                user.may(Access::READ, database) || user.may(Access::WRITE, database)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, header: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        Some(match credentials(Some(query), &headers)? {
            Credentials::Password { name, password } => format!("{name}/{}", password.0),
            Credentials::Bearer(token) => format!("bearer {token}"),
        })
    }

    #[test]
    fn credentials_are_looked_for_in_influxdbs_order() {
        for (query, header, expected) in [
            ("u=a&p=b", "Basic YzpkOmU=", "a/b"),
            ("u=a", "Basic YzpkOmU=", "c/d:e"),
            ("", "basic YzpkOmU=", "c/d:e"),
            ("", "Token c:d", "c/d"),
            ("", "Bearer x.y.z", "bearer x.y.z"),
            ("", "Basic Og==", "/"),
        ] {
            assert_eq!(found(query, header).as_deref(), Some(expected), "{header}");
        }
        for header in [
            "",
            "Token c",
            "Basic ???",
            "Digest x",
            "Bearer a b",
            "Basic",
        ] {
            assert_eq!(found("u=a", header), None, "{header}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", credentials(Some("u=a&p=tiger"), &HeaderMap::new()));
        assert!(!shown.contains("tiger"));
    }
}
