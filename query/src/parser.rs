//! Tokens to trees, with InfluxDB's error texts.

mod duration;
mod expression;
mod params;
mod policy;
mod select;
mod show;
mod statement;

pub use duration::{format_duration, parse_duration};
pub use params::{Parameter, Params};

use crate::ast::{Expr, Statement};
use crate::lexer::{Lexeme, Lexer, Position};
use crate::token::{Keyword, Token};

/// How deep expressions and subqueries may nest: far above what people write, far below what
/// overflows a thread's stack.
pub const NESTING_MAX: usize = 100;

/// How deep the tree of an expression may be. Chains of arithmetic count, since `a + b + c` is as deep
/// as it is long; chains of AND and OR do not.
pub const DEPTH_MAX: usize = 250;

/// How many operators may stand in a row.
pub const OPERATORS_MAX: usize = 100_000;

/// Why some text is not InfluxQL. Prints as InfluxDB does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Something else was expected.
    #[error("found {found}, expected {} at line {line}, char {character}", expected.join(", "))]
    Unexpected {
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: Vec<String>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        character: usize,
    },
    /// Something is wrong at a place.
    #[error("{message} at line {line}, char {character}")]
    At {
        /// What is wrong.
        message: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        character: usize,
    },
    /// Something is wrong as a whole.
    #[error("{0}")]
    Message(String),
}

impl ParseError {
    fn unexpected(found: &Lexeme, expected: &[&str]) -> Self {
        Self::Unexpected {
            found: found.found(),
            expected: expected.iter().map(|text| (*text).to_owned()).collect(),
            line: found.position.line + 1,
            character: found.position.character + 1,
        }
    }

    fn at(position: Position, message: impl Into<String>) -> Self {
        Self::At {
            message: message.into(),
            line: position.line + 1,
            character: position.character + 1,
        }
    }

    fn message(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// Parses statements separated by `;`. All of them or none.
///
/// # Errors
/// [`ParseError`], for the first thing that is wrong.
pub fn parse(text: &str, params: &Params) -> Result<Vec<Statement>> {
    let mut parser = Parser::new(text, params);
    let mut statements = Vec::new();
    let mut separated = true;
    loop {
        let next = parser.next();
        match next.token {
            Token::Eof => return Ok(statements),
            Token::Semicolon => separated = true,
            _ if !separated => return Err(ParseError::unexpected(&next, &[";"])),
            _ => {
                parser.back();
                statements.push(parser.statement()?);
                separated = false;
            }
        }
    }
}

/// Parses one expression, and nothing behind it.
///
/// # Errors
/// [`ParseError`].
pub fn parse_expression(text: &str) -> Result<Expr> {
    let params = Params::default();
    let mut parser = Parser::new(text, &params);
    let expr = parser.expression()?;
    let next = parser.next();
    if next.token == Token::Eof {
        Ok(expr)
    } else {
        Err(ParseError::unexpected(&next, &["EOF"]))
    }
}

/// Reads tokens, and gives some back.
pub(crate) struct Parser<'a> {
    lexer: Lexer,
    params: &'a Params,
    /// Tokens read so far that may be given back; the last [`BACK_MAX`] are enough.
    read: Vec<Lexeme>,
    /// How many of them are given back.
    given_back: usize,
    depth: usize,
}

/// A parser never gives back more tokens than this.
const BACK_MAX: usize = 4;

impl<'a> Parser<'a> {
    fn new(text: &str, params: &'a Params) -> Self {
        Self {
            lexer: Lexer::new(text),
            params,
            read: Vec::new(),
            given_back: 0,
            depth: 0,
        }
    }

    /// The next token, white space among them.
    fn scan(&mut self) -> Lexeme {
        self.scan_with(Lexer::scan)
    }

    fn scan_regex(&mut self) -> Lexeme {
        self.scan_with(Lexer::scan_regex)
    }

    fn scan_with(&mut self, scan: fn(&mut Lexer) -> Lexeme) -> Lexeme {
        let mut lexeme = if self.given_back > 0 {
            self.given_back -= 1;
            self.read[self.read.len() - 1 - self.given_back].clone()
        } else {
            let lexeme = scan(&mut self.lexer);
            if self.read.len() > 4 * BACK_MAX {
                self.read.drain(..3 * BACK_MAX);
            }
            self.read.push(lexeme.clone());
            lexeme
        };
        if lexeme.token == Token::BoundParameter
            && let Some(value) = self.params.value(&lexeme.text[1..])
        {
            (lexeme.token, lexeme.text) = value.lexeme();
        }
        lexeme
    }

    /// The next token that is not white space or a comment.
    fn next(&mut self) -> Lexeme {
        loop {
            let lexeme = self.scan();
            if !matches!(lexeme.token, Token::Space | Token::Comment) {
                return lexeme;
            }
        }
    }

    /// Gives the last token back.
    fn back(&mut self) {
        self.given_back += 1;
        debug_assert!(self.given_back <= BACK_MAX && self.given_back <= self.read.len());
    }

    /// The character behind the last token that was read, given back or not.
    fn peek_character(&self) -> char {
        self.lexer.peek()
    }

    /// Reads `keyword` if it is next; answers whether.
    fn accept(&mut self, keyword: Keyword) -> bool {
        let found = self.next().token == Token::Keyword(keyword);
        if !found {
            self.back();
        }
        found
    }

    fn expect(&mut self, keyword: Keyword) -> Result<()> {
        self.expect_token(Token::Keyword(keyword))
    }

    fn expect_token(&mut self, token: Token) -> Result<()> {
        let next = self.next();
        if next.token == token {
            Ok(())
        } else {
            Err(ParseError::unexpected(&next, &[token.name()]))
        }
    }

    fn skip_space(&mut self) {
        if self.scan().token != Token::Space {
            self.back();
        }
    }

    fn identifier(&mut self) -> Result<String> {
        let next = self.next();
        if next.token == Token::Identifier {
            Ok(next.text)
        } else {
            Err(ParseError::unexpected(&next, &["identifier"]))
        }
    }

    fn string(&mut self) -> Result<String> {
        let next = self.next();
        if next.token == Token::String {
            Ok(next.text)
        } else {
            Err(ParseError::unexpected(&next, &["string"]))
        }
    }

    /// One or more of what `item` reads, separated by commas.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.next().token == Token::Comma {
            items.push(item(self)?);
        }
        self.back();
        Ok(items)
    }

    fn unsigned(&mut self) -> Result<u64> {
        let next = self.next();
        if next.token != Token::Integer {
            return Err(ParseError::unexpected(&next, &["integer"]));
        }
        next.text.parse().map_err(|_| {
            let message = format!(
                "strconv.ParseUint: parsing \"{}\": value out of range",
                next.text
            );
            ParseError::at(next.position, message)
        })
    }

    /// Enters one level of nesting.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(ParseError::message(format!(
                "the query nests deeper than {NESTING_MAX} levels"
            )));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }
}
