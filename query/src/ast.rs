//! InfluxQL as a tree. `Display` prints it back as InfluxDB's `String()` does (see `print.rs`).

use std::sync::Arc;

use plimsoll_engine::Timestamp;

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SELECT.
    Select(Box<Select>),
    /// `EXPLAIN [ANALYZE] [VERBOSE] SELECT`
    Explain {
        /// What is explained.
        select: Box<Select>,
        /// ANALYZE: run it, too.
        analyze: bool,
        /// VERBOSE.
        verbose: bool,
    },
    /// CREATE DATABASE.
    CreateDatabase {
        /// Its name.
        name: String,
        /// What stands behind WITH.
        policy: Option<PolicyTerms>,
    },
    /// DROP DATABASE.
    DropDatabase {
        /// Its name.
        name: String,
    },
    /// CREATE RETENTION POLICY.
    CreateRetentionPolicy {
        /// Its name.
        name: String,
        /// ON.
        database: String,
        /// Duration, replication and the rest.
        terms: PolicyTerms,
        /// DEFAULT.
        default: bool,
    },
    /// ALTER RETENTION POLICY.
    AlterRetentionPolicy {
        /// Its name.
        name: String,
        /// ON.
        database: String,
        /// What changes.
        terms: PolicyTerms,
        /// DEFAULT.
        default: bool,
    },
    /// DROP RETENTION POLICY.
    DropRetentionPolicy {
        /// Its name.
        name: String,
        /// ON.
        database: String,
    },
    /// CREATE CONTINUOUS QUERY.
    CreateContinuousQuery {
        /// Its name.
        name: String,
        /// ON.
        database: String,
        /// RESAMPLE EVERY, ns.
        resample_every: Option<i64>,
        /// RESAMPLE FOR, ns.
        resample_for: Option<i64>,
        /// BEGIN … END.
        select: Box<Select>,
    },
    /// DROP CONTINUOUS QUERY.
    DropContinuousQuery {
        /// Its name.
        name: String,
        /// ON.
        database: String,
    },
    /// CREATE SUBSCRIPTION.
    CreateSubscription {
        /// Its name.
        name: String,
        /// ON, first part.
        database: String,
        /// ON, second part.
        policy: String,
        /// ALL or ANY.
        mode: String,
        /// Where points go.
        destinations: Vec<String>,
    },
    /// DROP SUBSCRIPTION.
    DropSubscription {
        /// Its name.
        name: String,
        /// ON, first part.
        database: String,
        /// ON, second part.
        policy: String,
    },
    /// CREATE USER.
    CreateUser {
        /// Its name.
        name: String,
        /// In clear; never printed.
        password: Secret,
        /// WITH ALL PRIVILEGES.
        admin: bool,
    },
    /// DROP USER.
    DropUser {
        /// Its name.
        name: String,
    },
    /// SET PASSWORD FOR.
    SetPassword {
        /// The user.
        name: String,
        /// In clear; never printed.
        password: Secret,
    },
    /// GRANT … ON … TO.
    Grant {
        /// What is granted.
        privilege: Privilege,
        /// ON; none for admin rights.
        database: Option<String>,
        /// TO.
        user: String,
    },
    /// REVOKE … ON … FROM.
    Revoke {
        /// What is revoked.
        privilege: Privilege,
        /// ON; none for admin rights.
        database: Option<String>,
        /// FROM.
        user: String,
    },
    /// DELETE.
    Delete {
        /// FROM; may be empty.
        sources: Vec<Source>,
        /// WHERE.
        condition: Option<Expr>,
    },
    /// DROP SERIES.
    DropSeries {
        /// FROM; may be empty.
        sources: Vec<Source>,
        /// WHERE.
        condition: Option<Expr>,
    },
    /// DROP MEASUREMENT.
    DropMeasurement {
        /// Its name.
        name: String,
    },
    /// DROP SHARD.
    DropShard {
        /// Its number.
        id: u64,
    },
    /// KILL QUERY.
    KillQuery {
        /// Its number.
        id: u64,
        /// ON.
        host: Option<String>,
    },
    /// SHOW DATABASES.
    ShowDatabases,
    /// SHOW RETENTION POLICIES.
    ShowRetentionPolicies {
        /// ON.
        database: Option<String>,
    },
    /// SHOW MEASUREMENTS.
    ShowMeasurements(Show),
    /// SHOW SERIES.
    ShowSeries(Show),
    /// SHOW TAG KEYS.
    ShowTagKeys(Show),
    /// SHOW TAG VALUES.
    ShowTagValues(Show),
    /// SHOW FIELD KEYS.
    ShowFieldKeys(Show),
    /// SHOW … CARDINALITY.
    ShowCardinality {
        /// Of what.
        of: Cardinality,
        /// EXACT.
        exact: bool,
        /// The clauses.
        show: Show,
    },
    /// SHOW USERS.
    ShowUsers,
    /// SHOW GRANTS FOR.
    ShowGrants {
        /// The user.
        user: String,
    },
    /// SHOW QUERIES.
    ShowQueries,
    /// SHOW SHARDS.
    ShowShards,
    /// SHOW SHARD GROUPS.
    ShowShardGroups,
    /// SHOW STATS.
    ShowStats {
        /// FOR.
        module: Option<String>,
    },
    /// SHOW DIAGNOSTICS.
    ShowDiagnostics {
        /// FOR.
        module: Option<String>,
    },
    /// SHOW SUBSCRIPTIONS.
    ShowSubscriptions,
    /// SHOW CONTINUOUS QUERIES.
    ShowContinuousQueries,
}

