//! Structured logs on standard error.
//!
//! A line is put in a bounded queue and written by a thread of its own, so that a slow terminal or a full pipe never holds the data
//! path. When the queue is full lines are lost, and the loss is counted.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Lines that wait for a slow standard error; a line is seldom over 300 bytes.
const LINES_MAX: usize = 4096;

/// The variable that wins over `log.level`: a filter such as `debug` or `rialto=debug,lapin=info`.
const VARIABLE: &str = "RIALTO_LOG";

/// The `log` section. `RIALTO_LOG` wins over `level`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlan {
    /// A level for Rialto's own doings (client libraries are then heard from `warn`), or a filter such as
    /// `info,rialto::broker=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogPlan {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
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
    /// `RIALTO_LOG` or `log.level` is no filter.
    #[error("`log.level` or {VARIABLE} is no filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs run already.
    #[error("logs run already")]
    Running,
}

/// Starts the logs of this process: once.
pub fn start(plan: &LogPlan) -> Result<LogGuard, LogError> {
    let terminal = io::stderr().is_terminal();
    let (writer, guard) = queue(io::stderr());
    let lost = writer.error_counter();
    let filter = filter(&plan.level, std::env::var(VARIABLE).ok().as_deref())?;
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let json = plan.format == LogFormat::Json || (plan.format == LogFormat::Auto && !terminal);
    tracing::subscriber::set_global_default(subscriber(filter, json, colour, writer)).map_err(|_| LogError::Running)?;
    Ok(LogGuard { _writer: guard, lost })
}

/// The queue before `writer`, and the thread behind it.
fn queue<W: io::Write + Send + 'static>(writer: W) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true).thread_name("rialto-log").finish(writer)
}

fn filter(level: &str, variable: Option<&str>) -> Result<EnvFilter, LogError> {
    let variable = variable.map(str::trim).filter(|written| !written.is_empty());
    Ok(match variable.unwrap_or(level) {
        filter if variable.is_some() || filter.contains(['=', ',']) => EnvFilter::try_new(filter)?,
        // lapin prints a returned message with its body, and each end of a connection as an error. What of it matters we say.
        level => EnvFilter::try_new(format!("warn,lapin=off,rialto={level}"))?,
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
        let line = said(filter("info", None).unwrap(), true, || {
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
        let line = said(filter("info", None).unwrap(), false, || tracing::info!(broker = "mq", "connected"));
        assert!(line.contains(r#"connected broker="mq""#), "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn the_level_is_ours_and_libraries_are_heard_from_warn() {
        let line = said(filter("debug", None).unwrap(), false, || {
            tracing::debug!("ours");
            tracing::info!(target: "redis::client", "theirs");
            tracing::warn!(target: "redis::client", "warned");
            tracing::warn!(target: "lapin::returned_messages", "a body");
        });
        assert!(line.contains("ours") && line.contains("warned"), "{line}");
        assert!(!line.contains("theirs") && !line.contains("a body"), "{line}");
    }

    /// A pipe that is full, and that nobody reads.
    struct Full(std::sync::mpsc::Receiver<()>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Ends with the test, which holds the other end.
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_standard_error_that_nobody_reads_holds_nobody() {
        let (end, full) = std::sync::mpsc::channel();
        let (writer, guard) = queue(Full(full));
        let lost = writer.error_counter();
        let subscriber = subscriber(filter("info", None).unwrap(), true, false, writer);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..3 * LINES_MAX {
                tracing::info!(number, "said");
            }
        });
        // One line is in the writer's hands, as many wait as may, the rest is lost and counted.
        let kept = 3 * LINES_MAX - lost.dropped_lines();
        assert!((LINES_MAX..=LINES_MAX + 1).contains(&kept), "{kept} kept");
        drop((end, guard));
    }

    #[test]
    fn the_variable_wins_over_the_level() {
        let line = said(filter("info", Some("error")).unwrap(), false, || tracing::warn!("not said"));
        assert_eq!(line, "");
        assert!(filter("info", Some("rialto=loud")).is_err());
    }

    #[test]
    fn a_level_may_be_a_filter() {
        let line = said(filter("error,lapin=info", None).unwrap(), false, || {
            tracing::warn!("ours");
            tracing::info!(target: "lapin::channel", "theirs");
        });
        assert!(line.contains("theirs") && !line.contains("ours"), "{line}");
    }
}
