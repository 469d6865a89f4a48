//! `rialto dev`, which a bare `rialto` is where there is no configuration: the default that is compiled in, with nothing else installed.

use std::fmt::Write;

use super::{Console, Ended, Settings, run};
use crate::config::plan::Plan;

/// Run the built-in default: events by HTTP, live clients by Redis protocol, WebSocket and Server-Sent Events
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs it; a configuration that is named on the command line is left to `run`.
pub(super) fn run(settings: &Settings) -> Ended {
    run::with(&settings.embedded(), &|plan| welcome(plan, Console::colour()))
}

/// The doors, and three lines to try.
fn welcome(plan: &Plan, colour: bool) -> String {
    let (bold, dim, reset) = if colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let http = plan.brokers.values().find_map(|broker| broker.listens()).map(|settings| settings.address);
    let resp = plan.gateway.as_ref().and_then(|gateway| gateway.resp);
    let mut text = format!(
        "{bold}Rialto {}{reset} runs its built-in default, on this machine only. `rialto init` writes it into a file of yours.\n\n",
        crate::VERSION
    );
    let mut door = |address: String, what: &str| _ = writeln!(text, "  {bold}{address:<24}{reset}{what}");
    if let Some(address) = http {
        door(format!("http://{address}"), "POST /events/NAME, /subscribe, /ws, and a page to look at");
    }
    if let Some(address) = resp {
        door(format!("redis://{address}"), "any Redis client");
    }
    if let Some(address) = plan.telemetry {
        door(format!("http://{address}"), "/readyz, /metrics");
    }
    text.push_str("\nTry, each in a terminal of its own:\n\n");
    let mut line = |line: String| _ = writeln!(text, "  {dim}${reset} {line}");
    if let Some(address) = http {
        line(format!("curl localhost:{}/events/UserJoined -d '{{\"user_id\":123}}'", address.port()));
    }
    if let Some(address) = resp {
        line(format!("redis-cli -p {} PSUBSCRIBE '{}:*'", address.port(), plan.prefix));
    }
    if let Some(address) = http {
        line(format!("curl -N 'localhost:{}/subscribe?pattern={}:*'", address.port(), plan.prefix));
    }
    text.push_str("\nWhat flows is printed here; Ctrl-C ends it.\n");
    text
}
