//! What the side-by-side run of dashboard queries is made of.

pub mod queries;
