//! Exit codes (`docs/operations.md`; from 65 on as in sysexits(3)) and the errors that carry one.

use std::{fmt, io, process::ExitCode};

use crate::outcome::Reason;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// All went well.
    Success = 0,
    /// A check failed, letters stayed, or a drain timed out.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The data given is wrong.
    BadData = 65,
    /// A broker cannot be reached.
    Unavailable = 69,
    /// A bug.
    Panic = 70,
    /// A file, a listener or a stream failed.
    Io = 74,
    /// Not allowed.
    Permission = 77,
    /// The configuration is wrong, or there is none.
    Config = 78,
    /// A second SIGINT: 128 and the signal's number.
    Interrupted = Exit::INTERRUPTED,
    /// A second SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// The number of [`Exit::Interrupted`].
    pub(super) const INTERRUPTED: u8 = 130;
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Reason> for Exit {
    /// What a broker's answer means to who called the command.
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Forbidden | Reason::Unauthenticated => Self::Permission,
            Reason::Refused
            | Reason::Final
            | Reason::TooLarge
            | Reason::Undecodable
            | Reason::Oversize
            | Reason::Address
            | Reason::Transform
            | Reason::Schema => Self::BadData,
            _ => Self::Unavailable,
        }
    }
}

/// An error that ends the command, with its exit code.
#[derive(Debug)]
pub(super) struct Failure {
    /// The code.
    pub(super) exit: Exit,
    /// What to say on standard error; `None` where it was said already.
    pub(super) error: Option<anyhow::Error>,
}

/// What a command answers.
pub(super) type Ended = Result<Exit, Failure>;

impl Failure {
    /// Ends with `exit`, saying `error`.
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: Some(error.into()) }
    }

    /// Ends with `exit`, saying this.
    pub(super) fn say(exit: Exit, text: impl fmt::Display) -> Self {
        Self::new(exit, anyhow::anyhow!("{text}"))
    }

    /// Ends with `exit`; it was said already.
    pub(super) fn said(exit: Exit) -> Self {
        Self { exit, error: None }
    }

    /// Ends with the code that belongs to a broker's answer.
    pub(super) fn broker(reason: Reason, detail: impl fmt::Display) -> Self {
        Self::say(reason.into(), detail)
    }
}

impl From<io::Error> for Failure {
    /// A reader that has seen enough (`rialto list | head`) is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::said(Exit::Success),
            io::ErrorKind::PermissionDenied => Self::new(Exit::Permission, error),
            _ => Self::new(Exit::Io, error),
        }
    }
}
