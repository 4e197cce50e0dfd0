//! Expressions.

use crate::ast::{Call, Cast, Expr, Operator, Reference, Regex, WildcardKind};
use crate::token::{Keyword, Token};

use super::{DEPTH_MAX, OPERATORS_MAX, ParseError, Parser, Result, parse_duration};

impl Parser<'_> {
    /// An expression, operators by precedence, equal ones from the left.
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.nested(Self::binary)
    }

    fn binary(&mut self) -> Result<Expr> {
        let mut terms = Terms::default();
        let mut root = self.unary()?;
        let mut operators = 0;
        // Operators since the last AND or OR: each makes the tree deeper.
        let mut chain = 0;
        loop {
            let next = self.next();
            let Token::Operator(op) = next.token else {
                self.back();
                let root = terms.finish(root);
                return if depth(&root) > DEPTH_MAX {
                    Err(ParseError::at(next.position, too_deep()))
                } else {
                    Ok(root)
                };
            };
            operators += 1;
            if operators > OPERATORS_MAX {
                let message = format!("an expression has more than {OPERATORS_MAX} operators");
                return Err(ParseError::at(next.position, message));
            }
            let right = if matches!(op, Operator::Matches | Operator::NotMatches) {
                match self.regex()? {
                    Some(regex) => Expr::Regex(regex),
                    None => return Err(ParseError::unexpected(&self.next(), &["regex"])),
                }
            } else {
                self.unary()?
            };
            root = match op {
                Operator::And => {
                    terms.and(root);
                    right
                }
                Operator::Or => {
                    terms.or(root);
                    right
                }
                _ => attach(root, op, right),
            };
            chain = match op {
                Operator::And | Operator::Or => 0,
                _ => chain + 1,
            };
            if chain > DEPTH_MAX {
                return Err(ParseError::at(next.position, too_deep()));
            }
        }
    }

    fn unary(&mut self) -> Result<Expr> {
        let next = self.next();
        match next.token {
            Token::OpenParen => {
                let inner = self.expression()?;
                let close = self.next();
                if close.token != Token::CloseParen {
                    return Err(ParseError::unexpected(&close, &[")"]));
                }
                Ok(Expr::Paren(Box::new(inner)))
            }
            Token::Identifier => {
                if self.scan().token == Token::OpenParen {
                    return self.call(&next.text);
                }
                self.back();
                self.back();
                self.reference().map(Expr::Reference)
            }
            Token::Keyword(Keyword::Distinct) => self.distinct(),
            Token::String => Ok(Expr::String(next.text)),
            Token::Number => next
                .text
                .parse()
                .map(Expr::Number)
                .map_err(|_| ParseError::at(next.position, "unable to parse number")),
            Token::Integer => integer(&next.text)
                .ok_or_else(|| ParseError::at(next.position, "unable to parse integer")),
            Token::True => Ok(Expr::Boolean(true)),
            Token::False => Ok(Expr::Boolean(false)),
            Token::Duration => parse_duration(&next.text)
                .map(Expr::Duration)
                .map_err(ParseError::Message),
            Token::Operator(Operator::Multiply) => self.wildcard(),
            Token::Regex => {
                check_regex(&next.text).map_err(|text| ParseError::at(next.position, text))?;
                Ok(Expr::Regex(Regex(next.text.into())))
            }
            Token::BoundParameter => Err(self.unbound(&next.text[1..])),
            Token::Operator(sign @ (Operator::Add | Operator::Subtract)) => self.signed(sign),
            _ => Err(ParseError::unexpected(
                &next,
                &["identifier", "string", "number", "bool"],
            )),
        }
    }

    fn unbound(&self, name: &str) -> ParseError {
        if name.is_empty() {
            return ParseError::message("empty bound parameter");
        }
        // A parameter that is there but not usable says why in place of its name.
        if name.contains(' ') {
            return ParseError::message(name);
        }
        ParseError::message(format!("missing parameter: {name}"))
    }

    fn signed(&mut self, sign: Operator) -> Result<Expr> {
        let next = self.next();
        let may_follow = matches!(
            next.token,
            Token::Number | Token::Integer | Token::Duration | Token::OpenParen | Token::Identifier
        );
        if !may_follow {
            return Err(ParseError::unexpected(
                &next,
                &["identifier", "number", "duration", "("],
            ));
        }
        self.back();
        let value = self.nested(Self::unary)?;
        let factor = if sign == Operator::Subtract { -1 } else { 1 };
        Ok(match value {
            Expr::Number(number) if factor < 0 => Expr::Number(-number),
            Expr::Integer(number) => Expr::Integer(number.wrapping_mul(factor)),
            Expr::Duration(ns) => Expr::Duration(ns.wrapping_mul(factor)),
            Expr::Unsigned(number) if factor < 0 => {
                if number != 1 << 63 {
                    let message = format!("constant -{number} underflows int64");
                    return Err(ParseError::Message(message));
                }
                Expr::Integer(i64::MIN)
            }
            Expr::Number(_) | Expr::Unsigned(_) => value,
            other => Expr::Binary {
                op: Operator::Multiply,
                left: Box::new(Expr::Integer(factor)),
                right: Box::new(other),
            },
        })
    }

    fn distinct(&mut self) -> Result<Expr> {
        let next = self.scan();
        match next.token {
            Token::OpenParen => self.call("distinct"),
            Token::Space => {
                let name = self.next();
                if name.token == Token::Identifier {
                    Ok(Expr::Distinct(name.text))
                } else {
                    Err(ParseError::unexpected(&name, &["identifier"]))
                }
            }
            _ => Err(ParseError::unexpected(&next, &["(", "identifier"])),
        }
    }

    fn wildcard(&mut self) -> Result<Expr> {
        if self.scan().token != Token::DoubleColon {
            self.back();
            return Ok(Expr::Wildcard(WildcardKind::All));
        }
        let next = self.scan();
        match next.token {
            Token::Keyword(Keyword::Field) => Ok(Expr::Wildcard(WildcardKind::Fields)),
            Token::Keyword(Keyword::Tag) => Ok(Expr::Wildcard(WildcardKind::Tags)),
            _ => Err(ParseError::unexpected(&next, &["field", "tag"])),
        }
    }

    /// A call's arguments and its closing parenthesis; the opening one is read.
    fn call(&mut self, name: &str) -> Result<Expr> {
        let name = name.to_ascii_lowercase();
        let mut arguments = Vec::new();
        if let Some(regex) = self.regex()? {
            arguments.push(Expr::Regex(regex));
        } else {
            if self.scan().token == Token::CloseParen {
                return Ok(Expr::Call(Call { name, arguments }));
            }
            self.back();
            arguments.push(self.expression()?);
        }
        while self.next().token == Token::Comma {
            let argument = match self.regex()? {
                Some(regex) => Expr::Regex(regex),
                None => self.expression()?,
            };
            arguments.push(argument);
        }
        self.back();
        let close = self.scan();
        if close.token != Token::CloseParen {
            return Err(ParseError::unexpected(&close, &[")"]));
        }
        Ok(Expr::Call(Call { name, arguments }))
    }

    /// A name with its cast.
    pub(super) fn reference(&mut self) -> Result<Reference> {
        let name = self.segments()?.join(".");
        if self.scan().token != Token::DoubleColon {
            self.back();
            return Ok(Reference { name, cast: None });
        }
        let next = self.scan();
        let cast = match next.token {
            Token::Keyword(Keyword::Field) => Cast::Field,
            Token::Keyword(Keyword::Tag) => Cast::Tag,
            Token::Identifier => match next.text.to_ascii_lowercase().as_str() {
                "float" => Cast::Float,
                "integer" => Cast::Integer,
                "unsigned" => Cast::Unsigned,
                "string" => Cast::String,
                "boolean" => Cast::Boolean,
                _ => {
                    let expected = [
                        "float", "integer", "unsigned", "string", "boolean", "field", "tag",
                    ];
                    return Err(ParseError::unexpected(&next, &expected));
                }
            },
            _ => {
                let expected = ["float", "integer", "string", "boolean", "field", "tag"];
                return Err(ParseError::unexpected(&next, &expected));
            }
        };
        Ok(Reference {
            name,
            cast: Some(cast),
        })
    }

    /// `a`, `a.b`, `a..b`, `a.b.c`; stops before a regex or a colon that follows a dot.
    pub(super) fn segments(&mut self) -> Result<Vec<String>> {
        let mut segments = vec![self.identifier()?];
        loop {
            if self.scan().token != Token::Dot {
                self.back();
                break;
            }
            match self.peek_character() {
                '/' | ':' => break,
                '.' => segments.push(String::new()),
                _ => segments.push(self.identifier()?),
            }
        }
        if segments.len() > 3 {
            let names = crate::print::quote_identifiers(&segments);
            return Err(ParseError::At {
                message: format!("too many segments in {names}"),
                line: 1,
                character: 1,
            });
        }
        Ok(segments)
    }

    /// A regular expression, if one is next.
    pub(super) fn regex(&mut self) -> Result<Option<Regex>> {
        if matches!(self.peek_character(), ' ' | '\t' | '\n') {
            self.skip_space();
        }
        match self.peek_character() {
            '$' => {
                let is_regex = self.scan().token == Token::Regex;
                self.back();
                if !is_regex {
                    return Ok(None);
                }
            }
            '/' => {}
            _ => return Ok(None),
        }
        let next = self.scan_regex();
        match next.token {
            Token::Regex => {
                check_regex(&next.text).map_err(|text| ParseError::at(next.position, text))?;
                Ok(Some(Regex(next.text.into())))
            }
            Token::BadRegex => Err(ParseError::at(
                next.position,
                format!("bad regex: {}", next.text),
            )),
            _ => Err(ParseError::unexpected(&next, &["regex"])),
        }
    }
}

