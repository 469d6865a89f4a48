//! The configuration as written: a tree of nodes that know where they stand, and the faults found in it.
//!
//! A leaf: brokers and the plan read their settings from [`Node`]s, field by field, so that every fault is found in one pass and
//! each names its file, line and column. Keys that nobody asked for are faults with a suggestion ([`Node::finish`]).

mod address;
mod keys;
mod node;
mod problem;
mod read;
mod scalar;
mod secret;
mod size;
mod url;
mod yaml;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod yaml_tests;

pub use address::{AddressRule, Encode, TemplateText};
pub use keys::suggestion;
pub use node::{Node, Value};
pub use problem::{Problem, Problems, Span};
pub use read::FromNode;
pub use secret::{Secret, is_secret};
pub use size::{Millis, Size};
pub use url::{Urls, redact_url, scheme_of, url_secrets};
pub use yaml::{FILE_BYTES_MAX, parse};
