//! A connection with limits of time: on heads, on doing nothing, and on reading what is answered.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{framing::Framing, hang_up::poll_discard};

/// How long a client may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From a request's first byte to the end of its head; on a new connection from its beginning.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// Without a byte of an answer taken.
    pub(super) write: Duration,
    /// From our end of a conversation that was cut short to the client's.
    pub(super) linger: Duration,
}

/// Those of every listener. A client that keeps a connection for its next request most often keeps it for a minute.
pub(super) const LIMITS: Limits = Limits {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    write: Duration::from_secs(30),
    linger: Duration::from_secs(2),
};

/// What the connection is at, as told by whoever serves it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    phase: AtomicU8,
    served: AtomicU32,
    /// Numbers of requests; `u32::MAX` for none.
    suspect: AtomicU32,
    lost: AtomicU32,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const UPGRADED: u8 = 3;

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { suspect: AtomicU32::new(u32::MAX), lost: AtomicU32::new(u32::MAX), ..Self::default() })
    }

    /// A head has been read: from now on the clock is its page's. Answers whether its bytes can be read in two ways.
    pub(super) fn begin(&self, is_chunked: bool) -> bool {
        self.phase.store(BUSY, Ordering::Relaxed);
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        number >= self.suspect.load(Ordering::Relaxed) || is_chunked && number >= self.lost.load(Ordering::Relaxed)
    }

    /// The answer is complete, or about to be.
    pub(super) fn answered(&self) {
        self.phase.store(IDLE, Ordering::Relaxed);
    }

    /// Another protocol has the connection now, and its own clocks.
    pub(super) fn upgraded(&self) {
        self.phase.store(UPGRADED, Ordering::Relaxed);
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }
}

/// A stream under a [`Progress`].
#[derive(Debug)]
pub(super) struct Clocked<S> {
    stream: S,
    limits: Limits,
    progress: Arc<Progress>,
    framing: Framing,
    reading: Timer,
    writing: Timer,
    /// What the reading timer was last set for: requests served, and the phase.
    timed: Option<(u32, u8)>,
    /// The sending side is closed.
    closed: bool,
}

impl<S> Clocked<S> {
    pub(super) fn new(stream: S, limits: Limits, progress: Arc<Progress>) -> Self {
        Self {
            stream,
            limits,
            progress,
            framing: Framing::default(),
            reading: Timer::default(),
            writing: Timer::default(),
            timed: None,
            closed: false,
        }
    }

    /// Tells the framing and the clock of what came.
    fn came(&mut self, bytes: &[u8]) {
        let phase = self.progress.phase();
        if phase == UPGRADED || bytes.is_empty() {
            return;
        }
        self.framing.read(bytes, phase == IDLE);
        if phase == IDLE {
            self.progress.phase.store(HEAD, Ordering::Relaxed);
        }
        for (found, told) in [(self.framing.suspect, &self.progress.suspect), (self.framing.lost, &self.progress.lost)] {
            if let Some(number) = found {
                told.store(number, Ordering::Relaxed);
            }
        }
    }

    /// Nothing came: is it late?
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now_at = (self.progress.served.load(Ordering::Relaxed), self.progress.phase());
        let limit = match now_at {
            (0, IDLE) | (_, HEAD) => self.limits.head,
            (_, IDLE) => self.limits.idle,
            _ => return Poll::Pending,
        };
        if self.timed != Some(now_at) {
            self.timed = Some(now_at);
            self.reading.set(Instant::now() + limit);
        }
        ready!(self.reading.poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client was silent for too long")))
    }

    /// Nothing could be written: is it late? `UPGRADED` protocols have clocks of their own.
    fn written<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writing.clear();
            return polled;
        }
        if self.progress.phase() == UPGRADED {
            return Poll::Pending;
        }
        self.writing.set_once(self.limits.write);
        ready!(self.writing.poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> Clocked<S> {
    /// After the end of our side: what the client is still sending is thrown away, for a while.
    fn poll_lingered(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A client between two requests sends nothing that would be missed.
        if self.framing.is_between() && self.progress.phase() != UPGRADED {
            return Poll::Ready(());
        }
        if poll_discard(Pin::new(&mut self.stream), context).is_ready() {
            return Poll::Ready(());
        }
        self.writing.set_once(self.limits.linger);
        self.writing.poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Clocked<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.poll_late(context),
            Poll::Ready(Ok(())) => {
                self.came(&buffer.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Clocked<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            let polled = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.written(context, polled))?;
            self.closed = true;
        }
        self.poll_lingered(context).map(Ok)
    }
}

/// A timer that is seldom touched: a deadline that moves later, as it does with every request, is looked at when the old one is over.
#[derive(Debug, Default)]
struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    fn set(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        if let Some(sleep) = self.sleep.as_mut().filter(|sleep| sleep.deadline() > deadline) {
            sleep.as_mut().reset(deadline);
        }
    }

    fn set_once(&mut self, limit: Duration) {
        if self.deadline.is_none() {
            self.set(Instant::now() + limit);
        }
    }

    fn clear(&mut self) {
        self.deadline = None;
    }

    /// Ready once the deadline is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests;
