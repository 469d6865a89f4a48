//! Where calls begin, on the program's runtime: those of one event in the order in which they were handed over.

use std::{collections::HashMap, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::job::Job;
use crate::outcome::{LinkDown, Reason};

/// Calls that wait to begin. Each handler's are bounded by its concurrency; this bounds them all, and whoever hands over waits.
const WAITING_MAX: usize = 1024;

/// A handler that holds its thread for longer before its first `await` does not hold back the next of its event.
const BEGIN_WITHIN: Duration = Duration::from_millis(20);

/// The way onto the stage. Cheap to clone; the last one closes it.
#[derive(Debug, Clone)]
pub(super) struct Stage(mpsc::Sender<Job>);

impl Stage {
    /// A stage on the runtime that the caller is in.
    pub(super) fn open() -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        Handle::current().spawn(begin(waiting));
        Self(jobs)
    }

    /// Hands a call over.
    pub(super) async fn start(&self, job: Job) -> Result<(), LinkDown> {
        self.0.send(job).await.map_err(|_| gone())
    }

    /// Whether calls can begin.
    pub(super) fn ping(&self) -> Result<(), LinkDown> {
        if self.0.is_closed() { Err(gone()) } else { Ok(()) }
    }
}

fn gone() -> LinkDown {
    LinkDown::new(Reason::Link, "the runtime that handlers run on has ended")
}

/// A runtime of several threads starts two tasks in either order. A call waits until the one before it of the same event, which is that
/// of a handler with a lower `priority`, has come to its first `await`.
async fn begin(mut waiting: mpsc::Receiver<Job>) {
    let mut earlier: HashMap<String, oneshot::Receiver<()>> = HashMap::new();
    while let Some(job) = waiting.recv().await {
        let id = job.event.id().to_owned();
        if let Some(first) = earlier.remove(&id) {
            // Late, or dropped before it began: it is waited for no longer.
            let _ = tokio::time::timeout(BEGIN_WITHIN, first).await;
        }
        let (begins, began) = oneshot::channel();
        tokio::spawn(job.run(begins));
        if earlier.len() == WAITING_MAX {
            earlier.clear();
        }
        earlier.insert(id, began);
    }
}
