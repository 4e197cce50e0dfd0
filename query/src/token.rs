//! Tokens and keywords.

use crate::ast::Operator;

/// One token's kind; its text, where it has one, stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Illegal,
    Eof,
    Space,
    Comment,
    Identifier,
    BoundParameter,
    Number,
    Integer,
    Duration,
    String,
    BadString,
    BadEscape,
    True,
    False,
    Regex,
    BadRegex,
    Operator(Operator),
    OpenParen,
    CloseParen,
    Comma,
    Colon,
    DoubleColon,
    Semicolon,
    Dot,
    Keyword(Keyword),
}

impl Token {
    /// How an error names it where it has no text.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Illegal => "ILLEGAL",
            Self::Eof => "EOF",
            Self::Space => "WS",
            Self::Comment => "COMMENT",
            Self::Identifier => "IDENT",
            Self::BoundParameter => "BOUNDPARAM",
            Self::Number => "NUMBER",
            Self::Integer => "INTEGER",
            Self::Duration => "DURATIONVAL",
            Self::String => "STRING",
            Self::BadString => "BADSTRING",
            Self::BadEscape => "BADESCAPE",
            Self::True => "TRUE",
            Self::False => "FALSE",
            Self::Regex => "REGEX",
            Self::BadRegex => "BADREGEX",
            Self::Operator(operator) => operator.symbol(),
            Self::OpenParen => "(",
            Self::CloseParen => ")",
            Self::Comma => ",",
            Self::Colon => ":",
            Self::DoubleColon => "::",
            Self::Semicolon => ";",
            Self::Dot => ".",
            Self::Keyword(keyword) => keyword.name(),
        }
    }
}

impl Operator {
    /// As it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::BitAnd => "&",
            Self::BitOr => "|",
            Self::BitXor => "^",
            Self::And => "AND",
            Self::Or => "OR",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

macro_rules! keywords {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A reserved word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Keyword {
            $($variant),*
        }

        impl Keyword {
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

keywords! {
    All "ALL", Alter "ALTER", Analyze "ANALYZE", Any "ANY", As "AS", Asc "ASC", Begin "BEGIN",
    By "BY", Cardinality "CARDINALITY", Create "CREATE", Continuous "CONTINUOUS",
    Database "DATABASE", Databases "DATABASES", Default "DEFAULT", Delete "DELETE", Desc "DESC",
    Destinations "DESTINATIONS", Diagnostics "DIAGNOSTICS", Distinct "DISTINCT", Drop "DROP",
    Duration "DURATION", End "END", Every "EVERY", Exact "EXACT", Explain "EXPLAIN",
    Field "FIELD", For "FOR", From "FROM", Future "FUTURE", Grant "GRANT", Grants "GRANTS",
    Group "GROUP", Groups "GROUPS", In "IN", Inf "INF", Insert "INSERT", Into "INTO", Key "KEY",
    Keys "KEYS", Kill "KILL", Limit "LIMIT", Measurement "MEASUREMENT",
    Measurements "MEASUREMENTS", Name "NAME", Offset "OFFSET", On "ON", Order "ORDER",
    Password "PASSWORD", Past "PAST", Policy "POLICY", Policies "POLICIES",
    Privileges "PRIVILEGES", Queries "QUERIES", Query "QUERY", Read "READ",
    Replication "REPLICATION", Resample "RESAMPLE", Retention "RETENTION", Revoke "REVOKE",
    Select "SELECT", Series "SERIES", Set "SET", Show "SHOW", Shard "SHARD", Shards "SHARDS",
    Slimit "SLIMIT", Soffset "SOFFSET", Stats "STATS", Subscription "SUBSCRIPTION",
    Subscriptions "SUBSCRIPTIONS", Tag "TAG", To "TO", User "USER", Users "USERS",
    Values "VALUES", Verbose "VERBOSE", Where "WHERE", With "WITH", Write "WRITE",
}

/// The token of a bare word.
pub(crate) fn lookup(word: &str) -> Token {
    match word.to_ascii_uppercase().as_str() {
        "AND" => Token::Operator(Operator::And),
        "OR" => Token::Operator(Operator::Or),
        "TRUE" => Token::True,
        "FALSE" => Token::False,
        upper => Keyword::ALL
            .iter()
            .find(|keyword| keyword.name() == upper)
            .map_or(Token::Identifier, |keyword| Token::Keyword(*keyword)),
    }
}
