//! Standard output and error: one of each in a process, written by a thread of its own, because a write to a full pipe cannot be
//! given up. Two links to one stream share it, so that a line is never written into another.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::broker::lines::{Sheet, Written};

/// Sheets that wait: those of the links that are up, and what is left of those before them.
const SHEETS: usize = 16;

/// One stream.
#[derive(Debug)]
pub(super) struct Output {
    sheets: mpsc::Sender<Job>,
}

/// A sheet, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) sheet: Sheet,
    /// False once its link is gone: then it is not written.
    pub(super) wanted: Arc<AtomicBool>,
    pub(super) answer: oneshot::Sender<Written>,
}

/// The stream of this name: `stdout`, else standard error.
pub(super) fn output(name: &str) -> io::Result<Arc<Output>> {
    static STDOUT: OnceLock<Arc<Output>> = OnceLock::new();
    static STDERR: OnceLock<Arc<Output>> = OnceLock::new();
    if name == "stdout" {
        start(&STDOUT, "rialto-stdout", || io::stdout().as_fd().try_clone_to_owned())
    } else {
        start(&STDERR, "rialto-stderr", || io::stderr().as_fd().try_clone_to_owned())
    }
}

fn start(known: &OnceLock<Arc<Output>>, thread: &str, descriptor: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Arc<Output>> {
    if let Some(output) = known.get() {
        return Ok(Arc::clone(output));
    }
    let file = File::from(descriptor()?);
    let (sheets, jobs) = mpsc::channel(SHEETS);
    let fresh = Arc::new(Output { sheets });
    let output = Arc::clone(known.get_or_init(|| fresh));
    // Where two came at once, the other's jobs have no sender, and its thread ends.
    thread::Builder::new().name(thread.to_owned()).spawn(move || write_all(file, jobs))?;
    Ok(output)
}

impl Output {
    /// Hands a sheet over; waits while too many do.
    pub(super) async fn send(&self, job: Job) -> Result<(), io::Error> {
        self.sheets.send(job).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn write_all(mut file: File, mut jobs: mpsc::Receiver<Job>) {
    let mut torn = false;
    while let Some(job) = jobs.blocking_recv() {
        if job.wanted.load(Ordering::Acquire) {
            let written = job.sheet.write(&mut file, &mut torn);
            // Who has gone in the meantime is not told: it counts as unknown.
            let _ = job.answer.send(written);
        }
    }
}
