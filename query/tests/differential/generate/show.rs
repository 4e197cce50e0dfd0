//! SHOW statements.

use super::super::random::Random;
use super::super::world::MEASUREMENTS;
use super::quoted;

pub(super) fn statement(random: &mut Random) -> String {
    let mut query = match random.below(8) {
        0 | 1 => {
            let mut query = "SHOW MEASUREMENTS".to_owned();
            on(random, &mut query);
            if random.is(40) {
                query.push_str(random.one(&[
                    " WITH MEASUREMENT = cpu",
                    " WITH MEASUREMENT =~ /c/",
                    " WITH MEASUREMENT =~ /^(net|old)$/",
                    " WITH MEASUREMENT = nothing",
                ]));
            }
            query
        }
        2 | 3 => {
            let mut query = "SHOW TAG VALUES".to_owned();
            on(random, &mut query);
            from(random, &mut query);
            query.push_str(" WITH KEY ");
            query.push_str(random.one(&[
                "= pod",
                "= k",
                "!= pod",
                "=~ /o/",
                "!~ /o/",
                "IN (pod, node, k)",
                "= nothing",
                "= \"a b\"",
                "IN (zone)",
            ]));
            query
        }
        4 => {
            let mut query = "SHOW TAG KEYS".to_owned();
            on(random, &mut query);
            from(random, &mut query);
            query
        }
        5 => {
            let mut query = "SHOW FIELD KEYS".to_owned();
            on(random, &mut query);
            from(random, &mut query);
            limits(random, &mut query);
            return query;
        }
        6 => {
            let mut query = "SHOW SERIES".to_owned();
            on(random, &mut query);
            from(random, &mut query);
            query
        }
        _ => {
            return random
                .one(&[
                    "SHOW DATABASES",
                    "SHOW RETENTION POLICIES",
                    "SHOW RETENTION POLICIES ON d",
                    "SHOW SERIES EXACT CARDINALITY",
                    "SHOW SERIES EXACT CARDINALITY FROM cpu, net WHERE pod != 'a'",
                    "SHOW SERIES EXACT CARDINALITY FROM mixed, hourly",
                    "SHOW MEASUREMENT EXACT CARDINALITY",
                    "SHOW MEASUREMENT EXACT CARDINALITY FROM /c/ WHERE pod = 'a'",
                    "SHOW TAG KEY EXACT CARDINALITY",
                    "SHOW TAG KEY CARDINALITY FROM cpu, net WHERE zone = 'eu'",
                    "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = pod",
                    "SHOW TAG VALUES CARDINALITY FROM cpu WITH KEY IN (pod, node) WHERE zone = 'eu'",
                    "SHOW TAG VALUES EXACT CARDINALITY FROM cpu, net WITH KEY =~ /o/",
                    "SHOW FIELD KEY CARDINALITY",
                    "SHOW FIELD KEY EXACT CARDINALITY FROM cpu, net, wild",
                    "SHOW FIELD KEY CARDINALITY FROM nothing",
                ])
                .to_owned();
        }
    };
    if random.is(45) {
        query.push_str(&format!(" WHERE {}", condition(random)));
    }
    limits(random, &mut query);
    query
}

fn on(random: &mut Random, query: &mut String) {
    if random.is(10) {
        query.push_str(random.one(&[" ON d", " ON nope"]));
    }
}

fn from(random: &mut Random, query: &mut String) {
    if random.is(60) {
        let name = match random.below(10) {
            0 => "/c/".to_owned(),
            1 => "nothing".to_owned(),
            2 => "cpu, net".to_owned(),
            3 => "/./".to_owned(),
            _ => quoted(random.pick(MEASUREMENTS).name),
        };
        query.push_str(&format!(" FROM {name}"));
    }
}

fn condition(random: &mut Random) -> String {
    let mut test = || {
        let tag = random.one(&[
            "pod", "node", "zone", "k", "\"if\"", "nothing", "host", "_name",
        ]);
        let test = random.one(&[
            "= 'a'", "= 'b'", "!= 'a'", "=~ /a|x/", "!~ /a/", "= ''", "!= ''", "= 'cpu'",
            "=~ /.*/", "= 'n1'",
        ]);
        format!("{tag} {test}")
    };
    let (a, b) = (test(), test());
    match random.below(6) {
        0 => format!("{a} AND {b}"),
        1 => format!("{a} OR {b}"),
        2 => format!("({a})"),
        _ => a,
    }
}

fn limits(random: &mut Random, query: &mut String) {
    if random.is(20) {
        query.push_str(&format!(" LIMIT {}", random.below(4)));
    }
    if random.is(15) {
        query.push_str(&format!(" OFFSET {}", random.below(4)));
    }
}
