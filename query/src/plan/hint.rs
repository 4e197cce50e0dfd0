//! What was probably meant: a name in double quotes where a text in single ones would do something.

use super::source::{Source, Stored};
use super::{Derived, Plan};
use crate::ast::{self, Expr, Operator, Reference, Select};

impl Plan {
    /// Notes for whoever wrote `select`, which this is the plan of. Only what is certain: a tag is
    /// compared with a name that no field and no tag has.
    pub(crate) fn hints(&self, select: &Select) -> Vec<String> {
        let mut hints = Vec::new();
        self.add_hints(select, &mut hints);
        hints.dedup();
        hints
    }

    fn add_hints(&self, select: &Select, hints: &mut Vec<String>) {
        let stored = self.sources.iter().map(|source| match source {
            Source::Stored(stored) => Some(&**stored),
            Source::Derived(_) => None,
        });
        // Over a subquery, names are columns of its answer.
        if let (Some(stored), Some(condition)) =
            (stored.collect::<Option<Vec<_>>>(), &select.condition)
        {
            in_condition(condition, &stored, hints);
        }
        let selects = select.sources.iter().filter_map(|source| match source {
            ast::Source::Subquery(select) => Some(&**select),
            ast::Source::Measurement(_) => None,
        });
        let plans = self.sources.iter().filter_map(|source| match source {
            Source::Derived(derived) => Some(&**derived),
            Source::Stored(_) => None,
        });
        for (select, Derived { plan, .. }) in selects.zip(plans) {
            plan.add_hints(select, hints);
        }
    }
}

fn in_condition(expr: &Expr, stored: &[&Stored], hints: &mut Vec<String>) {
    match expr {
        Expr::Paren(inner) => in_condition(inner, stored, hints),
        Expr::Binary {
            op: Operator::And | Operator::Or,
            left,
            right,
        } => {
            in_condition(left, stored, hints);
            in_condition(right, stored, hints);
        }
        Expr::Binary {
            op: op @ (Operator::Equal | Operator::NotEqual),
            left,
            right,
        } => {
            if let (Expr::Reference(tag), Expr::Reference(name)) = (&**left, &**right)
                && is_text(tag, name, stored)
            {
                let (symbol, name) = (op.symbol(), &name.name);
                hints.push(format!(
                    "{left} {symbol} \"{name}\" compares the tag with a field, and there is no \
                     field \"{name}\": did you mean '{name}'?"
                ));
            }
        }
        _ => {}
    }
}

/// Whether `name`, which a tag is compared with, can only have been meant as a text.
fn is_text(tag: &Reference, name: &Reference, stored: &[&Stored]) -> bool {
    let has_field = |name: &str| stored.iter().any(|s| s.fields.contains_key(name));
    let has_tag = |name: &str| stored.iter().any(|s| s.tag_keys.contains(name));
    tag.cast.is_none()
        && name.cast.is_none()
        && has_tag(&tag.name)
        && !has_field(&tag.name)
        && !has_field(&name.name)
        && !has_tag(&name.name)
        && name.name != "_name"
        && name.name != "time"
}
