//! Where a command writes: data on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// How output looks, from the global flags and the environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    /// `--json`.
    pub(super) json: bool,
}

impl Console {
    /// Colour on standard error: on a terminal, unless `NO_COLOR` (no-color.org) is set and not empty.
    pub(super) fn colour() -> bool {
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Writes text as it is.
    pub(super) fn text(text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Writes one JSON value and a newline.
    pub(super) fn value(value: &impl Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, value)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Writes one JSON value on a line of its own, for data that keeps coming.
    pub(super) fn line(value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }

    /// Tells a person something that is no data.
    pub(super) fn tell(text: &str) -> io::Result<()> {
        writeln!(io::stderr().lock(), "{text}")
    }
}
