//! `rialto schema`: the JSON Schema (draft-07) of the configuration, for editors.

use super::{Console, Ended, Exit};
use crate::config;

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run() -> Ended {
    Console::value(&config::schema())?;
    Ok(Exit::Success)
}
