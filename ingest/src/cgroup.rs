//! This machine's own cgroups.

pub(crate) mod path;
