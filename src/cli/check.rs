//! `rialto check`: everything that is wrong with a configuration, at once; with `--connect` also what its brokers say of it.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use super::{Console, Ended, Exit, Settings, house, runtime, settings::Examined};
use crate::{
    broker::{Broker, House, Probe},
    config::{
        self,
        plan::{PipelinePlan, Plan},
    },
    written::{Problem, Problems},
};

/// Say everything that is wrong with the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also dial each broker, and check that queues, exchanges and permissions are there
    #[arg(long)]
    connect: bool,
}

pub(super) fn run(args: &Args, settings: &Settings, console: Console) -> Ended {
    let Examined { plan, problems } = settings.examine();
    if !console.json && problems.iter().next().is_some() {
        Console::tell(config::render(&problems, Console::colour()).trim_end())?;
    }
    let mut report = Report::new(&problems, plan.is_some());
    let exit = match &plan {
        None => Exit::Config,
        Some(plan) if args.connect => {
            let faults = runtime()?.block_on(connect(plan, &house(plan, "check")));
            report.ok = faults.is_empty();
            report.brokers = Some(faults);
            if report.ok { Exit::Success } else { Exit::Unavailable }
        }
        Some(_) => Exit::Success,
    };
    if console.json {
        Console::value(&report)?;
        return Ok(exit);
    }
    for Fault { broker, fault } in report.brokers.iter().flatten() {
        Console::tell(&format!("error: {broker}: {fault}"))?;
    }
    if let Some(plan) = plan.filter(|_| exit == Exit::Success) {
        Console::text(&praise(&plan, args.connect))?;
    }
    Ok(exit)
}

/// Says that all is well, and of what.
fn praise(plan: &Plan, connected: bool) -> String {
    let counted = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let routes = plan.outline.sources.iter().map(|source| source.routes.len()).sum();
    let (brokers, sources) = (counted(plan.brokers.len(), "broker"), counted(plan.pipelines.len(), "source"));
    let asked = if connected { ", and the brokers agree" } else { "" };
    format!("{}: {brokers}, {sources}, {}: fine{asked}", plan.name, counted(routes, "route"))
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    problems: Vec<Told<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brokers: Option<Vec<Fault>>,
}

/// A fault of the configuration.
#[derive(Debug, Serialize)]
struct Told<'a> {
    severity: &'static str,
    message: &'a str,
    source: &'a str,
    line: usize,
    column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// What a broker does not have or allow.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) broker: String,
    pub(super) fault: String,
}

impl<'a> Report<'a> {
    fn new(problems: &'a Problems, ok: bool) -> Self {
        Self { ok, problems: problems.iter().map(Told::new).collect(), brokers: None }
    }
}

impl<'a> Told<'a> {
    fn new(problem: &'a Problem) -> Self {
        Self {
            severity: if problem.warning { "warning" } else { "error" },
            message: &problem.message,
            source: &problem.at.source,
            line: problem.at.line,
            column: problem.at.column,
            hint: problem.hint.as_deref(),
        }
    }
}

/// Asks every broker: first whether it is there, then for all that the plan wants of it.
pub(super) async fn connect(plan: &Plan, house: &House) -> Vec<Fault> {
    let asked = plan.brokers.iter().map(|(name, broker)| ask(name, broker.as_ref(), &plan.pipelines, house));
    join_all(asked).await.into_iter().flatten().collect()
}

/// Asks every broker only whether it is there.
pub(super) async fn reach(plan: &Plan, house: &House) -> Vec<Fault> {
    let asked = plan.brokers.iter().map(|(name, broker)| async move {
        let sentences = broker.probe(&Probe::Broker, house).await;
        sentences.into_iter().map(|fault| Fault { broker: name.to_string(), fault }).collect::<Vec<_>>()
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn ask(name: &Arc<str>, broker: &dyn Broker, pipelines: &[PipelinePlan], house: &House) -> Vec<Fault> {
    let mut sentences = broker.probe(&Probe::Broker, house).await;
    if sentences.is_empty() {
        for pipeline in pipelines.iter().filter(|pipeline| pipeline.broker == *name) {
            sentences.extend(broker.probe(&Probe::Origin(pipeline.origin.as_ref()), house).await);
        }
        let lanes = pipelines.iter().flat_map(|pipeline| &pipeline.lanes);
        let mut asked: Vec<&str> = Vec::new();
        for lane in lanes.filter(|lane| lane.target.link.broker == *name) {
            // Several routes may share a destination; its fault is one.
            if !asked.contains(&lane.written.as_ref()) {
                asked.push(&lane.written);
                sentences.extend(broker.probe(&Probe::Target(&lane.target), house).await);
            }
        }
    }
    sentences.into_iter().map(|fault| Fault { broker: name.to_string(), fault }).collect()
}
