//! InfluxQL: any text gives a tree or an error, and what is printed parses to an equal tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_query::{Params, parse};

fuzz_target!(|text: &str| {
    for statement in parse(text, &Params::default()).unwrap_or_default() {
        let printed = statement.to_string();
        let again = parse(&printed, &Params::default());
        assert_eq!(again.as_deref(), Ok(&[statement][..]), "{printed}");
    }
});
