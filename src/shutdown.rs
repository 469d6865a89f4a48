//! Signals: the first one drains, the second one exits, and a hang-up reloads.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// What the process was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Stop {
        /// The exit code of a second one: 128 and the signal's number.
        code: u8,
    },
    /// SIGHUP.
    Reload,
}

/// The signals as they come.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Cancel-safe.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop { code: 143 },
            _ = self.int.recv() => Asked::Stop { code: 130 },
            _ = self.hup.recv() => Asked::Reload,
        }
    }

    /// Passes them on until nobody listens.
    pub async fn pass_on(mut self, to: mpsc::Sender<Asked>) {
        while to.send(self.next().await).await.is_ok() {}
    }
}
