//! Plimsoll's InfluxQL: parser, checker, planner and execution over engine snapshots.
//!
//! It answers rows, or an effect that the server applies through the engine.
//! It is synchronous and is given "now".

pub mod ast;
mod change;
pub mod check;
pub mod condition;
pub mod continuous;
pub mod delete;
pub mod exec;
mod explain;
mod functions;
mod go_text;
mod into;
pub mod json;
mod lexer;
pub mod parser;
mod plan;
mod print;
mod reduce;
pub mod regex;
pub mod rows;
mod show;
mod token;

pub use exec::{
    Cancel, Collect, Context, Effect, Error, Execution, FillPrevious, Hints, Limits, Options,
    Outcome, Sink, execute, execute_as, explain_analyze,
};
pub use go_text::{go_duration, go_seconds, go_time};
pub use into::Points;
pub use parser::{Parameter, Params, ParseError, parse, parse_expression};
