//! `rialto config show`: the merged configuration, with the place that each value came from, and without secrets.

use super::{Console, Ended, Exit, Failure, Settings};
use crate::config;

/// Look at the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print the merged configuration: where each value came from, secrets hidden
    Show,
}

pub(super) fn run(args: &Args, settings: &Settings, console: Console) -> Ended {
    let Verb::Show = args.verb;
    let loaded = settings.load()?;
    if console.json {
        Console::value(&config::show_json(&loaded))?;
    } else {
        Console::text(&config::show(&loaded))?;
    }
    if loaded.faults.is_ok() {
        return Ok(Exit::Success);
    }
    Console::tell(config::render(&loaded.faults, Console::colour()).trim_end())?;
    Err(Failure::said(Exit::Config))
}
