//! Terms of retention policies.

use crate::ast::{PolicyTerms, Statement};
use crate::token::{Keyword, Token};

use super::{ParseError, Parser, Result, parse_duration};

impl Parser<'_> {
    /// A duration in ns, or INF as 0.
    fn duration(&mut self) -> Result<i64> {
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::Inf) => Ok(0),
            Token::Duration => {
                parse_duration(&next.text).map_err(|message| ParseError::at(next.position, message))
            }
            _ => Err(ParseError::unexpected(&next, &["duration"])),
        }
    }

    fn finite_duration(&mut self) -> Result<i64> {
        let next = self.next();
        if next.token == Token::Keyword(Keyword::Inf) {
            let message = "invalid duration INF for shard duration";
            return Err(ParseError::at(next.position, message));
        }
        self.back();
        self.duration()
    }

    fn replication(&mut self) -> Result<u32> {
        let next = self.next();
        if next.token != Token::Integer {
            return Err(ParseError::unexpected(&next, &["integer"]));
        }
        let number: i64 = next.text.parse().map_err(|_| {
            let message = format!(
                "strconv.Atoi: parsing \"{}\": value out of range",
                next.text
            );
            ParseError::at(next.position, message)
        })?;
        u32::try_from(number)
            .ok()
            .filter(|n| (1..=REPLICATION_MAX).contains(n))
            .ok_or_else(|| {
                let message =
                    format!("invalid value {number}: must be 1 <= n <= {REPLICATION_MAX}");
                ParseError::at(next.position, message)
            })
    }

    fn write_limit(&mut self) -> Result<i64> {
        let next = self.next();
        if next.token != Token::Keyword(Keyword::Limit) {
            return Err(ParseError::unexpected(&next, &["LIMIT"]));
        }
        self.duration()
    }

    /// What stands behind CREATE DATABASE.
    pub(super) fn create_database(&mut self) -> Result<Statement> {
        let name = self.identifier()?;
        if !self.accept(Keyword::With) {
            return Ok(Statement::CreateDatabase { name, policy: None });
        }
        let next = self.next();
        let may_follow = matches!(
            next.token,
            Token::Keyword(
                Keyword::Duration
                    | Keyword::Name
                    | Keyword::Replication
                    | Keyword::Shard
                    | Keyword::Future
                    | Keyword::Past
            )
        );
        if !may_follow {
            let expected = ["DURATION", "NAME", "REPLICATION", "SHARD", "FUTURE", "PAST"];
            return Err(ParseError::unexpected(&next, &expected));
        }
        self.back();
        let mut terms = PolicyTerms::default();
        if self.accept(Keyword::Duration) {
            terms.duration = Some(self.duration()?);
        }
        if self.accept(Keyword::Replication) {
            terms.replication = Some(self.replication()?);
        }
        if self.accept(Keyword::Shard) {
            self.expect(Keyword::Duration)?;
            terms.shard_duration = Some(self.duration()?);
        }
        if self.accept(Keyword::Future) {
            terms.future_limit = Some(self.write_limit()?);
        }
        if self.accept(Keyword::Past) {
            terms.past_limit = Some(self.write_limit()?);
        }
        if self.accept(Keyword::Name) {
            terms.name = Some(self.identifier()?);
        }
        Ok(Statement::CreateDatabase {
            name,
            policy: Some(terms),
        })
    }

    /// What stands behind CREATE RETENTION POLICY.
    pub(super) fn create_policy(&mut self) -> Result<Statement> {
        let name = self.identifier()?;
        self.expect(Keyword::On)?;
        let database = self.identifier()?;
        self.expect(Keyword::Duration)?;
        let mut terms = PolicyTerms {
            duration: Some(self.duration()?),
            ..PolicyTerms::default()
        };
        self.expect(Keyword::Replication)?;
        terms.replication = Some(self.replication()?);
        if self.accept(Keyword::Shard) {
            self.expect(Keyword::Duration)?;
            terms.shard_duration = Some(self.finite_duration()?);
        }
        let default = self.accept(Keyword::Default);
        if self.accept(Keyword::Future) {
            terms.future_limit = Some(self.write_limit()?);
        }
        if self.accept(Keyword::Past) {
            terms.past_limit = Some(self.write_limit()?);
        }
        Ok(Statement::CreateRetentionPolicy {
            name,
            database,
            terms,
            default,
        })
    }

    /// What stands behind ALTER RETENTION POLICY.
    pub(super) fn alter_policy(&mut self) -> Result<Statement> {
        let next = self.next();
        let name = match next.token {
            Token::Keyword(Keyword::Default) => "default".to_owned(),
            Token::Identifier => next.text,
            _ => return Err(ParseError::unexpected(&next, &["identifier"])),
        };
        self.expect(Keyword::On)?;
        let database = self.identifier()?;
        let mut terms = PolicyTerms::default();
        let mut default = false;
        let mut found: Vec<Keyword> = Vec::new();
        loop {
            let next = self.next();
            let keyword = match next.token {
                Token::Keyword(keyword) if found.contains(&keyword) => {
                    let message = format!("found duplicate {} option", keyword.name());
                    return Err(ParseError::at(next.position, message));
                }
                Token::Keyword(keyword) => Some(keyword),
                _ => None,
            };
            match keyword {
                Some(Keyword::Duration) => terms.duration = Some(self.duration()?),
                Some(Keyword::Replication) => terms.replication = Some(self.replication()?),
                Some(Keyword::Shard) => {
                    self.expect(Keyword::Duration)?;
                    terms.shard_duration = Some(self.finite_duration()?);
                }
                Some(Keyword::Default) => default = true,
                Some(Keyword::Future) => terms.future_limit = Some(self.write_limit()?),
                Some(Keyword::Past) => terms.past_limit = Some(self.write_limit()?),
                _ if found.is_empty() => {
                    let expected = [
                        "DURATION",
                        "REPLICATION",
                        "SHARD",
                        "DEFAULT",
                        "FUTURE",
                        "PAST",
                    ];
                    return Err(ParseError::unexpected(&next, &expected));
                }
                _ => {
                    self.back();
                    return Ok(Statement::AlterRetentionPolicy {
                        name,
                        database,
                        terms,
                        default,
                    });
                }
            }
            found.extend(keyword);
        }
    }
}

/// The most copies that may be asked for (InfluxDB's `math.MaxInt32`).
const REPLICATION_MAX: u32 = i32::MAX.unsigned_abs();
