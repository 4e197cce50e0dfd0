//! Plimsoll's InfluxQL: parser, checker, planner and execution over engine snapshots.
//!
//! It answers rows, or an effect that the server applies through the engine.
//! It is synchronous and is given "now".

pub mod ast;
pub mod check;
mod lexer;
pub mod parser;
mod print;
pub mod regex;
pub mod rows;
mod token;

pub use parser::{Parameter, Params, ParseError, parse, parse_expression};
