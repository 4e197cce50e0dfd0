//! Statements and their clauses.

use std::fmt;

use crate::ast::{
    Cardinality, Dimension, Field, Fill, FillNumber, KeyFilter, Measurement, MeasurementFilter,
    MeasurementName, PolicyTerms, Privilege, Select, Show, ShowWildcard, SortField, Source,
    Statement,
};
use crate::parser::format_duration;

use super::{join, quote_identifier, quote_string};

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.database.is_empty() {
            write!(f, "{}.", quote_identifier(&self.database))?;
        }
        if !self.policy.is_empty() {
            f.write_str(&quote_identifier(&self.policy))?;
        }
        if !self.database.is_empty() || !self.policy.is_empty() {
            f.write_str(".")?;
        }
        match &self.name {
            MeasurementName::Name(name) => f.write_str(&quote_identifier(name)),
            MeasurementName::Regex(regex) => write!(f, "{regex}"),
            MeasurementName::BackReference => f.write_str(":MEASUREMENT"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement(measurement) => write!(f, "{measurement}"),
            Self::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{} AS {}", self.expr, quote_identifier(alias)),
            None => write!(f, "{}", self.expr),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl fmt::Display for SortField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{} ", quote_identifier(&self.name))?;
        }
        f.write_str(if self.ascending { "ASC" } else { "DESC" })
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        join(f, &self.fields, ", ")?;
        if let Some(target) = &self.target {
            write!(f, " INTO {target}")?;
        }
        if !self.sources.is_empty() {
            f.write_str(" FROM ")?;
            join(f, &self.sources, ", ")?;
        }
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        dimensions(f, &self.dimensions)?;
        match self.fill {
            Fill::Default => {}
            Fill::Null => f.write_str(" fill(null)")?,
            Fill::None => f.write_str(" fill(none)")?,
            Fill::Previous => f.write_str(" fill(previous)")?,
            Fill::Linear => f.write_str(" fill(linear)")?,
            Fill::Number(FillNumber::Integer(number)) => write!(f, " fill({number})")?,
            Fill::Number(FillNumber::Float(number)) => {
                write!(f, " fill({})", crate::ast::Expr::Number(number))?;
            }
        }
        sort(f, &self.sort)?;
        count(f, "LIMIT", self.limit)?;
        count(f, "OFFSET", self.offset)?;
        count(f, "SLIMIT", self.slimit)?;
        count(f, "SOFFSET", self.soffset)?;
        match &self.timezone {
            Some(name) => write!(f, " TZ({})", quote_string(name)),
            None => Ok(()),
        }
    }
}

fn dimensions(f: &mut fmt::Formatter<'_>, dimensions: &[Dimension]) -> fmt::Result {
    if !dimensions.is_empty() {
        f.write_str(" GROUP BY ")?;
        join(f, dimensions, ", ")?;
    }
    Ok(())
}

fn sort(f: &mut fmt::Formatter<'_>, fields: &[SortField]) -> fmt::Result {
    if !fields.is_empty() {
        f.write_str(" ORDER BY ")?;
        join(f, fields, ", ")?;
    }
    Ok(())
}

fn count(f: &mut fmt::Formatter<'_>, keyword: &str, count: u64) -> fmt::Result {
    if count > 0 {
        write!(f, " {keyword} {count}")
    } else {
        Ok(())
    }
}

impl fmt::Display for Show {
    /// The clauses from ON to SOFFSET.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.wildcard, &self.database, &self.policy) {
            (ShowWildcard::Everything, _, _) => f.write_str(" ON *.*")?,
            (ShowWildcard::Policies, Some(database), _) => {
                write!(f, " ON {}.*", quote_identifier(database))?;
            }
            (_, Some(database), Some(policy)) => {
                write!(
                    f,
                    " ON {}.{}",
                    quote_identifier(database),
                    quote_identifier(policy)
                )?;
            }
            (_, Some(database), None) => write!(f, " ON {}", quote_identifier(database))?,
            _ => {}
        }
        if !self.sources.is_empty() {
            f.write_str(" FROM ")?;
            join(f, &self.sources, ", ")?;
        }
        match &self.measurement {
            Some(MeasurementFilter::Equals(name)) => write!(f, " WITH MEASUREMENT = {name}")?,
            Some(MeasurementFilter::Matches(regex)) => write!(f, " WITH MEASUREMENT =~ {regex}")?,
            None => {}
        }
        match &self.key {
            Some(KeyFilter::Equals(key)) => write!(f, " WITH KEY = {}", quote_identifier(key))?,
            Some(KeyFilter::NotEquals(key)) => {
                write!(f, " WITH KEY != {}", quote_identifier(key))?;
            }
            Some(KeyFilter::Matches(regex)) => write!(f, " WITH KEY =~ {regex}")?,
            Some(KeyFilter::NotMatches(regex)) => write!(f, " WITH KEY !~ {regex}")?,
            Some(KeyFilter::In(keys)) => {
                f.write_str(" WITH KEY IN (")?;
                join(f, keys.iter().map(|key| quote_identifier(key)), ", ")?;
                f.write_str(")")?;
            }
            None => {}
        }
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        dimensions(f, &self.dimensions)?;
        sort(f, &self.sort)?;
        count(f, "LIMIT", self.limit)?;
        count(f, "OFFSET", self.offset)?;
        count(f, "SLIMIT", self.slimit)?;
        count(f, "SOFFSET", self.soffset)
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::All => "ALL PRIVILEGES",
        })
    }
}

