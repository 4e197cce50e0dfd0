//! The SHOW statements.

use crate::ast::Operator;
use crate::ast::{
    Cardinality, KeyFilter, Measurement, MeasurementFilter, MeasurementName, Show, ShowWildcard,
    Source, Statement,
};
use crate::token::{Keyword, Token};

use super::select::Subqueries;
use super::{ParseError, Parser, Result};

/// What may follow SHOW, in InfluxDB's order.
const SHOW: &[&str] = &[
    "CONTINUOUS",
    "DATABASES",
    "DIAGNOSTICS",
    "FIELD",
    "GRANTS",
    "MEASUREMENT",
    "MEASUREMENTS",
    "QUERIES",
    "RETENTION",
    "SERIES",
    "SHARD",
    "SHARDS",
    "STATS",
    "SUBSCRIPTIONS",
    "TAG",
    "USERS",
];

impl Parser<'_> {
    /// What stands behind SHOW.
    pub(super) fn show(&mut self) -> Result<Statement> {
        let next = self.next();
        let Token::Keyword(keyword) = next.token else {
            return Err(ParseError::unexpected(&next, SHOW));
        };
        match keyword {
            Keyword::Continuous => {
                self.expect(Keyword::Queries)?;
                Ok(Statement::ShowContinuousQueries)
            }
            Keyword::Databases => Ok(Statement::ShowDatabases),
            Keyword::Diagnostics => Ok(Statement::ShowDiagnostics {
                module: self.module()?,
            }),
            Keyword::Stats => Ok(Statement::ShowStats {
                module: self.module()?,
            }),
            Keyword::Field => self.show_field_keys(),
            Keyword::Grants => {
                self.expect(Keyword::For)?;
                Ok(Statement::ShowGrants {
                    user: self.identifier()?,
                })
            }
            Keyword::Measurement => self.show_measurement_cardinality(),
            Keyword::Measurements => self.show_measurements(),
            Keyword::Queries => Ok(Statement::ShowQueries),
            Keyword::Retention => {
                self.expect(Keyword::Policies)?;
                Ok(Statement::ShowRetentionPolicies {
                    database: self.on()?,
                })
            }
            Keyword::Series => self.show_series(),
            Keyword::Shard => {
                self.expect(Keyword::Groups)?;
                Ok(Statement::ShowShardGroups)
            }
            Keyword::Shards => Ok(Statement::ShowShards),
            Keyword::Subscriptions => Ok(Statement::ShowSubscriptions),
            Keyword::Tag => self.show_tag(),
            Keyword::Users => Ok(Statement::ShowUsers),
            _ => Err(ParseError::unexpected(&next, SHOW)),
        }
    }

    fn module(&mut self) -> Result<Option<String>> {
        if self.accept(Keyword::For) {
            self.string().map(Some)
        } else {
            Ok(None)
        }
    }

    fn on(&mut self) -> Result<Option<String>> {
        if self.accept(Keyword::On) {
            self.identifier().map(Some)
        } else {
            Ok(None)
        }
    }

    fn from(&mut self) -> Result<Vec<Source>> {
        if self.accept(Keyword::From) {
            self.sources(Subqueries::Refused)
        } else {
            Ok(Vec::new())
        }
    }

    fn order_and_limit(&mut self, show: &mut Show) -> Result<()> {
        show.sort = self.order_by()?;
        self.limit_and_offset(show)
    }

    fn limit_and_offset(&mut self, show: &mut Show) -> Result<()> {
        show.limit = self.count(Keyword::Limit)?;
        show.offset = self.count(Keyword::Offset)?;
        Ok(())
    }

    fn show_series(&mut self) -> Result<Statement> {
        let exact = self.accept(Keyword::Exact);
        if self.accept(Keyword::Cardinality) {
            return self.cardinality(Cardinality::Series, exact);
        }
        let mut show = Show {
            database: self.on()?,
            sources: self.from()?,
            ..Show::default()
        };
        show.condition = self.condition()?;
        self.order_and_limit(&mut show)?;
        Ok(Statement::ShowSeries(show))
    }

    /// The clauses of a cardinality statement; TAG VALUES has WITH KEY among them.
    fn cardinality(&mut self, of: Cardinality, exact: bool) -> Result<Statement> {
        let mut show = Show {
            database: self.on()?,
            sources: self.from()?,
            ..Show::default()
        };
        if of == Cardinality::TagValues {
            show.key = Some(self.with_key()?);
        }
        show.condition = self.condition()?;
        show.dimensions = self.dimensions()?;
        self.limit_and_offset(&mut show)?;
        Ok(Statement::ShowCardinality { of, exact, show })
    }

    /// `[EXACT] CARDINALITY`, where one of them must stand.
    fn exact_cardinality(&mut self, of: Cardinality) -> Result<Statement> {
        let exact = self.accept(Keyword::Exact);
        let next = self.next();
        if next.token != Token::Keyword(Keyword::Cardinality) {
            let expected: &[&str] = if exact {
                &["CARDINALITY"]
            } else {
                &["EXACT", "CARDINALITY"]
            };
            return Err(ParseError::unexpected(&next, expected));
        }
        self.cardinality(of, exact)
    }

    fn show_measurement_cardinality(&mut self) -> Result<Statement> {
        self.exact_cardinality(Cardinality::Measurement)
    }

    fn show_measurements(&mut self) -> Result<Statement> {
        let mut show = Show::default();
        if self.accept(Keyword::On) {
            let (database, policy) = (self.name_or_star()?, self.dotted_policy()?);
            show.wildcard = match (&database, &policy) {
                (None, _) => ShowWildcard::Everything,
                (Some(_), Some(None)) => ShowWildcard::Policies,
                _ => ShowWildcard::None,
            };
            show.database = database;
            show.policy = policy.flatten();
        }
        if self.accept(Keyword::With) {
            self.expect(Keyword::Measurement)?;
            let next = self.next();
            show.measurement = Some(match next.token {
                Token::Operator(Operator::Equal) => MeasurementFilter::Equals(self.measurement()?),
                Token::Operator(Operator::Matches) => {
                    MeasurementFilter::Matches(self.measurement()?)
                }
                _ => return Err(ParseError::unexpected(&next, &["=", "=~"])),
            });
        }
        show.condition = self.condition()?;
        self.order_and_limit(&mut show)?;
        Ok(Statement::ShowMeasurements(show))
    }

    fn measurement(&mut self) -> Result<Measurement> {
        match self.source(Subqueries::Refused)? {
            Source::Measurement(measurement) => Ok(measurement),
            Source::Subquery(_) => Ok(Measurement {
                name: MeasurementName::Name(String::new()),
                ..Measurement::default()
            }),
        }
    }

    fn name_or_star(&mut self) -> Result<Option<String>> {
        let next = self.next();
        match next.token {
            Token::Identifier => Ok(Some(next.text)),
            Token::Operator(Operator::Multiply) => Ok(None),
            _ => Err(ParseError::unexpected(&next, &["identifier or *"])),
        }
    }

    fn dotted_policy(&mut self) -> Result<Option<Option<String>>> {
        if self.next().token == Token::Dot {
            return self.name_or_star().map(Some);
        }
        self.back();
        Ok(None)
    }

    fn show_field_keys(&mut self) -> Result<Statement> {
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::Key) => self.exact_cardinality(Cardinality::FieldKey),
            Token::Keyword(Keyword::Keys) => {
                let mut show = Show {
                    database: self.on()?,
                    sources: self.from()?,
                    ..Show::default()
                };
                self.order_and_limit(&mut show)?;
                Ok(Statement::ShowFieldKeys(show))
            }
            _ => Err(ParseError::unexpected(&next, &["KEY", "KEYS"])),
        }
    }

    fn show_tag(&mut self) -> Result<Statement> {
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::Key) => self.exact_cardinality(Cardinality::TagKey),
            Token::Keyword(Keyword::Keys) => self.show_tag_keys(),
            Token::Keyword(Keyword::Values) => self.show_tag_values(),
            _ => Err(ParseError::unexpected(&next, &["KEY", "KEYS", "VALUES"])),
        }
    }

    fn show_tag_keys(&mut self) -> Result<Statement> {
        let mut show = Show {
            database: self.on()?,
            sources: self.from()?,
            ..Show::default()
        };
        if self.accept(Keyword::With) {
            self.back();
            show.key = Some(self.with_key()?);
        }
        show.condition = self.condition()?;
        self.order_and_limit(&mut show)?;
        show.slimit = self.count(Keyword::Slimit)?;
        show.soffset = self.count(Keyword::Soffset)?;
        Ok(Statement::ShowTagKeys(show))
    }

    fn show_tag_values(&mut self) -> Result<Statement> {
        if self.accept(Keyword::Exact) {
            self.expect(Keyword::Cardinality)?;
            return self.cardinality(Cardinality::TagValues, true);
        }
        if self.accept(Keyword::Cardinality) {
            return self.cardinality(Cardinality::TagValues, false);
        }
        let mut show = Show {
            database: self.on()?,
            sources: self.from()?,
            ..Show::default()
        };
        show.key = Some(self.with_key()?);
        show.condition = self.condition()?;
        self.order_and_limit(&mut show)?;
        Ok(Statement::ShowTagValues(show))
    }

    fn with_key(&mut self) -> Result<KeyFilter> {
        self.expect(Keyword::With)?;
        self.expect(Keyword::Key)?;
        let next = self.next();
        match next.token {
            Token::Keyword(Keyword::In) => {
                let open = self.next();
                if open.token != Token::OpenParen {
                    return Err(ParseError::unexpected(&open, &["("]));
                }
                let keys = self.list(Self::identifier)?;
                let close = self.next();
                if close.token != Token::CloseParen {
                    return Err(ParseError::unexpected(&close, &[")"]));
                }
                Ok(KeyFilter::In(keys))
            }
            Token::Operator(Operator::Equal) => Ok(KeyFilter::Equals(self.identifier()?)),
            Token::Operator(Operator::NotEqual) => Ok(KeyFilter::NotEquals(self.identifier()?)),
            Token::Operator(op @ (Operator::Matches | Operator::NotMatches)) => {
                let Some(regex) = self.regex()? else {
                    return Err(ParseError::unexpected(&self.next(), &["regex"]));
                };
                Ok(if op == Operator::Matches {
                    KeyFilter::Matches(regex)
                } else {
                    KeyFilter::NotMatches(regex)
                })
            }
            _ => Err(ParseError::unexpected(&next, &["IN", "=", "=~"])),
        }
    }
}
