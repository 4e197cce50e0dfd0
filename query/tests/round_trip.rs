//! Any tree prints to a text that parses to an equal tree, whatever its names and texts hold.

use plimsoll_query::ast::{
    Call, Cast, Dimension, Expr, Field, Fill, FillNumber, Measurement, MeasurementName, Operator,
    Reference, Regex, Select, SortField, Source, Statement, WildcardKind,
};
use plimsoll_query::{Params, parse};
use proptest::prelude::*;

/// Names with quotes, dots, keywords and letters beyond ASCII.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,6}",
        "[^\\p{C}]{1,6}",
        Just("select".to_owned()),
        Just("1a".to_owned()),
        Just("a\nb\\\"'".to_owned()),
    ]
}

fn reference() -> impl Strategy<Value = Reference> {
    let cast = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Cast::Integer)),
        1 => Just(Some(Cast::Tag)),
        1 => Just(Some(Cast::Field)),
    ];
    (name(), cast).prop_map(|(name, cast)| Reference { name, cast })
}

fn literal() -> impl Strategy<Value = Expr> {
    prop_oneof![
        any::<i64>().prop_map(Expr::Integer),
        (1_u64 << 63..).prop_map(Expr::Unsigned),
        (-1e15..1e15).prop_map(Expr::Number),
        name().prop_map(Expr::String),
        any::<bool>().prop_map(Expr::Boolean),
        (0..i64::MAX).prop_map(Expr::Duration),
    ]
}

fn regex() -> impl Strategy<Value = Regex> {
    "[a-z/.]{0,5}(\\\\\\.)?\\$?".prop_map(|text| Regex(text.into()))
}

/// What may stand in a SELECT: each operation in parentheses, so that no order is in question.
fn value() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        reference().prop_map(Expr::Reference),
        literal(),
        Just(Expr::Wildcard(WildcardKind::Tags)),
        Just(Expr::Wildcard(WildcardKind::All)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop_oneof![
            Just(Operator::Add),
            Just(Operator::Divide),
            Just(Operator::BitXor),
            Just(Operator::Modulo),
        ];
        prop_oneof![
            (operator, inner.clone(), inner.clone()).prop_map(|(op, left, right)| Expr::Paren(
                Box::new(Expr::Binary {
                    op,
                    left: Box::new(left),
                    right: Box::new(right),
                })
            )),
            // `now` and others are names like any; distinct is written without quotes, too.
            ("[a-z_]{5,9}x", prop::collection::vec(inner, 0..3))
                .prop_map(|(name, arguments)| Expr::Call(Call { name, arguments })),
        ]
    })
}

fn condition() -> impl Strategy<Value = Expr> {
    let comparison = prop_oneof![
        (reference(), literal()).prop_map(|(reference, value)| Expr::Binary {
            op: Operator::LessOrEqual,
            left: Box::new(Expr::Reference(reference)),
            right: Box::new(value),
        }),
        (reference(), regex()).prop_map(|(reference, regex)| Expr::Binary {
            op: Operator::NotMatches,
            left: Box::new(Expr::Reference(reference)),
            right: Box::new(Expr::Regex(regex)),
        }),
    ];
    comparison.prop_recursive(3, 12, 2, |inner| {
        let operator = prop_oneof![Just(Operator::And), Just(Operator::Or)];
        (operator, inner.clone(), inner).prop_map(|(op, left, right)| {
            Expr::Paren(Box::new(Expr::Binary {
                op,
                left: Box::new(left),
                right: Box::new(right),
            }))
        })
    })
}

fn measurement() -> impl Strategy<Value = Measurement> {
    let place = prop_oneof![
        Just((String::new(), String::new())),
        name().prop_map(|policy| (String::new(), policy)),
        (name(), prop_oneof![Just(String::new()), name()]),
    ];
    let name = prop_oneof![
        3 => name().prop_map(MeasurementName::Name),
        1 => regex().prop_map(MeasurementName::Regex),
    ];
    (place, name).prop_map(|((database, policy), name)| Measurement {
        database,
        policy,
        name,
    })
}

fn select() -> impl Strategy<Value = Select> {
    let fill = prop_oneof![
        Just(Fill::Null),
        Just(Fill::None),
        Just(Fill::Linear),
        any::<i64>().prop_map(|n| Fill::Number(FillNumber::Integer(n))),
        (-1e9..1e9).prop_map(|n| Fill::Number(FillNumber::Float(n))),
    ];
    let field = (value(), prop::option::of(name())).prop_map(|(expr, alias)| Field { expr, alias });
    let dimension = prop_oneof![
        reference().prop_map(Expr::Reference),
        regex().prop_map(Expr::Regex),
        Just(Expr::Wildcard(WildcardKind::All)),
    ];
    let dimension = dimension.prop_map(|expr| Dimension { expr });
    let flat = (
        prop::collection::vec(field, 1..3),
        prop::collection::vec(measurement().prop_map(Source::Measurement), 1..3),
        prop::option::of(condition()),
        prop::collection::vec(dimension, 0..3),
        fill,
        prop::option::of(any::<bool>()),
        (0..9_u64, 0..9_u64, 0..9_u64, 0..9_u64),
    );
    let flat = flat.prop_map(
        |(fields, sources, condition, dimensions, fill, ascending, slices)| Select {
            fields,
            target: None,
            sources,
            condition,
            dimensions,
            fill,
            sort: ascending
                .map(|ascending| SortField {
                    name: "time".to_owned(),
                    ascending,
                })
                .into_iter()
                .collect(),
            limit: slices.0,
            offset: slices.1,
            slimit: slices.2,
            soffset: slices.3,
            timezone: None,
        },
    );
    let flat = flat.boxed();
    flat.clone().prop_recursive(2, 4, 1, move |inner| {
        (flat.clone(), inner).prop_map(|(mut outer, inner)| {
            outer.sources.push(Source::Subquery(Box::new(inner)));
            outer
        })
    })
}

proptest! {
    #[test]
    fn a_select_prints_to_a_text_that_parses_to_an_equal_tree(select in select()) {
        let statement = Statement::Select(Box::new(select));
        let text = statement.to_string();
        let again = parse(&text, &Params::default());
        prop_assert_eq!(again.as_deref(), Ok(&[statement][..]), "{}", text);
    }
}
