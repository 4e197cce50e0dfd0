//! Continuous queries: statements that the server runs by itself, and how far they are.

use super::{Applied, Catalog};
use crate::model::Timestamp;
use crate::{Error, Result};

/// A continuous query of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContinuousQuery {
    /// Its name, unique in the database.
    pub name: String,
    /// The whole statement, as it is shown and run.
    pub text: String,
    /// Where its last run's interval began to be due; the next is due one step later.
    pub last_run: Option<Timestamp>,
}

/// A run of a continuous query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// See [`ContinuousQuery::last_run`].
    pub last_run: Timestamp,
}

impl Catalog {
    pub(super) fn create_continuous_query(
        &mut self,
        database: &str,
        name: &str,
        text: &str,
    ) -> Result<Applied> {
        let queries = &mut self.database_mut(database)?.continuous_queries;
        if let Some(there) = queries.iter().find(|query| query.name == name) {
            // As InfluxDB compares them: without regard to case.
            return if there.text.to_lowercase() == text.to_lowercase() {
                Ok(Applied::Unchanged)
            } else {
                let text = "continuous query already exists";
                Err(Error::Invalid(text.to_owned()))
            };
        }
        queries.push(ContinuousQuery {
            name: name.to_owned(),
            text: text.to_owned(),
            last_run: None,
        });
        Ok(Applied::Changed)
    }

    pub(super) fn drop_continuous_query(&mut self, database: &str, name: &str) -> Applied {
        // InfluxDB: silently fine where the database or the query is absent.
        let Some(database) = self.databases.get_mut(database) else {
            return Applied::Unchanged;
        };
        let queries = &mut database.continuous_queries;
        let before = queries.len();
        queries.retain(|query| query.name != name);
        if queries.len() < before {
            Applied::Changed
        } else {
            Applied::Unchanged
        }
    }

    /// What was dropped meanwhile is passed over.
    pub(super) fn continuous_queries_ran(&mut self, runs: &[Ran]) -> Applied {
        let mut applied = Applied::Unchanged;
        for run in runs {
            let Some(database) = self.databases.get_mut(&run.database) else {
                continue;
            };
            let mut queries = database.continuous_queries.iter_mut();
            if let Some(query) = queries.find(|query| query.name == run.name)
                && query.last_run != Some(run.last_run)
            {
                query.last_run = Some(run.last_run);
                applied = Applied::Changed;
            }
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::super::CatalogChange;
    use super::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let made = catalog.apply(&CatalogChange::CreateDatabase {
            name: "d".to_owned(),
            policy: None,
        });
        assert_eq!(made.unwrap(), Applied::Changed);
        catalog
    }

    fn create(catalog: &mut Catalog, text: &str) -> Result<Applied> {
        catalog.apply(&CatalogChange::CreateContinuousQuery {
            database: "d".to_owned(),
            name: "q".to_owned(),
            text: text.to_owned(),
        })
    }

    fn ran(at: i64) -> CatalogChange {
        CatalogChange::ContinuousQueriesRan(vec![Ran {
            database: "d".to_owned(),
            name: "q".to_owned(),
            last_run: Timestamp(at),
        }])
    }

    #[test]
    fn the_same_text_again_is_fine_and_another_is_not() {
        let mut catalog = catalog();
        assert_eq!(create(&mut catalog, "A b").unwrap(), Applied::Changed);
        assert_eq!(create(&mut catalog, "a B").unwrap(), Applied::Unchanged);
        let error = create(&mut catalog, "c").unwrap_err();
        assert_eq!(error.to_string(), "continuous query already exists");
    }

    #[test]
    fn a_run_is_kept_and_one_of_a_dropped_query_is_passed_over() {
        let mut catalog = catalog();
        create(&mut catalog, "a").unwrap();
        assert_eq!(catalog.apply(&ran(60)).unwrap(), Applied::Changed);
        assert_eq!(catalog.apply(&ran(60)).unwrap(), Applied::Unchanged);
        let query = &catalog.database("d").unwrap().continuous_queries[0];
        assert_eq!(query.last_run, Some(Timestamp(60)));
        let drop = CatalogChange::DropContinuousQuery {
            database: "d".to_owned(),
            name: "q".to_owned(),
        };
        assert_eq!(catalog.apply(&drop).unwrap(), Applied::Changed);
        assert_eq!(catalog.apply(&drop).unwrap(), Applied::Unchanged);
        assert_eq!(catalog.apply(&ran(120)).unwrap(), Applied::Unchanged);
    }
}
