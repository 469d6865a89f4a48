//! The configuration that a command works on.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{Console, Exit, Failure};
use crate::{
    config::{self, Environment, Loaded, Sources, plan::Plan},
    written::Problems,
};

/// What a bare `rialto` runs where no configuration is found.
const DEFAULT: (&str, &str) = ("config/rialto.yaml (built in)", include_str!("../../config/rialto.yaml"));

/// Where the probes of a bridge with an unreadable configuration are looked for.
const TELEMETRY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4290);

/// What the global flags say about it.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    sources: Sources,
}

/// What there is of a configuration.
#[derive(Debug)]
pub(super) struct Examined {
    /// Present where nothing forbids a start.
    pub(super) plan: Option<Plan>,
    /// Faults and warnings.
    pub(super) problems: Problems,
}

impl Settings {
    pub(super) fn new(files: Vec<PathBuf>, sets: Vec<String>) -> Self {
        Self { sources: Sources { files, sets, environment: Environment::of_process(), ..Sources::default() } }
    }

    /// The same, on the built-in default instead of files.
    pub(super) fn embedded(&self) -> Self {
        let mut embedded = self.clone();
        embedded.sources.embedded = Some(DEFAULT);
        embedded
    }

    /// True where a file is named, or stands in one of the usual places.
    pub(super) fn has_file(&self) -> bool {
        let variable = std::env::var_os(config::VARIABLE).is_some_and(|path| !path.is_empty());
        !self.sources.files.is_empty() || variable || config::USUAL.iter().any(|usual| Path::new(usual).exists())
    }

    /// The merged tree, for `config show`; what is missing or broken is said.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        config::load(&self.sources).map_err(|problems| refuse(&problems))
    }

    /// Everything that can be found out without a broker.
    pub(super) fn examine(&self) -> Examined {
        match config::load(&self.sources) {
            Ok(loaded) => {
                let (plan, problems) = config::plan(&loaded);
                Examined { plan, problems }
            }
            Err(problems) => Examined { plan: None, problems },
        }
    }

    /// The plan; where there is none, all faults are said.
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        let Examined { plan, problems } = self.examine();
        plan.ok_or_else(|| refuse(&problems))
    }

    /// Where the bridge of this configuration listens; where it cannot be read, the default: an edit that is not loaded yet must not
    /// make a healthy bridge look dead.
    pub(super) fn telemetry(&self) -> Option<SocketAddr> {
        self.examine().plan.map_or(Some(TELEMETRY), |plan| plan.telemetry)
    }
}

/// Says all faults on standard error.
pub(super) fn refuse(problems: &Problems) -> Failure {
    eprint!("{}", config::render(problems, Console::colour()));
    Failure::said(Exit::Config)
}