/// The terms of AND and OR read so far.
#[derive(Default)]
struct Terms {
    /// Of the AND that is being read.
    and: Vec<Expr>,
    /// Complete ones.
    or: Vec<Expr>,
}

impl Terms {
    fn and(&mut self, term: Expr) {
        self.and.push(term);
    }

    fn or(&mut self, term: Expr) {
        self.and.push(term);
        let and = std::mem::take(&mut self.and);
        self.or.push(balanced(Operator::And, and));
    }

    fn finish(mut self, term: Expr) -> Expr {
        self.or(term);
        balanced(Operator::Or, self.or)
    }
}

/// `a op b op c …` as a tree that is as shallow as it can be: dashboards send lists of a thousand.
/// One tree for one text, so what is printed parses to an equal tree.
fn balanced(op: Operator, mut terms: Vec<Expr>) -> Expr {
    while terms.len() > 1 {
        let mut joined = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => Expr::Binary {
                    op,
                    left: Box::new(left),
                    right: Box::new(right),
                },
                None => left,
            });
        }
        terms = joined;
    }
    terms.pop().unwrap_or(Expr::Nil)
}

fn depth(expr: &Expr) -> usize {
    match expr {
        Expr::Binary { left, right, .. } => 1 + depth(left).max(depth(right)),
        Expr::Paren(inner) => 1 + depth(inner),
        Expr::Call(call) => 1 + call.arguments.iter().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

fn too_deep() -> String {
    format!("an expression is deeper than {DEPTH_MAX} levels")
}

/// Puts `op right` where its precedence says: below the last operator that binds less tightly.
fn attach(root: Expr, op: Operator, right: Expr) -> Expr {
    match root {
        Expr::Binary {
            op: above,
            left,
            right: inner,
        } if above.precedence() < op.precedence() => Expr::Binary {
            op: above,
            left,
            right: Box::new(attach(*inner, op, right)),
        },
        other => Expr::Binary {
            op,
            left: Box::new(other),
            right: Box::new(right),
        },
    }
}

fn integer(text: &str) -> Option<Expr> {
    let signed = text.parse().map(Expr::Integer);
    signed.or_else(|_| text.parse().map(Expr::Unsigned)).ok()
}

/// Whether a regular expression compiles; the error is one line.
fn check_regex(text: &str) -> Result<(), String> {
    crate::regex::compile(text)
        .map(drop)
        .map_err(|error| error.to_string())
}