fn terms(f: &mut fmt::Formatter<'_>, terms: &PolicyTerms, default: bool) -> fmt::Result {
    if let Some(ns) = terms.duration {
        write!(f, " DURATION {}", infinite(ns))?;
    }
    if let Some(copies) = terms.replication {
        write!(f, " REPLICATION {copies}")?;
    }
    if let Some(ns) = terms.shard_duration {
        write!(f, " SHARD DURATION {}", format_duration(ns))?;
    }
    if default {
        f.write_str(" DEFAULT")?;
    }
    if let Some(ns) = terms.future_limit {
        write!(f, " FUTURE LIMIT {}", infinite(ns))?;
    }
    if let Some(ns) = terms.past_limit {
        write!(f, " PAST LIMIT {}", infinite(ns))?;
    }
    match &terms.name {
        Some(name) => write!(f, " NAME {}", quote_identifier(name)),
        None => Ok(()),
    }
}

fn infinite(ns: i64) -> String {
    if ns == 0 {
        "INF".to_owned()
    } else {
        format_duration(ns)
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &str| quote_identifier(name);
        match self {
            Self::Select(select) => write!(f, "{select}"),
            Self::Explain {
                select,
                analyze,
                verbose,
            } => {
                f.write_str("EXPLAIN ")?;
                f.write_str(if *analyze { "ANALYZE " } else { "" })?;
                f.write_str(if *verbose { "VERBOSE " } else { "" })?;
                write!(f, "{select}")
            }
            Self::CreateDatabase {
                name: database,
                policy,
            } => {
                write!(f, "CREATE DATABASE {}", name(database))?;
                match policy {
                    Some(policy) => {
                        f.write_str(" WITH")?;
                        terms(f, policy, false)
                    }
                    None => Ok(()),
                }
            }
            Self::DropDatabase { name: database } => write!(f, "DROP DATABASE {}", name(database)),
            Self::CreateRetentionPolicy {
                name: policy,
                database,
                terms: t,
                default,
            } => {
                write!(
                    f,
                    "CREATE RETENTION POLICY {} ON {}",
                    name(policy),
                    name(database)
                )?;
                terms(f, t, *default)
            }
            Self::AlterRetentionPolicy {
                name: policy,
                database,
                terms: t,
                default,
            } => {
                write!(
                    f,
                    "ALTER RETENTION POLICY {} ON {}",
                    name(policy),
                    name(database)
                )?;
                terms(f, t, *default)
            }
            Self::DropRetentionPolicy {
                name: policy,
                database,
            } => {
                write!(
                    f,
                    "DROP RETENTION POLICY {} ON {}",
                    name(policy),
                    name(database)
                )
            }
            Self::CreateContinuousQuery {
                name: query,
                database,
                resample_every,
                resample_for,
                select,
            } => {
                write!(
                    f,
                    "CREATE CONTINUOUS QUERY {} ON {} ",
                    name(query),
                    name(database)
                )?;
                if resample_every.is_some() || resample_for.is_some() {
                    f.write_str("RESAMPLE ")?;
                }
                if let Some(ns) = resample_every {
                    write!(f, "EVERY {} ", format_duration(*ns))?;
                }
                if let Some(ns) = resample_for {
                    write!(f, "FOR {} ", format_duration(*ns))?;
                }
                write!(f, "BEGIN {select} END")
            }
            Self::DropContinuousQuery {
                name: query,
                database,
            } => {
                write!(
                    f,
                    "DROP CONTINUOUS QUERY {} ON {}",
                    name(query),
                    name(database)
                )
            }
            Self::CreateSubscription {
                name: subscription,
                database,
                policy,
                mode,
                destinations,
            } => {
                write!(
                    f,
                    "CREATE SUBSCRIPTION {} ON {}.{} ",
                    name(subscription),
                    name(database),
                    name(policy)
                )?;
                write!(f, "DESTINATIONS {mode} ")?;
                join(f, destinations.iter().map(|text| quote_string(text)), ", ")
            }
            Self::DropSubscription {
                name: subscription,
                database,
                policy,
            } => {
                write!(
                    f,
                    "DROP SUBSCRIPTION {} ON {}.{}",
                    name(subscription),
                    name(database),
                    name(policy)
                )
            }
            Self::CreateUser {
                name: user, admin, ..
            } => {
                write!(f, "CREATE USER {} WITH PASSWORD [REDACTED]", name(user))?;
                f.write_str(if *admin { " WITH ALL PRIVILEGES" } else { "" })
            }
            Self::DropUser { name: user } => write!(f, "DROP USER {}", name(user)),
            Self::SetPassword { name: user, .. } => {
                write!(f, "SET PASSWORD FOR {} = [REDACTED]", name(user))
            }
            Self::Grant {
                privilege,
                database,
                user,
            } => {
                write!(f, "GRANT {privilege}")?;
                on(f, database.as_deref())?;
                write!(f, " TO {}", name(user))
            }
            Self::Revoke {
                privilege,
                database,
                user,
            } => {
                write!(f, "REVOKE {privilege}")?;
                on(f, database.as_deref())?;
                write!(f, " FROM {}", name(user))
            }
            Self::Delete { sources, condition } => doomed(f, "DELETE", sources, condition.as_ref()),
            Self::DropSeries { sources, condition } => {
                doomed(f, "DROP SERIES", sources, condition.as_ref())
            }
            Self::DropMeasurement { name: measurement } => {
                write!(f, "DROP MEASUREMENT {}", name(measurement))
            }
            Self::DropShard { id } => write!(f, "DROP SHARD {id}"),
            Self::KillQuery { id, host } => {
                write!(f, "KILL QUERY {id}")?;
                on(f, host.as_deref())
            }
            Self::ShowDatabases => f.write_str("SHOW DATABASES"),
            Self::ShowRetentionPolicies { database } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                on(f, database.as_deref())
            }
            Self::ShowMeasurements(show) => write!(f, "SHOW MEASUREMENTS{show}"),
            Self::ShowSeries(show) => write!(f, "SHOW SERIES{show}"),
            Self::ShowTagKeys(show) => write!(f, "SHOW TAG KEYS{show}"),
            Self::ShowTagValues(show) => write!(f, "SHOW TAG VALUES{show}"),
            Self::ShowFieldKeys(show) => write!(f, "SHOW FIELD KEYS{show}"),
            Self::ShowCardinality { of, exact, show } => {
                let of = match of {
                    Cardinality::Series => "SERIES",
                    Cardinality::Measurement => "MEASUREMENT",
                    Cardinality::TagKey => "TAG KEY",
                    Cardinality::TagValues => "TAG VALUES",
                    Cardinality::FieldKey => "FIELD KEY",
                };
                let exact = if *exact { " EXACT" } else { "" };
                write!(f, "SHOW {of}{exact} CARDINALITY{show}")
            }
            Self::ShowUsers => f.write_str("SHOW USERS"),
            Self::ShowGrants { user } => write!(f, "SHOW GRANTS FOR {}", name(user)),
            Self::ShowQueries => f.write_str("SHOW QUERIES"),
            Self::ShowShards => f.write_str("SHOW SHARDS"),
            Self::ShowShardGroups => f.write_str("SHOW SHARD GROUPS"),
            Self::ShowStats { module } => module_of(f, "SHOW STATS", module.as_deref()),
            Self::ShowDiagnostics { module } => module_of(f, "SHOW DIAGNOSTICS", module.as_deref()),
            Self::ShowSubscriptions => f.write_str("SHOW SUBSCRIPTIONS"),
            Self::ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
        }
    }
}

fn on(f: &mut fmt::Formatter<'_>, name: Option<&str>) -> fmt::Result {
    match name {
        Some(name) => write!(f, " ON {}", quote_identifier(name)),
        None => Ok(()),
    }
}

fn module_of(f: &mut fmt::Formatter<'_>, what: &str, module: Option<&str>) -> fmt::Result {
    f.write_str(what)?;
    match module {
        Some(module) => write!(f, " FOR {}", quote_string(module)),
        None => Ok(()),
    }
}

fn doomed(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    sources: &[Source],
    condition: Option<&crate::ast::Expr>,
) -> fmt::Result {
    f.write_str(what)?;
    if !sources.is_empty() {
        f.write_str(" FROM ")?;
        join(f, sources, ", ")?;
    }
    match condition {
        Some(condition) => write!(f, " WHERE {condition}"),
        None => Ok(()),
    }
}
