//! Text to tokens, with InfluxDB's positions.
//!
//! Positions count characters from 0; an error prints them from 1. A string's position is that of
//! the character before it, as in InfluxDB, whose error texts are part of the contract.

use crate::ast::Operator;
use crate::token::{Token, lookup};

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) character: usize,
}

/// A token with its place and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) position: Position,
    pub(crate) text: String,
}

impl Lexeme {
    /// How an error names it.
    pub(crate) fn found(&self) -> String {
        if self.text.is_empty() {
            self.token.name().to_owned()
        } else {
            self.text.clone()
        }
    }
}

/// Reads tokens one by one.
#[derive(Debug)]
pub(crate) struct Lexer {
    /// `\r\n` and `\r` are `\n` already.
    characters: Vec<char>,
    /// Where each line begins.
    lines: Vec<usize>,
    at: usize,
    /// Whether the end was met: InfluxDB counts it as a character once.
    met_end: bool,
}

/// What stands behind the end.
const END: char = '\0';

impl Lexer {
    pub(crate) fn new(text: &str) -> Self {
        let mut characters = Vec::with_capacity(text.len());
        let mut lines = vec![0];
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            if character == '\r' {
                rest.next_if_eq(&'\n');
            }
            if matches!(character, '\r' | '\n') {
                characters.push('\n');
                lines.push(characters.len());
            } else {
                characters.push(character);
            }
        }
        Self {
            characters,
            lines,
            at: 0,
            met_end: false,
        }
    }

    /// The next character, [`END`] behind the last.
    pub(crate) fn peek(&self) -> char {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> char {
        self.characters.get(self.at + ahead).copied().unwrap_or(END)
    }

    fn position_at(&self, at: usize) -> Position {
        let at = at.min(self.characters.len());
        let line = self.lines.partition_point(|start| *start <= at) - 1;
        Position {
            line,
            character: at - self.lines[line],
        }
    }

    fn is_end(&self) -> bool {
        self.at >= self.characters.len()
    }

    fn lexeme(&self, token: Token, start: usize, text: impl Into<String>) -> Lexeme {
        Lexeme {
            token,
            position: self.position_at(start),
            text: text.into(),
        }
    }

    /// The next token, white space and comments among them.
    pub(crate) fn scan(&mut self) -> Lexeme {
        let start = self.at;
        let first = self.peek();
        if self.is_end() || first == END {
            let mut position = self.position_at(start);
            position.character += usize::from(self.met_end);
            self.met_end = true;
            return Lexeme {
                token: Token::Eof,
                position,
                text: String::new(),
            };
        }
        match first {
            ' ' | '\t' | '\n' => {
                let text = self.take_while(|c| matches!(c, ' ' | '\t' | '\n'));
                self.met_end |= self.is_end();
                return self.lexeme(Token::Space, start, text);
            }
            'a'..='z' | 'A'..='Z' | '_' | '"' => return self.identifier(Lookup::Keywords),
            '0'..='9' => return self.number(),
            '\'' => return self.string(),
            '.' if self.peek_at(1).is_ascii_digit() => return self.number(),
            '$' => return self.parameter(),
            '-' if self.peek_at(1) == '-' => {
                self.take_while(|c| c != '\n');
                self.met_end |= self.is_end();
                self.at += 1;
                return self.lexeme(Token::Comment, start, "");
            }
            '/' if self.peek_at(1) == '*' => return self.block_comment(),
            _ => {}
        }
        let (token, len) = self.punctuation(first);
        self.at += len;
        let text = if token == Token::Illegal {
            first.to_string()
        } else {
            String::new()
        };
        self.lexeme(token, start, text)
    }

    fn punctuation(&self, first: char) -> (Token, usize) {
        let operator = |operator, len| (Token::Operator(operator), len);
        match (first, self.peek_at(1)) {
            ('.', _) => (Token::Dot, 1),
            ('+', _) => operator(Operator::Add, 1),
            ('-', _) => operator(Operator::Subtract, 1),
            ('*', _) => operator(Operator::Multiply, 1),
            ('/', _) => operator(Operator::Divide, 1),
            ('%', _) => operator(Operator::Modulo, 1),
            ('&', _) => operator(Operator::BitAnd, 1),
            ('|', _) => operator(Operator::BitOr, 1),
            ('^', _) => operator(Operator::BitXor, 1),
            ('=', '~') => operator(Operator::Matches, 2),
            ('=', _) => operator(Operator::Equal, 1),
            ('!', '=') | ('<', '>') => operator(Operator::NotEqual, 2),
            ('!', '~') => operator(Operator::NotMatches, 2),
            ('>', '=') => operator(Operator::GreaterOrEqual, 2),
            ('>', _) => operator(Operator::Greater, 1),
            ('<', '=') => operator(Operator::LessOrEqual, 2),
            ('<', _) => operator(Operator::Less, 1),
            ('(', _) => (Token::OpenParen, 1),
            (')', _) => (Token::CloseParen, 1),
            (',', _) => (Token::Comma, 1),
            (';', _) => (Token::Semicolon, 1),
            (':', ':') => (Token::DoubleColon, 2),
            (':', _) => (Token::Colon, 1),
            _ => (Token::Illegal, 1),
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while !self.is_end() && keep(self.peek()) {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn block_comment(&mut self) -> Lexeme {
        let start = self.at;
        self.at += 2;
        while !self.is_end() {
            if self.peek() == '*' && self.peek_at(1) == '/' {
                self.at += 2;
                return self.lexeme(Token::Comment, start, "");
            }
            self.at += 1;
        }
        self.lexeme(Token::Illegal, start, "")
    }

    fn parameter(&mut self) -> Lexeme {
        let start = self.at;
        self.at += 1;
        let inner = self.identifier(Lookup::Names);
        let token = if inner.token == Token::Identifier {
            Token::BoundParameter
        } else {
            inner.token
        };
        self.lexeme(token, start, format!("${}", inner.text))
    }

    fn identifier(&mut self, lookup_in: Lookup) -> Lexeme {
        let start = self.at;
        let mut word = String::new();
        loop {
            let next = self.peek();
            if next == '"' && !self.is_end() {
                let quoted = self.string();
                return match quoted.token {
                    Token::String => self.lexeme(Token::Identifier, start, quoted.text),
                    _ => quoted,
                };
            }
            if !is_word(next) {
                self.met_end |= self.is_end();
                break;
            }
            word.push_str(&self.take_while(is_word));
        }
        if lookup_in == Lookup::Keywords {
            let token = lookup(&word);
            if token != Token::Identifier {
                return self.lexeme(token, start, "");
            }
        }
        self.lexeme(Token::Identifier, start, word)
    }

    /// A quoted string, from its opening quote on.
    fn string(&mut self) -> Lexeme {
        let position = self.position_at(self.at.saturating_sub(1));
        let ending = self.peek();
        self.at += 1;
        let mut text = String::new();
        loop {
            let character = self.peek();
            if self.is_end() {
                return Lexeme {
                    token: Token::BadString,
                    position,
                    text,
                };
            }
            self.at += 1;
            match character {
                c if c == ending => {
                    return Lexeme {
                        token: Token::String,
                        position,
                        text,
                    };
                }
                '\n' => {
                    return Lexeme {
                        token: Token::BadString,
                        position,
                        text,
                    };
                }
                '\\' => {
                    let escaped = self.peek();
                    let bad = self.position_at(self.at);
                    self.at += 1;
                    match escaped {
                        'n' => text.push('\n'),
                        '\\' | '"' | '\'' => text.push(escaped),
                        _ => {
                            let text = format!("\\{escaped}");
                            return Lexeme {
                                token: Token::BadEscape,
                                position: bad,
                                text,
                            };
                        }
                    }
                }
                _ => text.push(character),
            }
        }
    }

    /// A regular expression, from its opening slash on; `\/` is a slash, other escapes stay.
    pub(crate) fn scan_regex(&mut self) -> Lexeme {
        let position = self.position_at(self.at.saturating_sub(1));
        let bad = |text| Lexeme {
            token: Token::BadRegex,
            position,
            text,
        };
        if self.peek() != '/' {
            return bad(String::new());
        }
        self.at += 1;
        let mut text = String::new();
        loop {
            let character = self.peek();
            if self.is_end() || character == '\n' {
                return bad(String::new());
            }
            self.at += 1;
            match character {
                '/' => {
                    return Lexeme {
                        token: Token::Regex,
                        position,
                        text,
                    };
                }
                '\\' if self.peek() == '/' => {
                    self.at += 1;
                    text.push('/');
                }
                _ => text.push(character),
            }
        }
    }

    fn number(&mut self) -> Lexeme {
        let start = self.at;
        let mut text = self.take_while(|c| c.is_ascii_digit());
        if self.peek() == '.' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                text.push('.');
                text.push_str(&self.take_while(|c| c.is_ascii_digit()));
            }
            return self.lexeme(Token::Number, start, text);
        }
        if is_unit(self.peek()) {
            text.push_str(&self.take_while(|c| is_unit(c) || c.is_ascii_digit()));
            return self.lexeme(Token::Duration, start, text);
        }
        self.lexeme(Token::Integer, start, text)
    }
}

/// Whether a bare word may be a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    Keywords,
    Names,
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_unit(c: char) -> bool {
    c.is_ascii_alphabetic() || c == 'µ'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(Token, String)> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            let next = lexer.scan();
            if next.token == Token::Eof {
                return tokens;
            }
            if next.token != Token::Space {
                tokens.push((next.token, next.text));
            }
        }
    }

    #[test]
    fn numbers_durations_and_names_are_told_apart() {
        let expected = [
            (Token::Integer, "10"),
            (Token::Number, "1.5"),
            (Token::Number, ".5"),
            (Token::Duration, "1h30m"),
            (Token::Duration, "5µ"),
            (Token::Identifier, "cpu"),
            (Token::Identifier, "a b\""),
            (Token::String, "it's"),
        ];
        let got = tokens(r#"10 1.5 .5 1h30m 5µ cpu "a b\"" 'it\'s'"#);
        assert_eq!(got, expected.map(|(token, text)| (token, text.to_owned())));
    }

    #[test]
    fn an_escape_that_is_none_and_an_open_string_are_bad() {
        assert_eq!(tokens(r"'a\q'")[0], (Token::BadEscape, r"\q".to_owned()));
        assert_eq!(tokens("'abc")[0], (Token::BadString, "abc".to_owned()));
    }

    #[test]
    fn positions_count_characters_and_lines() {
        let mut lexer = Lexer::new("é\r\n x");
        let places: Vec<_> = (0..4).map(|_| lexer.scan().position).collect();
        assert_eq!(
            places[2],
            Position {
                line: 1,
                character: 1
            }
        );
        assert_eq!(
            places[3],
            Position {
                line: 1,
                character: 3
            }
        );
    }
}
