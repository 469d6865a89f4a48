//! The settings of the process: everything at the top that is no broker, source or route.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{doors, placed::is_off};
use crate::{
    gateway,
    telemetry::{LogFormat, LogPlan, Readiness},
    written::{Millis, Node, Problems, suggestion},
};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownPlan {
    /// How long a drain may take.
    pub timeout: Duration,
    /// How long it reports "not ready" before it stops reading.
    pub delay: Duration,
}

/// The checked top level.
#[derive(Debug)]
pub(super) struct Top {
    pub(super) name: Arc<str>,
    /// Whether `name` was written: a consumer group named by default would be shared with every other bridge.
    pub(super) name_written: bool,
    pub(super) instance: Arc<str>,
    pub(super) prefix: Arc<str>,
    pub(super) log: LogPlan,
    pub(super) telemetry: Option<SocketAddr>,
    pub(super) gateway: Option<gateway::Settings>,
    pub(super) readiness: Readiness,
    pub(super) shutdown: ShutdownPlan,
    pub(super) strict: bool,
}

/// Where telemetry listens by default.
const TELEMETRY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4290);

/// Reads the top level; `brokers`, `sources`, `routes`, `defaults` and `default_to` are asked for by their own readers.
pub(super) fn read(root: &Node, faults: &mut Problems) -> Top {
    let name = text(root, "name", faults);
    let name_written = name.is_some();
    let name = name.unwrap_or_else(|| "rialto".to_owned());
    let instance =
        text(root, "instance", faults).unwrap_or_else(|| format!("{name}-{}", gethostname::gethostname().to_string_lossy()));
    let prefix = text(root, "prefix", faults).unwrap_or_else(|| "rialto".to_owned());
    not_built(root, faults);
    Top {
        name: name.into(),
        name_written,
        instance: instance.into(),
        prefix: prefix.into(),
        log: log(root, faults),
        telemetry: telemetry(root, faults),
        gateway: doors::read(root, faults),
        readiness: readiness(root, faults),
        shutdown: shutdown(root, faults),
        strict: root.get("strict", false, faults),
    }
}

/// A text that must not be empty and holds no control characters: it ends up in channels, client names and labels.
fn text(root: &Node, key: &'static str, faults: &mut Problems) -> Option<String> {
    let text: String = root.opt(key, faults)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        let at = root.child(key).unwrap_or(root).at();
        faults.fault(at, format!("`{key}` must be text without control characters, and not empty"));
    }
    Some(text)
}

fn log(root: &Node, faults: &mut Problems) -> LogPlan {
    let Some(node) = root.child("log") else { return LogPlan::default() };
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let default = LogPlan::default();
    let plan = LogPlan {
        level: node.get("level", default.level, faults),
        format: node.choice("format", &formats, faults).unwrap_or(default.format),
    };
    check_level(node, &plan.level, faults);
    node.finish(faults);
    plan
}

/// A directive is `level` or `target=level`. A misspelt level would be read as a target and silence the log without a word.
fn check_level(node: &Node, level: &str, faults: &mut Problems) {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let words = level.split(',').map(|part| part.rsplit_once('=').map_or(part, |(_, level)| level).trim());
    for wrong in words.filter(|word| !LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))) {
        let hint =
            suggestion(wrong, LEVELS.into_iter()).unwrap_or_else(|| "`info`, or a filter: `info,rialto::broker=debug`".to_owned());
        faults.fault(node.child("level").unwrap_or(node).at(), format!("`{wrong}` is no log level")).hint(hint);
    }
}

fn telemetry(root: &Node, faults: &mut Problems) -> Option<SocketAddr> {
    let Some(node) = root.child("telemetry") else { return Some(TELEMETRY) };
    if is_off(node) {
        return None;
    }
    let listen = listen(node, TELEMETRY, faults);
    node.later("traces", "OpenTelemetry tracing", faults);
    node.finish(faults);
    listen
}

fn listen(node: &Node, default: SocketAddr, faults: &mut Problems) -> Option<SocketAddr> {
    let Some(written) = node.child("listen") else { return Some(default) };
    if is_off(written) {
        return None;
    }
    node.opt("listen", faults)
}

fn readiness(root: &Node, faults: &mut Problems) -> Readiness {
    let Some(node) = root.child("health") else { return Readiness::default() };
    let words = [("process", Readiness::Process), ("connected", Readiness::Connected), ("routes", Readiness::Routes)];
    let readiness = node.choice("readiness", &words, faults).unwrap_or_default();
    node.finish(faults);
    readiness
}

fn shutdown(root: &Node, faults: &mut Problems) -> ShutdownPlan {
    let mut plan = ShutdownPlan { timeout: Duration::from_secs(25), delay: Duration::ZERO };
    let Some(node) = root.child("shutdown") else { return plan };
    plan.timeout = node.get("timeout", Millis(plan.timeout), faults).0;
    plan.delay = node.get("delay", Millis(plan.delay), faults).0;
    if plan.timeout.is_zero() {
        let at = node.child("timeout").unwrap_or(node).at();
        faults.fault(at, "a `timeout` of 0 would never drain: messages in flight would always come again");
    }
    node.finish(faults);
    plan
}

/// Parts of the grammar whose feature comes later; their "off" forms are taken from the first day.
fn not_built(root: &Node, faults: &mut Problems) {
    if let Some(node) = root.child("admin").filter(|node| !is_off(node)) {
        admin(node, faults);
    }
    if let Some(node) = root.child("watch").filter(|node| !is_off(node)) {
        faults.fault(node.at(), "`watch` is not built yet: a reload is asked for by SIGHUP").hint("`watch: off`");
    }
    if let Some(node) = root.child("journal").filter(|node| node.text() != Some("transit")) {
        let kind = node.written().next().map(|(kind, _, _)| kind).or(node.text()).unwrap_or_default();
        let message = match kind {
            "sqlite" | "postgres" => format!("`journal: {kind}` is not built yet: it comes with the journal"),
            _ => "`journal` is `transit`, `sqlite` or `postgres`".to_owned(),
        };
        faults.fault(node.at(), message).hint("`journal: transit` holds messages at their source until they are delivered");
    }
}

/// The admin listener is part of the grammar; nothing listens there yet, which a reader must be told.
fn admin(node: &Node, faults: &mut Problems) {
    let listening = listen(node, SocketAddr::from(([127, 0, 0, 1], 4291)), faults);
    node.later("token_file", "the admin API", faults);
    if listening.is_some() {
        faults.warn(node.at(), "the admin API is not built yet: nothing will listen there").hint("`admin: off`");
    }
    node.finish(faults);
}
