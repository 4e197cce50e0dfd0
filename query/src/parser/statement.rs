//! Which statement it is, and those that are short.

use crate::ast::{Measurement, Privilege, Secret, Select, Source, Statement};
use crate::token::{Keyword, Token};

use super::select::{Subqueries, Target};
use super::{ParseError, Parser, Result, format_duration, parse_duration};

/// What a statement may begin with, in InfluxDB's order.
const STATEMENTS: &[&str] = &[
    "SELECT", "DELETE", "SHOW", "CREATE", "DROP", "EXPLAIN", "GRANT", "REVOKE", "ALTER", "SET",
    "KILL",
];
const CREATE: &[&str] = &[
    "CONTINUOUS",
    "DATABASE",
    "USER",
    "RETENTION",
    "SUBSCRIPTION",
];
const DROP: &[&str] = &[
    "CONTINUOUS",
    "DATABASE",
    "MEASUREMENT",
    "RETENTION",
    "SERIES",
    "SHARD",
    "SUBSCRIPTION",
    "USER",
];

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let next = self.next();
        let Token::Keyword(keyword) = next.token else {
            return Err(ParseError::unexpected(&next, STATEMENTS));
        };
        match keyword {
            Keyword::Select => Ok(Statement::Select(Box::new(self.select(Target::Optional)?))),
            Keyword::Delete => self.delete(),
            Keyword::Show => self.show(),
            Keyword::Create => self.create(),
            Keyword::Drop => self.drop(),
            Keyword::Explain => self.explain(),
            Keyword::Grant => self.grant(),
            Keyword::Revoke => self.revoke(),
            Keyword::Alter => {
                self.expect(Keyword::Retention)?;
                self.expect(Keyword::Policy)?;
                self.alter_policy()
            }
            Keyword::Set => {
                self.expect(Keyword::Password)?;
                self.expect(Keyword::For)?;
                self.set_password()
            }
            Keyword::Kill => {
                self.expect(Keyword::Query)?;
                self.kill_query()
            }
            _ => Err(ParseError::unexpected(&next, STATEMENTS)),
        }
    }

    fn create(&mut self) -> Result<Statement> {
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::Continuous) => {
                self.expect(Keyword::Query)?;
                self.create_continuous_query()
            }
            Token::Keyword(Keyword::Database) => self.create_database(),
            Token::Keyword(Keyword::User) => self.create_user(),
            Token::Keyword(Keyword::Retention) => {
                self.expect(Keyword::Policy)?;
                self.create_policy()
            }
            Token::Keyword(Keyword::Subscription) => self.create_subscription(),
            _ => Err(ParseError::unexpected(&next, CREATE)),
        }
    }

    fn drop(&mut self) -> Result<Statement> {
        let next = self.next();
        let Token::Keyword(keyword) = next.token else {
            return Err(ParseError::unexpected(&next, DROP));
        };
        match keyword {
            Keyword::Continuous => {
                self.expect(Keyword::Query)?;
                let name = self.identifier()?;
                self.expect(Keyword::On)?;
                Ok(Statement::DropContinuousQuery {
                    name,
                    database: self.identifier()?,
                })
            }
            Keyword::Database => Ok(Statement::DropDatabase {
                name: self.identifier()?,
            }),
            Keyword::Measurement => Ok(Statement::DropMeasurement {
                name: self.identifier()?,
            }),
            Keyword::Retention => {
                self.expect(Keyword::Policy)?;
                let name = self.identifier()?;
                self.expect(Keyword::On)?;
                Ok(Statement::DropRetentionPolicy {
                    name,
                    database: self.identifier()?,
                })
            }
            Keyword::Series => self.drop_series(),
            Keyword::Shard => Ok(Statement::DropShard {
                id: self.unsigned()?,
            }),
            Keyword::Subscription => {
                let name = self.identifier()?;
                let (database, policy) = self.on_policy()?;
                Ok(Statement::DropSubscription {
                    name,
                    database,
                    policy,
                })
            }
            Keyword::User => Ok(Statement::DropUser {
                name: self.identifier()?,
            }),
            _ => Err(ParseError::unexpected(&next, DROP)),
        }
    }

    /// `ON database.policy`
    fn on_policy(&mut self) -> Result<(String, String)> {
        self.expect(Keyword::On)?;
        let database = self.identifier()?;
        let dot = self.scan();
        if dot.token != Token::Dot {
            return Err(ParseError::unexpected(&dot, &["."]));
        }
        Ok((database, self.identifier()?))
    }

    fn explain(&mut self) -> Result<Statement> {
        let analyze = self.accept(Keyword::Analyze);
        let verbose = self.accept(Keyword::Verbose);
        self.expect(Keyword::Select)?;
        let select = Box::new(self.select(Target::Optional)?);
        Ok(Statement::Explain {
            select,
            analyze,
            verbose,
        })
    }

    fn delete(&mut self) -> Result<Statement> {
        let (sources, condition) = self.doomed(|measurement| {
            (!measurement.database.is_empty()).then_some("database not supported")
        })?;
        Ok(Statement::Delete { sources, condition })
    }

    fn drop_series(&mut self) -> Result<Statement> {
        let (sources, condition) = self.doomed(|measurement| {
            if !measurement.policy.is_empty() {
                Some("retention policy not supported")
            } else if !measurement.database.is_empty() {
                Some("database not supported")
            } else {
                None
            }
        })?;
        Ok(Statement::DropSeries { sources, condition })
    }

    /// FROM and WHERE, of which one must stand.
    fn doomed(
        &mut self,
        refusal: impl Fn(&Measurement) -> Option<&'static str>,
    ) -> Result<(Vec<Source>, Option<crate::ast::Expr>)> {
        let first = self.next();
        let mut sources = Vec::new();
        if first.token == Token::Keyword(Keyword::From) {
            sources = self.sources(Subqueries::Refused)?;
            for source in &sources {
                if let Source::Measurement(measurement) = source
                    && let Some(message) = refusal(measurement)
                {
                    return Err(ParseError::At {
                        message: message.to_owned(),
                        line: 1,
                        character: 1,
                    });
                }
            }
        } else {
            self.back();
        }
        let condition = self.condition()?;
        if sources.is_empty() && condition.is_none() {
            return Err(ParseError::unexpected(&first, &["FROM", "WHERE"]));
        }
        Ok((sources, condition))
    }

    fn kill_query(&mut self) -> Result<Statement> {
        let id = self.unsigned()?;
        let host = if self.accept(Keyword::On) {
            Some(self.identifier()?)
        } else {
            None
        };
        Ok(Statement::KillQuery { id, host })
    }

    fn set_password(&mut self) -> Result<Statement> {
        let name = self.identifier()?;
        let next = self.next();
        if next.token != Token::Operator(crate::ast::Operator::Equal) {
            return Err(ParseError::unexpected(&next, &["="]));
        }
        Ok(Statement::SetPassword {
            name,
            password: Secret(self.string()?),
        })
    }

    fn create_user(&mut self) -> Result<Statement> {
        let name = self.identifier()?;
        self.expect(Keyword::With)?;
        self.expect(Keyword::Password)?;
        let password = Secret(self.string()?);
        let admin = self.accept(Keyword::With);
        if admin {
            self.expect(Keyword::All)?;
            self.expect(Keyword::Privileges)?;
        }
        Ok(Statement::CreateUser {
            name,
            password,
            admin,
        })
    }

    fn privilege(&mut self) -> Result<Privilege> {
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::Read) => Ok(Privilege::Read),
            Token::Keyword(Keyword::Write) => Ok(Privilege::Write),
            Token::Keyword(Keyword::All) => {
                self.accept(Keyword::Privileges);
                Ok(Privilege::All)
            }
            _ => Err(ParseError::unexpected(
                &next,
                &["READ", "WRITE", "ALL [PRIVILEGES]"],
            )),
        }
    }

    fn grant(&mut self) -> Result<Statement> {
        let privilege = self.privilege()?;
        let (database, user) = self.privileged(privilege, Keyword::To)?;
        Ok(Statement::Grant {
            privilege,
            database,
            user,
        })
    }

    fn revoke(&mut self) -> Result<Statement> {
        let privilege = self.privilege()?;
        let (database, user) = self.privileged(privilege, Keyword::From)?;
        Ok(Statement::Revoke {
            privilege,
            database,
            user,
        })
    }

    /// `ON database TO user`, or for ALL just `TO user`.
    fn privileged(
        &mut self,
        privilege: Privilege,
        link: Keyword,
    ) -> Result<(Option<String>, String)> {
        let next = self.next();
        if next.token == Token::Keyword(Keyword::On) {
            let database = self.identifier()?;
            self.expect(link)?;
            return Ok((Some(database), self.identifier()?));
        }
        if privilege != Privilege::All {
            return Err(ParseError::unexpected(&next, &["ON"]));
        }
        if next.token == Token::Keyword(link) {
            return Ok((None, self.identifier()?));
        }
        Err(ParseError::unexpected(&next, &["ON", link.name()]))
    }

    fn create_subscription(&mut self) -> Result<Statement> {
        let name = self.identifier()?;
        let (database, policy) = self.on_policy()?;
        self.expect(Keyword::Destinations)?;
        let next = self.next();
        let mode = match next.token {
            Token::Keyword(mode @ (Keyword::All | Keyword::Any)) => mode.name().to_owned(),
            _ => return Err(ParseError::unexpected(&next, &["ALL", "ANY"])),
        };
        let destinations = self.list(Self::string)?;
        Ok(Statement::CreateSubscription {
            name,
            database,
            policy,
            mode,
            destinations,
        })
    }

    fn create_continuous_query(&mut self) -> Result<Statement> {
        let name = self.identifier()?;
        self.expect(Keyword::On)?;
        let database = self.identifier()?;
        let (mut resample_every, mut resample_for) = (None, None);
        if self.accept(Keyword::Resample) {
            resample_every = self.resample(Keyword::Every)?;
            resample_for = self.resample(Keyword::For)?;
            if resample_every.is_none() && resample_for.is_none() {
                return Err(ParseError::unexpected(&self.next(), &["EVERY", "FOR"]));
            }
        }
        self.expect(Keyword::Begin)?;
        self.expect(Keyword::Select)?;
        let select = Box::new(self.select(Target::Required)?);
        let interval = crate::check::group_by_interval(&select);
        if crate::check::has_call(&select) && !matches!(interval, Ok(Some(ns)) if ns != 0) {
            let next = self.next();
            let reason = interval.err();
            let mut expected = vec!["GROUP BY time(...)"];
            expected.extend(reason.as_deref());
            return Err(ParseError::unexpected(&next, &expected));
        }
        let end = self.next();
        if end.token != Token::Keyword(Keyword::End) {
            return Err(ParseError::unexpected(&end, &["END"]));
        }
        check_resample(&select, resample_every, resample_for)?;
        Ok(Statement::CreateContinuousQuery {
            name,
            database,
            resample_every,
            resample_for,
            select,
        })
    }

    fn resample(&mut self, keyword: Keyword) -> Result<Option<i64>> {
        if !self.accept(keyword) {
            return Ok(None);
        }
        let next = self.next();
        if next.token != Token::Duration {
            return Err(ParseError::unexpected(&next, &["duration"]));
        }
        parse_duration(&next.text)
            .map(Some)
            .map_err(|message| ParseError::at(next.position, message))
    }
}

fn check_resample(select: &Select, every: Option<i64>, span: Option<i64>) -> Result<()> {
    let interval = crate::check::group_by_interval(select)
        .map_err(ParseError::Message)?
        .unwrap_or(0)
        .max(every.unwrap_or(0));
    match span {
        Some(span) if interval > span => Err(ParseError::message(format!(
            "FOR duration must be >= GROUP BY time duration: must be a minimum of {}, got {}",
            format_duration(interval),
            format_duration(span)
        ))),
        _ => Ok(()),
    }
}