/// Text that is never shown: `Debug` and `Display` print `[REDACTED]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// What GRANT and REVOKE speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// READ.
    Read,
    /// WRITE.
    Write,
    /// `ALL [PRIVILEGES]`
    All,
}

/// Terms of a retention policy; durations in ns, 0 is INF.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyTerms {
    /// NAME, in CREATE DATABASE.
    pub name: Option<String>,
    /// DURATION.
    pub duration: Option<i64>,
    /// REPLICATION.
    pub replication: Option<u32>,
    /// SHARD DURATION.
    pub shard_duration: Option<i64>,
    /// FUTURE LIMIT.
    pub future_limit: Option<i64>,
    /// PAST LIMIT.
    pub past_limit: Option<i64>,
}

/// What a cardinality is counted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// SHOW SERIES CARDINALITY.
    Series,
    /// SHOW MEASUREMENT CARDINALITY.
    Measurement,
    /// SHOW TAG KEY CARDINALITY.
    TagKey,
    /// SHOW TAG VALUES CARDINALITY.
    TagValues,
    /// SHOW FIELD KEY CARDINALITY.
    FieldKey,
}

/// The clauses that the SHOW statements share; each uses some.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Show {
    /// ON.
    pub database: Option<String>,
    /// ON db.rp, in SHOW MEASUREMENTS (1.10 on).
    pub policy: Option<String>,
    /// `ON *` and `ON *.*` of SHOW MEASUREMENTS: all databases, all policies.
    pub wildcard: ShowWildcard,
    /// FROM.
    pub sources: Vec<Source>,
    /// WITH MEASUREMENT.
    pub measurement: Option<MeasurementFilter>,
    /// WITH KEY.
    pub key: Option<KeyFilter>,
    /// WHERE.
    pub condition: Option<Expr>,
    /// GROUP BY, in the cardinality forms.
    pub dimensions: Vec<Dimension>,
    /// ORDER BY, where 1.x parses it.
    pub sort: Vec<SortField>,
    /// LIMIT, 0 for none.
    pub limit: u64,
    /// OFFSET.
    pub offset: u64,
    /// SLIMIT, 0 for none.
    pub slimit: u64,
    /// SOFFSET.
    pub soffset: u64,
}

/// Whether `ON` of SHOW MEASUREMENTS names everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShowWildcard {
    /// It names a database, or is not there.
    #[default]
    None,
    /// `ON db.*`
    Policies,
    /// `ON *.*`
    Everything,
}

/// WITH MEASUREMENT of SHOW MEASUREMENTS.
#[derive(Debug, Clone, PartialEq)]
pub enum MeasurementFilter {
    /// `= name`
    Equals(Measurement),
    /// `=~ /regex/`
    Matches(Measurement),
}

/// WITH KEY of SHOW TAG VALUES and SHOW TAG KEYS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFilter {
    /// `= key`
    Equals(String),
    /// `!= key`
    NotEquals(String),
    /// `=~ /regex/`
    Matches(Regex),
    /// `!~ /regex/`
    NotMatches(Regex),
    /// `IN (key, …)`
    In(Vec<String>),
}

/// A regular expression in Go's syntax, as written between the slashes, `\/` unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regex(pub Arc<str>);

