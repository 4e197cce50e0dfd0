//! Statements about users: CREATE, DROP, SET PASSWORD, GRANT, REVOKE and their SHOW.

use std::sync::Arc;

use plimsoll_query::ast::Statement;
use plimsoll_query::rows::{Cell, Rows};
use plimsoll_query::{Error, Sink};

use crate::app::App;
use crate::users::{Access, Problem};

/// Runs a statement about users; none where it is about something else.
///
/// # Errors
/// InfluxDB's text.
pub(super) fn execute(
    app: &App,
    statement: &Statement,
    sink: &mut dyn Sink,
) -> Option<Result<(), String>> {
    let users = &app.users;
    let done = match statement {
        Statement::CreateUser {
            name,
            password,
            admin,
        } => users.create(name, password, *admin),
        Statement::DropUser { name } => users.change(|set| set.remove(name)),
        Statement::SetPassword { name, password } => users.set_password(name, password),
        Statement::Grant {
            database: None,
            user,
            ..
        } => users.change(|set| set.set_admin(user, true)),
        Statement::Revoke {
            database: None,
            user,
            ..
        } => users.change(|set| set.set_admin(user, false)),
        Statement::Grant {
            privilege,
            database: Some(database),
            user,
        } => known(app, user, database)
            .and_then(|()| users.change(|set| set.grant(user, database, Access::from(*privilege)))),
        Statement::Revoke {
            privilege,
            database: Some(database),
            user,
        } => known(app, user, database).and_then(|()| {
            users.change(|set| set.revoke(user, database, Access::from(*privilege)))
        }),
        Statement::ShowUsers => return Some(show_users(app, sink).map_err(|e| e.to_string())),
        Statement::ShowGrants { user } => return Some(show_grants(app, user, sink)),
        _ => return None,
    };
    Some(done.map_err(|problem| problem.to_string()))
}

/// The user is asked for first, as in InfluxDB.
fn known(app: &App, user: &str, database: &str) -> Result<(), Problem> {
    if app.users.all().user(user).is_none() {
        return Err(Problem::UserNotFound);
    }
    let snapshot = app.engine.snapshot();
    let found = snapshot.catalog().database(database).map(drop);
    found.map_err(|_| Problem::DatabaseNotFound(database.to_owned()))
}

fn show_users(app: &App, sink: &mut dyn Sink) -> Result<(), Error> {
    let users = app.users.all();
    let values = users
        .iter()
        .map(|user| vec![text(&user.name), Cell::Boolean(user.admin)]);
    sink.series(rows(["user", "admin"], values.collect()))
}

fn show_grants(app: &App, user: &str, sink: &mut dyn Sink) -> Result<(), String> {
    let users = app.users.all();
    let user = users.user(user).ok_or(Problem::UserNotFound);
    let user = user.map_err(|problem| problem.to_string())?;
    let values = user
        .databases
        .iter()
        .map(|(database, access)| vec![text(database), text(&access.to_string())]);
    sink.series(rows(["database", "privilege"], values.collect()))
        .map_err(|error| error.to_string())
}

fn rows(columns: [&str; 2], values: Vec<Vec<Cell>>) -> Rows {
    Rows {
        columns: columns.map(Arc::from).into(),
        values,
        ..Rows::default()
    }
}

fn text(text: &str) -> Cell {
    Cell::String(text.into())
}
