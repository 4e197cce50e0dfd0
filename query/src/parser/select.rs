//! SELECT and the clauses it shares with others.

use crate::ast::{
    Dimension, Expr, Field, Fill, FillNumber, Measurement, MeasurementName, Operator, Select,
    SortField, Source,
};
use crate::token::{Keyword, Token};

use super::{ParseError, Parser, Result};

/// Whether INTO may or must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Required,
    Optional,
}

/// Whether FROM may hold subqueries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subqueries {
    Allowed,
    Refused,
}

impl Parser<'_> {
    /// What stands behind SELECT.
    pub(super) fn select(&mut self, target: Target) -> Result<Select> {
        self.nested(|parser| parser.select_clauses(target))
    }

    fn select_clauses(&mut self, target: Target) -> Result<Select> {
        let fields = self.fields()?;
        let target = self.target(target)?;
        let from = self.next();
        if from.token != Token::Keyword(Keyword::From) {
            return Err(ParseError::unexpected(&from, &["FROM"]));
        }
        Ok(Select {
            fields,
            target,
            sources: self.sources(Subqueries::Allowed)?,
            condition: self.condition()?,
            dimensions: self.dimensions()?,
            fill: self.fill()?,
            sort: self.order_by()?,
            limit: self.count(Keyword::Limit)?,
            offset: self.count(Keyword::Offset)?,
            slimit: self.count(Keyword::Slimit)?,
            soffset: self.count(Keyword::Soffset)?,
            timezone: self.timezone()?,
        })
    }

    fn fields(&mut self) -> Result<Vec<Field>> {
        let mut fields = vec![self.field()?];
        while self.scan().token == Token::Comma {
            fields.push(self.field()?);
        }
        self.back();
        Ok(fields)
    }

    fn field(&mut self) -> Result<Field> {
        let expr = match self.regex()? {
            Some(regex) => Expr::Regex(regex),
            None => {
                let position = self.next().position;
                self.back();
                let expr = self.expression()?;
                if let Some(operator) = condition_operator(&expr) {
                    return Err(ParseError::message(format!(
                        "invalid operator {} in SELECT clause at line {}, char {}; operator is \
                         intended for WHERE clause",
                        operator.symbol(),
                        position.line + 1,
                        position.character + 1
                    )));
                }
                expr
            }
        };
        let alias = if self.accept(Keyword::As) {
            Some(self.identifier()?)
        } else {
            None
        };
        self.skip_space();
        Ok(Field { expr, alias })
    }

    fn target(&mut self, target: Target) -> Result<Option<Measurement>> {
        let next = self.next();
        if next.token != Token::Keyword(Keyword::Into) {
            if target == Target::Required {
                return Err(ParseError::unexpected(&next, &["INTO"]));
            }
            self.back();
            return Ok(None);
        }
        let mut segments = self.segments()?;
        let mut name = None;
        if segments.len() < 3 && self.peek_character() == ':' {
            self.expect_token(Token::Colon)?;
            self.expect(Keyword::Measurement)?;
            name = Some(MeasurementName::BackReference);
        }
        let name = match name {
            Some(name) => name,
            None => MeasurementName::Name(segments.pop().unwrap_or_default()),
        };
        let policy = segments.pop().unwrap_or_default();
        let database = segments.pop().unwrap_or_default();
        Ok(Some(Measurement {
            database,
            policy,
            name,
        }))
    }

    /// What stands behind FROM.
    pub(super) fn sources(&mut self, subqueries: Subqueries) -> Result<Vec<Source>> {
        self.list(|parser| parser.source(subqueries))
    }

    pub(super) fn source(&mut self, subqueries: Subqueries) -> Result<Source> {
        if let Some(regex) = self.regex()? {
            let name = MeasurementName::Regex(regex);
            return Ok(Source::Measurement(Measurement {
                name,
                ..Measurement::default()
            }));
        }
        if subqueries == Subqueries::Allowed {
            if self.next().token == Token::OpenParen {
                self.expect(Keyword::Select)?;
                let select = self.select(Target::Optional)?;
                self.expect_token(Token::CloseParen)?;
                return Ok(Source::Subquery(Box::new(select)));
            }
            self.back();
        }
        let mut segments = self.segments()?;
        let regex = if segments.len() < 3 {
            self.regex()?
        } else {
            None
        };
        let name = match regex {
            Some(regex) => MeasurementName::Regex(regex),
            None => MeasurementName::Name(segments.pop().unwrap_or_default()),
        };
        let policy = segments.pop().unwrap_or_default();
        let database = segments.pop().unwrap_or_default();
        Ok(Source::Measurement(Measurement {
            database,
            policy,
            name,
        }))
    }

    /// WHERE, if it is there.
    pub(super) fn condition(&mut self) -> Result<Option<Expr>> {
        if self.accept(Keyword::Where) {
            self.expression().map(Some)
        } else {
            Ok(None)
        }
    }

    /// GROUP BY, if it is there.
    pub(super) fn dimensions(&mut self) -> Result<Vec<Dimension>> {
        if !self.accept(Keyword::Group) {
            return Ok(Vec::new());
        }
        self.expect(Keyword::By)?;
        let mut dimensions = vec![self.dimension()?];
        while self.scan().token == Token::Comma {
            dimensions.push(self.dimension()?);
        }
        self.back();
        Ok(dimensions)
    }

    fn dimension(&mut self) -> Result<Dimension> {
        if let Some(regex) = self.regex()? {
            return Ok(Dimension {
                expr: Expr::Regex(regex),
            });
        }
        let expr = self.expression()?;
        self.skip_space();
        Ok(Dimension { expr })
    }

    /// Whether the function `name` is next; it is given back.
    fn is_next_call(&mut self, name: &str) -> bool {
        let next = self.next();
        self.back();
        next.token == Token::Identifier && next.text.eq_ignore_ascii_case(name)
    }

    fn fill(&mut self) -> Result<Fill> {
        if !self.is_next_call("fill") {
            return Ok(Fill::Default);
        }
        let Expr::Call(call) = self.expression()? else {
            return Err(ParseError::message("fill must be a function call"));
        };
        let [argument] = call.arguments.as_slice() else {
            return Err(ParseError::message(
                "fill requires an argument, e.g.: 0, null, none, previous, linear",
            ));
        };
        match argument {
            Expr::Integer(number) => Ok(Fill::Number(FillNumber::Integer(*number))),
            Expr::Number(number) => Ok(Fill::Number(FillNumber::Float(*number))),
            other => match other.to_string().as_str() {
                "null" => Ok(Fill::Null),
                "none" => Ok(Fill::None),
                "previous" => Ok(Fill::Previous),
                "linear" => Ok(Fill::Linear),
                _ => Err(ParseError::message("expected number argument in fill()")),
            },
        }
    }

    fn timezone(&mut self) -> Result<Option<String>> {
        if !self.is_next_call("tz") {
            return Ok(None);
        }
        let Expr::Call(call) = self.expression()? else {
            return Err(ParseError::message("tz must be a function call"));
        };
        match call.arguments.as_slice() {
            [Expr::String(name)] => {
                if crate::condition::timezone(name).is_some() {
                    Ok(Some(name.clone()))
                } else {
                    Err(ParseError::message(format!(
                        "unable to find time zone {name}"
                    )))
                }
            }
            [_] => Err(ParseError::message("expected string argument in tz()")),
            _ => Err(ParseError::message("tz requires exactly one argument")),
        }
    }

    /// `keyword n`, if it is there; else 0.
    pub(super) fn count(&mut self, keyword: Keyword) -> Result<u64> {
        if !self.accept(keyword) {
            return Ok(0);
        }
        let next = self.next();
        if next.token != Token::Integer {
            return Err(ParseError::unexpected(&next, &["integer"]));
        }
        // InfluxDB takes what it can of a number that is too large.
        Ok(next
            .text
            .parse::<i64>()
            .map_or(i64::MAX.unsigned_abs(), i64::unsigned_abs))
    }

    /// ORDER BY, if it is there.
    pub(super) fn order_by(&mut self) -> Result<Vec<SortField>> {
        if !self.accept(Keyword::Order) {
            return Ok(Vec::new());
        }
        self.expect(Keyword::By)?;
        let next = self.next();
        let mut fields = match next.token {
            Token::Keyword(order @ (Keyword::Asc | Keyword::Desc)) => {
                vec![SortField {
                    name: String::new(),
                    ascending: order == Keyword::Asc,
                }]
            }
            Token::Identifier => {
                self.back();
                let field = self.sort_field()?;
                if next.text != "time" {
                    return Err(ParseError::message(ONLY_TIME));
                }
                vec![field]
            }
            _ => {
                return Err(ParseError::unexpected(
                    &next,
                    &["identifier", "ASC", "DESC"],
                ));
            }
        };
        while self.next().token == Token::Comma {
            fields.push(self.sort_field()?);
        }
        self.back();
        if fields.len() > 1 {
            return Err(ParseError::message(ONLY_TIME));
        }
        Ok(fields)
    }

    fn sort_field(&mut self) -> Result<SortField> {
        let name = self.identifier()?;
        let ascending = match self.next().token {
            Token::Keyword(Keyword::Asc) => true,
            Token::Keyword(Keyword::Desc) => false,
            _ => {
                self.back();
                true
            }
        };
        Ok(SortField { name, ascending })
    }
}

const ONLY_TIME: &str = "only ORDER BY time supported at this time";

/// The first operator that belongs into WHERE, top down.
fn condition_operator(expr: &Expr) -> Option<Operator> {
    match expr {
        Expr::Binary { op, left, right } => {
            if op.precedence() <= Operator::Equal.precedence() {
                return Some(*op);
            }
            condition_operator(left).or_else(|| condition_operator(right))
        }
        Expr::Paren(inner) => condition_operator(inner),
        Expr::Call(call) => call.arguments.iter().find_map(condition_operator),
        _ => None,
    }
}