/// SELECT.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Select {
    /// The columns.
    pub fields: Vec<Field>,
    /// INTO.
    pub target: Option<Measurement>,
    /// FROM.
    pub sources: Vec<Source>,
    /// WHERE.
    pub condition: Option<Expr>,
    /// GROUP BY.
    pub dimensions: Vec<Dimension>,
    /// fill().
    pub fill: Fill,
    /// ORDER BY; only `time` may stand there.
    pub sort: Vec<SortField>,
    /// LIMIT, 0 for none.
    pub limit: u64,
    /// OFFSET.
    pub offset: u64,
    /// SLIMIT, 0 for none.
    pub slimit: u64,
    /// SOFFSET.
    pub soffset: u64,
    /// tz('…').
    pub timezone: Option<String>,
}

impl Select {
    /// Whether rows come from the earliest on.
    #[must_use]
    pub fn is_ascending(&self) -> bool {
        self.sort.first().is_none_or(|field| field.ascending)
    }
}

/// ORDER BY's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortField {
    /// `time`, or empty.
    pub name: String,
    /// ASC or nothing; else DESC.
    pub ascending: bool,
}

/// fill().
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Fill {
    /// Nothing was written: as `Null`; count() fills with 0.
    #[default]
    Default,
    /// fill(null).
    Null,
    /// fill(none).
    None,
    /// fill(previous).
    Previous,
    /// fill(linear).
    Linear,
    /// fill(7.5).
    Number(FillNumber),
}

/// The number of a fill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FillNumber {
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
}

/// One column of a SELECT.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What it is.
    pub expr: Expr,
    /// AS.
    pub alias: Option<String>,
}

/// One part of GROUP BY: a tag, a regex, `*`, or time(…).
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// What it is.
    pub expr: Expr,
}

/// One part of FROM.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A measurement or a regex of them.
    Measurement(Measurement),
    /// A subquery.
    Subquery(Box<Select>),
}

/// `"db"."rp"."name"`, or with a regex for the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Empty: the request's.
    pub database: String,
    /// Empty: the database's default.
    pub policy: String,
    /// Which.
    pub name: MeasurementName,
}

/// Which measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeasurementName {
    /// One.
    Name(String),
    /// All that match.
    Regex(Regex),
    /// `:MEASUREMENT` in INTO: the one that is read.
    BackReference,
}

impl Default for MeasurementName {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `left op right`
    Binary {
        /// The operator.
        op: Operator,
        /// Its left side.
        left: Box<Expr>,
        /// Its right side.
        right: Box<Expr>,
    },
    /// `( … )`
    Paren(Box<Expr>),
    /// A function call.
    Call(Call),
    /// A field or tag.
    Reference(Reference),
    /// `*`, `*::field`, `*::tag`
    Wildcard(WildcardKind),
    /// `/…/`
    Regex(Regex),
    /// `1.5`
    Number(f64),
    /// `15`
    Integer(i64),
    /// `18446744073709551615`
    Unsigned(u64),
    /// `'text'`
    String(String),
    /// `true`
    Boolean(bool),
    /// `15m`, ns
    Duration(i64),
    /// A time that came of constant folding.
    Time(Timestamp),
    /// Nothing: what a fold of nonsense gives.
    Nil,
    /// `$name`, not bound yet.
    BoundParameter(String),
    /// `("a", "b")`
    List(Vec<String>),
    /// DISTINCT name
    Distinct(String),
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// In lower case.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Expr>,
}

/// A name, with its cast.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// `::type`
    pub cast: Option<Cast>,
}

/// `::type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cast {
    /// `::float`
    Float,
    /// `::integer`
    Integer,
    /// `::unsigned`
    Unsigned,
    /// `::string`
    String,
    /// `::boolean`
    Boolean,
    /// `::tag`
    Tag,
    /// `::field`
    Field,
}

/// What `*` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WildcardKind {
    /// `*`
    All,
    /// `*::field`
    Fields,
    /// `*::tag`
    Tags,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// AND
    And,
    /// OR
    Or,
    /// `=`
    Equal,
    /// `!=`, `<>`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Operator {
    /// How tightly it binds: OR 1, AND 2, comparisons 3, `+ - | ^` 4, `* / % &` 5.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Matches
            | Self::NotMatches
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual => 3,
            Self::Add | Self::Subtract | Self::BitOr | Self::BitXor => 4,
            Self::Multiply | Self::Divide | Self::Modulo | Self::BitAnd => 5,
        }
    }
}
