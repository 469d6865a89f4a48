//! The command line: one file per command.

mod check;
mod completions;
mod config;
mod console;
mod dev;
mod exit;
mod explain;
mod graph;
mod health;
mod init;
mod list;
mod man;
mod port;
mod publish;
mod redrive;
mod run;
mod schema;
mod settings;
mod tap;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};

use self::{
    console::Console,
    exit::{Ended, Exit, Failure},
    settings::Settings,
};
use crate::{broker::House, config::plan::Plan, telemetry::Metrics};

/// A bridge between message brokers: from the queue a service already has to the channels its subscribers use, losing nothing
#[derive(Debug, Parser)]
#[command(name = "rialto", version = crate::VERSION, max_term_width = 100, after_help = BARE)]
struct Cli {
    /// A configuration file or a directory of them; repeatable, later ones win
    #[arg(short, long = "config", value_name = "FILE|DIR", global = true, help_heading = GLOBAL)]
    config: Vec<PathBuf>,

    /// Set one value, over files and environment: `--set log.level=debug`; repeatable
    #[arg(long = "set", value_name = "PATH=VALUE", global = true, help_heading = GLOBAL)]
    sets: Vec<String>,

    /// Print data as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of every command.
const GLOBAL: &str = "Global options";

/// What stands below the help.
const BARE: &str = "Without a command: runs the configuration that is found, as `run` does, and where there is none the built-in
default, as `dev` does.";

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Args),
    Run(run::Args),
    Init(init::Args),
    Check(check::Args),
    Config(config::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    Graph(graph::Args),
    List(list::Args),
    Publish(publish::Args),
    Tap(tap::Args),
    Redrive(redrive::Args),
    Health(health::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The whole program: reads the arguments, does the command, answers its exit code.
pub fn main() -> ExitCode {
    guarded(|| program(std::env::args_os().collect())).into()
}

/// A panic is a bug, with an exit code of its own; its message stands on standard error already.
fn guarded(program: impl FnOnce() -> Exit) -> Exit {
    catch_unwind(AssertUnwindSafe(program)).unwrap_or(Exit::Panic)
}

fn program(arguments: Vec<OsString>) -> Exit {
    let asks_health = arguments.iter().skip(1).any(|argument| argument == "health");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(wrong) => return misspoken(&wrong, asks_health),
    };
    // The only failure is a provider that is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.run() {
        Ok(exit) => exit,
        Err(Failure { exit, error }) => {
            if let Some(error) = error {
                eprintln!("error: {error:#}");
            }
            exit
        }
    }
}

/// clap's own words: help and version are no error.
fn misspoken(wrong: &clap::Error, asks_health: bool) -> Exit {
    // A closed standard output or error leaves nobody to tell.
    let _ = wrong.print();
    match (wrong.use_stderr(), asks_health) {
        (false, _) => Exit::Success,
        (true, true) => Exit::Failed,
        (true, false) => Exit::Usage,
    }
}

impl Cli {
    fn run(self) -> Ended {
        let console = Console { json: self.json };
        let settings = Settings::new(self.config, self.sets);
        let Some(command) = self.command else { return run::bare(&settings) };
        match command {
            Command::Dev(dev::Args {}) => dev::run(&settings),
            Command::Run(args) => run::run(&args, &settings),
            Command::Init(args) => init::run(&args),
            Command::Check(args) => check::run(&args, &settings, console),
            Command::Config(args) => config::run(&args, &settings, console),
            Command::Schema(schema::Args {}) => schema::run(),
            Command::Explain(args) => explain::run(&args, &settings, console),
            Command::Graph(args) => graph::run(&args, &settings, console),
            Command::List(list::Args {}) => list::run(&settings, console),
            Command::Publish(args) => publish::run(args, &settings, console),
            Command::Tap(args) => tap::run(&args, &settings, console),
            Command::Redrive(args) => redrive::run(args, &settings, console),
            Command::Health(args) => Ok(health::run(&args, &settings)),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
        }
    }
}

/// A small runtime for a command that talks to brokers.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What a command lends to brokers. It is known to them as itself, so that nobody takes it for the bridge.
fn house(plan: &Plan, command: &str) -> House {
    House::new(plan.name.clone(), format!("{}-{command}", plan.instance).into(), Arc::new(Metrics::new()))
}

#[cfg(test)]
mod tests;
