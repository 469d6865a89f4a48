//! `rialto list`: sources, routes and destinations.

use super::{Console, Ended, Exit, Settings};
use crate::config::list::table;

/// List sources, routes and destinations
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(settings: &Settings, console: Console) -> Ended {
    let plan = settings.plan()?;
    if console.json {
        Console::value(&plan.outline)?;
    } else {
        Console::text(&table(&plan.outline))?;
    }
    Ok(Exit::Success)
}
