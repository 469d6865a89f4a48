//! One link to the files of a directory.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::{
    place,
    target::Options,
    writer::{Page, Writer},
};
use crate::{
    broker::{
        Confirms, OpenError, Outgoing, Publisher,
        lines::{Sheet, Written, is_full},
    },
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
};

/// Batches that wait for the disk.
const JOBS: usize = 8;

/// How long `close` waits for the disk.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// One link, one incarnation.
#[derive(Debug)]
pub(super) struct FilePublisher {
    jobs: mpsc::Sender<Job>,
    wanted: Arc<AtomicBool>,
    leaving: Arc<AtomicUsize>,
    directory: Arc<PathBuf>,
}

/// Pages of one batch, and who waits for them.
struct Job {
    pages: Vec<Page>,
    answer: oneshot::Sender<Vec<Written>>,
}

impl FilePublisher {
    /// Starts its writer; not while that of an earlier link hangs on the disk, for each would hang there.
    pub(super) fn open(directory: &Arc<PathBuf>, leaving: &Arc<AtomicUsize>) -> Result<Self, OpenError> {
        place::directory(directory).map_err(|detail| OpenError { reason: Reason::Unroutable, detail })?;
        if leaving.load(Ordering::Acquire) > 0 {
            let detail = format!("{}: an earlier write has not come back", directory.display());
            return Err(OpenError { reason: Reason::Timeout, detail });
        }
        let (jobs, waiting) = mpsc::channel(JOBS);
        let wanted = Arc::new(AtomicBool::new(true));
        let (writer, goes_on, left) = (Writer::new(directory), Arc::clone(&wanted), Arc::clone(leaving));
        let thread = thread::Builder::new().name("rialto-file".into());
        let started = thread.spawn(move || {
            write_all(writer, waiting, &goes_on);
            left.fetch_sub(1, Ordering::AcqRel);
        });
        started.map_err(|error| OpenError { reason: Reason::Link, detail: format!("no thread for files: {error}") })?;
        Ok(Self { jobs, wanted, leaving: Arc::clone(leaving), directory: Arc::clone(directory) })
    }

    async fn hand_over(&self, pages: Vec<Page>) -> Result<oneshot::Receiver<Vec<Written>>, LinkDown> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.send(Job { pages, answer }).await;
        sent.map_err(|_| LinkDown::new(Reason::Link, "the writer of files is gone"))?;
        Ok(answered)
    }
}

/// Until its link is gone; what that left behind is not written any more.
fn write_all(mut writer: Writer, mut jobs: mpsc::Receiver<Job>, wanted: &AtomicBool) {
    while let Some(Job { pages, answer }) = jobs.blocking_recv() {
        let mut written = Vec::with_capacity(pages.len());
        for page in &pages {
            if !wanted.load(Ordering::Acquire) {
                return;
            }
            written.push(writer.write(page));
        }
        // Who has gone in the meantime is not told: it counts as unknown.
        let _ = answer.send(written);
    }
}

/// What a page's end means for one of its lines.
fn judge(written: &Written, line: usize) -> Result<Outcome, LinkDown> {
    let refused = |reason, error: &std::io::Error| Ok(Outcome::Refused(Refusal::new(reason, error.to_string())));
    match &written.failed {
        _ if line < written.lines => Ok(Outcome::Delivered(Proof::Confirmed)),
        None => Ok(Outcome::Unknown(Reason::Link)),
        Some(error) if is_full(error) => Ok(Outcome::Throttled { after: None, detail: error.to_string() }),
        Some(error) => match error.kind() {
            std::io::ErrorKind::PermissionDenied => refused(Reason::Forbidden, error),
            std::io::ErrorKind::NotFound => refused(Reason::Unroutable, error),
            std::io::ErrorKind::InvalidFilename | std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory => {
                refused(Reason::Final, error)
            }
            _ => Err(LinkDown::new(Reason::Link, error)),
        },
    }
}

#[async_trait]
impl Publisher for FilePublisher {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        let mut pages: Vec<Page> = Vec::new();
        let mut places = Vec::with_capacity(batch.len());
        for out in batch {
            let fsync = out.target.options.downcast_ref::<Options>().is_some_and(|options| options.fsync);
            let known = pages.iter().position(|page| *page.path == *out.address && page.fsync == fsync);
            let page = known.unwrap_or_else(|| {
                pages.push(Page { path: out.address.into(), sheet: Sheet::default(), fsync });
                pages.len() - 1
            });
            places.push((page, pages[page].sheet.len()));
            pages[page].sheet.push("", out.body);
        }
        let answered = self.hand_over(pages).await?;
        Ok(Box::pin(async move {
            let written = answered.await.map_err(|_| LinkDown::new(Reason::Link, "the writer of files is gone"))?;
            places.into_iter().map(|(page, line)| judge(&written[page], line)).collect()
        }))
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        place::directory(&self.directory).map_err(|detail| LinkDown::new(Reason::Unroutable, detail))
    }

    async fn close(self: Box<Self>) {
        // An answer to an empty batch means that all before it are written.
        let written = async { self.hand_over(Vec::new()).await.ok()?.await.ok() };
        if tokio::time::timeout(CLOSE_WITHIN, written).await.ok().flatten().is_none() {
            tracing::debug!(directory = %self.directory.display(), "closed with lines unwritten");
        }
    }
}

impl Drop for FilePublisher {
    fn drop(&mut self) {
        self.leaving.fetch_add(1, Ordering::AcqRel);
        self.wanted.store(false, Ordering::Release);
    }
}
