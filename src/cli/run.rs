//! `rialto run`: the bridge, until it is asked to stop.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use sd_notify::NotifyState;
use tokio::sync::mpsc;

use super::{
    Console, Ended, Exit, Failure, Settings,
    check::{Fault, reach},
    dev, house, port, runtime,
    settings::{Examined, refuse},
};
use crate::{
    admin::Probes,
    bridge::{Bridge, StartError, Stopped},
    config::plan::Plan,
    listen::ListenError,
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
    start(settings, args.require_connected, &|_| String::new())
}

/// A bare `rialto`: the configuration that is found, else the built-in default.
pub(super) fn bare(settings: &Settings) -> Ended {
    if settings.has_file() { start(settings, false, &|_| String::new()) } else { dev::run(settings) }
}

/// Runs it, and says something once it has started.
pub(super) fn with(settings: &Settings, welcome: &dyn Fn(&Plan) -> String) -> Ended {
    start(settings, false, welcome)
}

fn start(settings: &Settings, require_connected: bool, welcome: &dyn Fn(&Plan) -> String) -> Ended {
    let Examined { plan, problems } = settings.examine();
    let Some(plan) = plan else { return Err(refuse(&problems)) };
    let logs = start_logs(&plan.log).map_err(|error| Failure::new(Exit::Config, error))?;
    let ended = serve(plan, &problems, settings, require_connected, welcome);
    if logs.lost() > 0 {
        // Through the same queue: a standard error that nobody reads must not hold the end either.
        tracing::warn!(lines = logs.lost(), "lines of this log were lost to a slow standard error");
    }
    ended
}

fn serve(
    plan: Plan,
    problems: &Problems,
    settings: &Settings,
    require_connected: bool,
    welcome: &dyn Fn(&Plan) -> String,
) -> Ended {
    tracing::info!(name = %plan.name, instance = %plan.instance, version = crate::VERSION, "starting");
    problems.iter().for_each(log);
    let metrics = Arc::new(Metrics::new());
    let health = Health::new(Arc::clone(&metrics), plan.readiness, Instant::now());
    let probes = plan.telemetry.map(|address| Probes::listen(address, Arc::clone(&health), Arc::clone(&metrics))).transpose();
    let probes = probes.map_err(|error| port::mend("telemetry.listen", error.address, &error.source))?;
    if let Some(probes) = &probes {
        tracing::info!(address = %probes.address(), "probes and metrics");
    }
    let ended = runtime()?.block_on(async {
        if require_connected {
            look(&plan).await?;
        }
        let signals = Signals::listen()?;
        let (asked, asks) = mpsc::channel(SIGNALS);
        tokio::spawn(signals.pass_on(asked));
        let mut reload = Reload::new(settings.clone(), &plan);
        let welcome = welcome(&plan);
        let bridge = Bridge::start(plan, Arc::clone(&metrics), health).map_err(not_started)?;
        if !welcome.is_empty() {
            // Where nobody reads standard error, there is nobody to welcome.
            let _ = Console::tell(&welcome);
        }
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

/// A port in use says which key moves it.
fn not_started(error: StartError) -> Failure {
    match error {
        StartError::Listen(ListenError { key, address, source }) => port::mend(&key, address, &source),
        StartError::Thread(_) => Failure::new(Exit::Io, error),
    }
}

/// Looks at the brokers once: all must be there.
async fn look(plan: &Plan) -> Result<(), Failure> {
    let missing = reach(plan, &house(plan, "start")).await;
    for Fault { broker, fault } in &missing {
        tracing::warn!(%broker, %fault, "not there");
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::say(Exit::Unavailable, "not every broker can be reached, and --require-connected was asked for"))
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
