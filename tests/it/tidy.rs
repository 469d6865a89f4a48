//! The house is in order: the shape that `ARCHITECTURE.md` describes is the shape of the sources, and what the documents say of the
//! configuration, the metrics and the commands is so.
//!
//! The length of functions is clippy's to hold (`clippy.toml`), and so are left-over debugging aids (`Cargo.toml`).

mod documents;
mod imports;
mod layout;
mod sources;
