//! Structured logs on standard error.
//!
//! A line is put in a bounded queue and written by a thread of its own, so that a slow terminal or a full pipe never holds the data
//! path. When the queue is full lines are lost, and the loss is counted.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Lines that wait for a slow standard error; a line is seldom over 300 bytes.
const LINES_MAX: usize = 4096;

/// The variable that wins over `log.level`: a filter such as `debug` or `rialto=debug,lapin=info`.
const VARIABLE: &str = "RIALTO_LOG";

/// The `log` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPlan {
    /// `log.level`.
    pub level: LogLevel,
    /// `log.format`.
    pub format: LogFormat,
}

/// What is said of Rialto's own doings; client libraries are heard from `warn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What needs a person.
    Error,
    /// And what a person should know.
    Warn,
    /// And starts, stops, connections. Never a line per message.
    #[default]
    Info,
    /// And each decision.
    Debug,
    /// And each message.
    Trace,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogLevel {
    /// As the configuration spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Logs run while this lives; dropping it writes what waits, bounded to a second.
#[derive(Debug)]
pub struct LogGuard {
    _writer: WorkerGuard,
    lost: ErrorCounter,
}

impl LogGuard {
    /// Lines lost to a full queue so far.
    pub fn lost(&self) -> usize {
        self.lost.dropped_lines()
    }
}

/// The logs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `RIALTO_LOG` is no filter.
    #[error("{VARIABLE}: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs run already.
    #[error("logs run already")]
    Running,
}

/// Starts the logs of this process: once.
pub fn start(plan: LogPlan) -> Result<LogGuard, LogError> {
    let terminal = io::stderr().is_terminal();
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true).thread_name("rialto-log").finish(io::stderr());
    let lost = writer.error_counter();
    let filter = filter(plan.level, std::env::var(VARIABLE).ok().as_deref())?;
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let json = plan.format == LogFormat::Json || (plan.format == LogFormat::Auto && !terminal);
    tracing::subscriber::set_global_default(subscriber(filter, json, colour, writer)).map_err(|_| LogError::Running)?;
    Ok(LogGuard { _writer: guard, lost })
}

fn filter(level: LogLevel, written: Option<&str>) -> Result<EnvFilter, LogError> {
    Ok(match written.map(str::trim).filter(|written| !written.is_empty()) {
        Some(written) => EnvFilter::try_new(written)?,
        None => EnvFilter::try_new(format!("warn,rialto={}", level.as_str()))?,
    })
}

fn subscriber<W>(filter: EnvFilter, json: bool, colour: bool, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let common = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    if json { Box::new(common.json().flatten_event(true).finish()) } else { Box::new(common.with_target(false).finish()) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(filter: EnvFilter, json: bool, say: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(filter, json, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_has_its_fields_at_the_top() {
        let line = said(filter(LogLevel::Info, None).unwrap(), true, || {
            tracing::warn!(source = "orders", message_id = "m-1", "rejected");
        });
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "WARN");
        assert_eq!(object["message"], "rejected");
        assert_eq!((&object["source"], &object["message_id"]), (&"orders".into(), &"m-1".into()));
        assert!(object["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn text_without_colour_has_no_escapes() {
        let line = said(filter(LogLevel::Info, None).unwrap(), false, || tracing::info!(broker = "mq", "connected"));
        assert!(line.contains(r#"connected broker="mq""#), "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn the_level_is_ours_and_libraries_are_heard_from_warn() {
        let line = said(filter(LogLevel::Debug, None).unwrap(), false, || {
            tracing::debug!("ours");
            tracing::info!(target: "lapin::channel", "theirs");
            tracing::warn!(target: "lapin::channel", "warned");
        });
        assert!(line.contains("ours") && line.contains("warned") && !line.contains("theirs"), "{line}");
    }

    #[test]
    fn the_variable_wins_over_the_level() {
        let line = said(filter(LogLevel::Info, Some("error")).unwrap(), false, || tracing::warn!("not said"));
        assert_eq!(line, "");
        assert!(filter(LogLevel::Info, Some("rialto=loud")).is_err());
    }
}
