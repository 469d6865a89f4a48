//! The configuration: from files, environment and command line to the plan that the bridge runs.

pub mod explain;
pub mod graph;
pub mod list;
pub mod plan;
