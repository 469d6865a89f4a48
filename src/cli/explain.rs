//! `rialto explain`: what each route does when something fails, in plain sentences.

use super::{Console, Ended, Exit, Failure, Settings};
use crate::config;

/// Columns of the sentences.
const WIDTH: usize = 100;

/// Say what each route does when something fails
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this route; repeatable
    #[arg(value_name = "ROUTE")]
    routes: Vec<String>,
}

pub(super) fn run(args: &Args, settings: &Settings, console: Console) -> Ended {
    let plan = settings.plan()?;
    let mut stories = config::explain::stories(&plan.outline);
    if let Some(unknown) = args.routes.iter().find(|route| stories.iter().all(|story| story.route != **route)) {
        return Err(Failure::say(Exit::Usage, format!("there is no route `{unknown}`")));
    }
    if !args.routes.is_empty() {
        stories.retain(|story| args.routes.contains(&story.route));
    }
    if console.json {
        Console::value(&stories)?;
    } else {
        let mut text = config::explain::render(&stories, WIDTH);
        if args.routes.is_empty() {
            text += &config::explain::doors(&plan.doors(), WIDTH);
        }
        Console::text(&text)?;
    }
    Ok(Exit::Success)
}
