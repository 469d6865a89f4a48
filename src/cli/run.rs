//! `rialto run`: the bridge, until it is asked to stop.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use sd_notify::NotifyState;
use tokio::sync::mpsc;

use super::{
    Ended, Exit, Failure, Settings,
    check::{Fault, reach},
    house, runtime,
    settings::{Examined, refuse},
};
use crate::{
    admin::Probes,
    bridge::{Bridge, Stopped},
    config::plan::Plan,
    shutdown::Signals,
    telemetry::{Health, Metrics, start_logs},
    written::{Problem, Problems},
};

/// Signals that wait while the bridge is busy with one.
const SIGNALS: usize = 4;

/// Run the bridge
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exit with 69 where a broker cannot be reached at the start, instead of waiting for it
    #[arg(long)]
    require_connected: bool,
}

/// `rialto run`.
pub(super) fn run(args: &Args, settings: &Settings) -> Ended {
    start(settings, if args.require_connected { Absent::Ends } else { Absent::Waits })
}

/// A bare `rialto`: the configuration that is found, else the built-in example.
pub(super) fn bare(settings: &Settings) -> Ended {
    if settings.has_file() { start(settings, Absent::Waits) } else { start(&settings.example(), Absent::IsExplained) }
}

/// What a broker that is not there at the start means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// The bridge connects when it comes.
    Waits,
    /// The same, and who sees Rialto for the first time is told what to do.
    IsExplained,
    /// No start.
    Ends,
}

fn start(settings: &Settings, absent: Absent) -> Ended {
    let Examined { plan, problems } = settings.examine();
    let Some(plan) = plan else { return Err(refuse(&problems)) };
    let logs = start_logs(&plan.log).map_err(|error| Failure::new(Exit::Config, error))?;
    let ended = serve(plan, &problems, settings, absent);
    if logs.lost() > 0 {
        // Through the same queue: a standard error that nobody reads must not hold the end either.
        tracing::warn!(lines = logs.lost(), "lines of this log were lost to a slow standard error");
    }
    ended
}

fn serve(plan: Plan, problems: &Problems, settings: &Settings, absent: Absent) -> Ended {
    tracing::info!(name = %plan.name, instance = %plan.instance, version = crate::VERSION, "starting");
    problems.iter().for_each(log);
    let metrics = Arc::new(Metrics::new());
    let health = Health::new(Arc::clone(&metrics), plan.readiness, Instant::now());
    let probes = plan.telemetry.map(|address| Probes::listen(address, Arc::clone(&health), Arc::clone(&metrics))).transpose();
    let probes = probes.map_err(|error| Failure::new(Exit::Io, error))?;
    if let Some(probes) = &probes {
        tracing::info!(address = %probes.address(), "probes and metrics");
    }
    let ended = runtime()?.block_on(async {
        look(&plan, absent).await?;
        let signals = Signals::listen()?;
        let (asked, asks) = mpsc::channel(SIGNALS);
        tokio::spawn(signals.pass_on(asked));
        let mut reload = Reload::new(settings.clone(), &plan);
        let bridge = Bridge::start(plan, Arc::clone(&metrics), health).map_err(|error| Failure::new(Exit::Io, error))?;
        metrics.reloaded(true, SystemTime::now());
        notify(&[NotifyState::Ready]);
        Ok(bridge.run(asks, || reload.plan()).await)
    });
    notify(&[NotifyState::Stopping]);
    drop(probes);
    ended.map(|stopped| match stopped {
        Stopped::Drained => {
            tracing::info!("stopped");
            Exit::Success
        }
        Stopped::TimedOut => Exit::Failed,
        Stopped::Forced(Exit::INTERRUPTED) => Exit::Interrupted,
        Stopped::Forced(_) => Exit::Terminated,
    })
}

/// Looks at the brokers once, where it matters that they are there.
async fn look(plan: &Plan, absent: Absent) -> Result<(), Failure> {
    if absent == Absent::Waits {
        return Ok(());
    }
    let missing = reach(plan, &house(plan, "start")).await;
    if absent == Absent::IsExplained {
        tracing::info!(
            "no configuration was found: this is the built-in example, from a queue of the local RabbitMQ to the local Redis"
        );
        if !missing.is_empty() {
            tracing::warn!(
                "it needs RabbitMQ on port 5672 and Redis on 6379: `docker compose up`, or name a configuration with -c"
            );
        }
    }
    for Fault { broker, fault } in &missing {
        tracing::warn!(%broker, %fault, "not there");
    }
    if absent == Absent::Ends && !missing.is_empty() {
        return Err(Failure::say(Exit::Unavailable, "not every broker can be reached, and --require-connected was asked for"));
    }
    Ok(())
}

/// Reads the configuration again, on SIGHUP.
struct Reload {
    settings: Settings,
    /// What only a restart changes.
    listen: Option<std::net::SocketAddr>,
    log: crate::telemetry::LogPlan,
}

impl Reload {
    fn new(settings: Settings, plan: &Plan) -> Self {
        Self { settings, listen: plan.telemetry, log: plan.log.clone() }
    }

    /// The plan that the configuration makes now; where it has faults they are logged, and nothing changes.
    fn plan(&mut self) -> Option<Plan> {
        match NotifyState::monotonic_usec_now() {
            Ok(began) => notify(&[NotifyState::Reloading, began]),
            Err(error) => tracing::warn!(%error, "no monotonic clock to tell systemd when the reload began"),
        }
        let Examined { plan, problems } = self.settings.examine();
        problems.iter().for_each(log);
        match &plan {
            None => tracing::error!("reload: the configuration has faults; nothing is changed"),
            Some(plan) if (plan.telemetry, &plan.log) != (self.listen, &self.log) => {
                tracing::warn!("reload: `telemetry.listen` and `log` change with a restart only");
            }
            Some(_) => {}
        }
        notify(&[NotifyState::Ready]);
        plan
    }
}

/// Tells systemd, where it started us and wants to know (`sd_notify(3)`).
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

fn log(problem: &Problem) {
    let Problem { message, at, hint, warning, .. } = problem;
    let (file, line, hint) = (&at.source, at.line, hint.as_deref().unwrap_or_default());
    if *warning {
        tracing::warn!(%file, line, hint, "{message}");
    } else {
        tracing::error!(%file, line, hint, "{message}");
    }
}
