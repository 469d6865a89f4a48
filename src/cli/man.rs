//! `rialto man`: the manual pages.

use std::{fs, path::PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use super::{Cli, Console, Ended, Exit, Failure};

/// Print the manual page, or write one page per command into a directory
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write rialto.1, rialto-run.1 and so on here
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Ended {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        Console::text(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Success);
    };
    let failed = |error: std::io::Error| {
        let failure = Failure::from(error);
        Failure { error: failure.error.map(|error| error.context(dir.display().to_string())), ..failure }
    };
    fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    Ok(Exit::Success)
}
