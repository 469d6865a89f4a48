//! One link to a standard stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::output::{Job, Output, output};
use crate::{
    broker::{
        Confirms, OpenError, Outgoing, Publisher,
        lines::{Sheet, Written, is_full},
    },
    outcome::{LinkDown, Outcome, Proof, Reason},
};

/// How long `close` waits for what was handed over.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// One link, one incarnation.
#[derive(Debug)]
pub(super) struct StdioPublisher {
    name: Box<str>,
    output: Arc<Output>,
    wanted: Arc<AtomicBool>,
    /// Shared with every batch that is not written yet.
    unwritten: Arc<()>,
}

impl StdioPublisher {
    /// A link to the stream of this name.
    pub(super) fn open(name: &str) -> Result<Self, OpenError> {
        let output = output(name).map_err(|error| OpenError { reason: Reason::Link, detail: format!("{name}: {error}") })?;
        Ok(Self { name: name.into(), output, wanted: Arc::new(AtomicBool::new(true)), unwritten: Arc::new(()) })
    }

    async fn hand_over(&self, sheet: Sheet) -> Result<oneshot::Receiver<Written>, LinkDown> {
        let (answer, answered) = oneshot::channel();
        let job = Job { sheet, wanted: Arc::clone(&self.wanted), answer };
        self.output.send(job).await.map_err(|error| LinkDown::new(Reason::Link, format_args!("{}: {error}", self.name)))?;
        Ok(answered)
    }
}

/// One outcome for each line: what is written whole is delivered, what found no room waits, and a closed pipe is a link that is down.
fn judge(written: Written, lines: usize, name: &str) -> Result<Vec<Outcome>, LinkDown> {
    let rest = match written.failed {
        None => Outcome::Unknown(Reason::Link),
        Some(error) if is_full(&error) => Outcome::Throttled { after: None, detail: format!("{name}: {error}") },
        Some(error) => return Err(LinkDown::new(Reason::Link, format_args!("{name}: {error}"))),
    };
    let outcome = |line| if line < written.lines { Outcome::Delivered(Proof::Confirmed) } else { rest.clone() };
    Ok((0..lines).map(outcome).collect())
}

#[async_trait]
impl Publisher for StdioPublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let mut sheet = Sheet::default();
        for out in batch {
            sheet.push(out.fields.first().copied().flatten().unwrap_or_default(), out.body);
        }
        let (lines, name) = (sheet.len(), self.name.clone());
        let answered = self.hand_over(sheet).await?;
        let unwritten = Arc::clone(&self.unwritten);
        Ok(Box::pin(async move {
            let written = answered.await.map_err(|_| LinkDown::new(Reason::Link, format_args!("{name}: its writer is gone")))?;
            drop(unwritten);
            judge(written, lines, &name)
        }))
    }

    /// A pipe answers, or is closed, which is an error: what is not written waits for its reader, however slow, and is never late.
    fn held(&self) -> Option<String> {
        (Arc::strong_count(&self.unwritten) > 1).then(|| format!("{} is read slowly", self.name))
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        Ok(())
    }

    async fn close(self: Box<Self>) {
        // An answer to an empty sheet means that all before it are written.
        let written = async { self.hand_over(Sheet::default()).await.ok()?.await.ok() };
        if tokio::time::timeout(CLOSE_WITHIN, written).await.ok().flatten().is_none() {
            tracing::debug!(stream = %self.name, "closed with lines unwritten");
        }
    }
}

impl Drop for StdioPublisher {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Release);
    }
}
