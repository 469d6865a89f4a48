//! `rialto graph`: what flows where, as a picture.

use super::{Console, Ended, Exit, Settings};
use crate::config::graph::{Language, draw};

/// Draw what flows where
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The picture's language
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Drawn by Markdown viewers
    Mermaid,
    /// Graphviz
    Dot,
}

pub(super) fn run(args: &Args, settings: &Settings, console: Console) -> Ended {
    let plan = settings.plan()?;
    if console.json {
        // A picture's data is what it is drawn from.
        Console::value(&plan.outline)?;
        return Ok(Exit::Success);
    }
    let language = match args.format {
        Format::Mermaid => Language::Mermaid,
        Format::Dot => Language::Dot,
    };
    Console::text(&draw(&plan.outline, language))?;
    Ok(Exit::Success)
}
