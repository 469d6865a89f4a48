//! What a program says of its bridge, before it starts.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::sync::mpsc;

use super::{Handling, Running};
use crate::{
    admin::Probes,
    bridge::{Bridge, StartError},
    broker::{
        Broker,
        handler::{self, Handlers},
    },
    config::{
        self, Environment, Sources,
        plan::{Given, Plan},
    },
    report::{ErrorReporter, Reports},
    telemetry::{Health, Metrics},
    written::Problems,
};

/// A bridge to be: where its configuration is, and what the program brings along.
#[derive(Default)]
pub struct Builder {
    files: Vec<PathBuf>,
    texts: Vec<(String, String)>,
    sets: Vec<String>,
    given: Given,
    handlers: Vec<Handling>,
    reporters: Vec<Arc<dyn ErrorReporter>>,
}

/// A bridge that did not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The configuration has faults; all of them, each with its place.
    #[error("the configuration has faults\n{}", config::render(.0, false))]
    Config(Problems),
    /// A port is taken, or the system has no thread.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The probes' port is taken.
    #[error("probes: {0}")]
    Probes(String),
}

impl Bridge {
    /// A bridge inside a program.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Reads a file, or a directory of them; repeatable, later ones win. Where neither a file nor a text is named, `RIALTO_CONFIG` and
    /// the usual places are looked at.
    #[must_use]
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Reads a text, after the files.
    #[must_use]
    pub fn yaml(mut self, text: impl Into<String>) -> Self {
        self.texts.push((format!("text {} of the program", self.texts.len() + 1), text.into()));
        self
    }

    /// Sets one value over files and environment: `.set("log.level", "debug")`.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl fmt::Display) -> Self {
        self.sets.push(format!("{path}={value}"));
        self
    }

    /// Brings a broker along, for sources and destinations to name as if it stood in `brokers`.
    #[must_use]
    pub fn broker(mut self, name: &str, broker: Arc<dyn Broker>) -> Self {
        self.given = self.given.with(name, broker);
        self
    }

    /// Handles the domain events whose names match a glob, on routes that have no `to`. Several handlers may take one event: each is a
    /// lane of its own, and [`Handling`] gives it its own rules.
    #[must_use]
    pub fn on(mut self, glob: &str, handler: impl Into<Handling>) -> Self {
        self.handlers.push(handler.into().on([glob]));
        self
    }

    /// A handler that routes name: `to: handler/NAME`. Its rules stand there, in the configuration.
    #[must_use]
    pub fn handler(mut self, name: &str, handler: impl Into<Handling>) -> Self {
        self.handlers.push(handler.into().named(name));
        self
    }

    /// Tells this reporter of dead letters, panics and destinations that stand still; repeatable.
    #[must_use]
    pub fn report_to(mut self, reporter: impl ErrorReporter) -> Self {
        self.reporters.push(Arc::new(reporter));
        self
    }

    /// Checks everything and starts. Brokers need not be there: each pipeline connects when it can. Handlers and reporters run on the
    /// runtime of the caller; logs go to the program's `tracing` subscriber. Probes and metrics listen only where the configuration
    /// says `telemetry`, since a program may have several bridges: [`Running::metrics`] has the same text.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[expect(clippy::unused_async, reason = "it needs a runtime, which `await` says, and may come to wait for something")]
    pub async fn start(self) -> Result<Running, NotStarted> {
        // The only failure is a provider that is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (plan, listens) = self.plan()?;
        let (reports, couriers) = Reports::to(self.reporters, &plan.name, &plan.instance);
        let metrics = Arc::new(Metrics::new());
        let health = Health::new(Arc::clone(&metrics), plan.readiness, Instant::now());
        let probes = plan.telemetry.filter(|_| listens);
        let probes = probes.map(|address| Probes::listen(address, Arc::clone(&health), Arc::clone(&metrics)));
        let probes = probes.transpose().map_err(|error| NotStarted::Probes(error.to_string()))?;
        let bridge = Bridge::start_reporting(plan, Arc::clone(&metrics), Arc::clone(&health), reports.clone())?;
        metrics.reloaded(true, SystemTime::now());
        let addresses = bridge.addresses();
        let (asked, asks) = mpsc::channel(1);
        let ended = tokio::spawn(bridge.run(asks, || None));
        let couriers = couriers.into_iter().map(|courier| tokio::spawn(courier.run())).collect();
        Ok(Running { asked, ended, couriers, reports, metrics, health, addresses, probes })
    }

    /// The checked plan, and whether the configuration speaks of probes.
    fn plan(&self) -> Result<(Plan, bool), NotStarted> {
        let handlers = Handlers::new(self.handlers.iter().cloned());
        let mut given = self.given.clone();
        if !handlers.is_empty() {
            given = given.with(handler::KIND.name, Arc::new(handlers));
        }
        let sources = Sources {
            files: self.files.clone(),
            texts: self.texts.clone(),
            sets: self.sets.clone(),
            environment: Environment::of_process(),
            ..Sources::default()
        };
        let loaded = config::load(&sources).map_err(NotStarted::Config)?;
        let (plan, problems) = config::plan_with(&loaded, &given);
        let Some(plan) = plan else { return Err(NotStarted::Config(problems)) };
        for problem in problems.iter() {
            tracing::warn!(file = %problem.at.source, line = problem.at.line, hint = problem.hint.as_deref(), "{}", problem.message);
        }
        Ok((plan, loaded.root.peek("telemetry").is_some()))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("files", &self.files)
            .field("given", &self.given)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
