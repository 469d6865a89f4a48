//! One client's connection: bytes in, bytes out, and everything it may have to wait for.
//!
//! An idle client holds no buffer: what is read and written goes through buffers of the thread, and a connection keeps only what was not
//! whole or did not fit into its socket. Whatever waits when it wakes leaves in one write.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use super::{
    decode::Decoder,
    encode::{Writer, push_delivery},
    session::{Access, Expelled, Flow, Session},
};
use crate::{
    gateway::publishing::Published,
    listen::hang_up,
    live::hub::Delivery,
    telemetry::{DropReason, GatewayMetrics},
};

/// Read at once: several times what Redis reads, so that a batch of publishes costs each subscriber one write.
const READ_BYTES: usize = 64 << 10;

/// Written at once; what one command says may be more.
const WRITE_BYTES: usize = 64 << 10;

/// A buffer that has grown beyond this is not kept.
const KEPT_BYTES: usize = 256 << 10;

/// From the first byte of a command to its last.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);

/// From the connection to the password, where one is asked.
const LOGIN_WITHIN: Duration = Duration::from_secs(10);

/// What is said when the door closes must go within this.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    /// The buffer of whoever writes next.
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What all clients together have sent of commands that are not whole.
#[derive(Debug, Clone, Default)]
pub(super) struct HalfRead(Arc<AtomicUsize>);

/// Its bound: clients beyond it are sent away.
const HALF_READ_MAX: usize = 64 << 20;

/// A client may hold so much without being counted.
const HALF_READ_FREE: usize = 4 << 10;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client went, or said `QUIT`.
    Left,
    /// It is sent away.
    Dropped(DropReason),
    /// The door closes.
    Closing,
}

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    session: Session,
    metrics: GatewayMetrics,
    decoder: Decoder,
    /// Read and not yet run.
    inbox: Vec<u8>,
    half_read: HalfRead,
    /// What `inbox` holds of it.
    counted: usize,
    /// To be written, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    /// Taken from the hub, to be written after `out`.
    deliveries: VecDeque<Delivery>,
    /// `inbox` may hold whole commands: they wait for publishes to be settled, or for what was said to be written.
    more: bool,
    came: Instant,
    /// When the command that is not whole began.
    began: Option<Instant>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, session: Session, metrics: GatewayMetrics, half_read: HalfRead) -> Self {
        Self {
            stream,
            session,
            metrics,
            decoder: Decoder::default(),
            inbox: Vec::new(),
            half_read,
            counted: 0,
            out: Vec::new(),
            sent: 0,
            deliveries: VecDeque::new(),
            more: false,
            came: Instant::now(),
            began: None,
        }
    }

    /// Serves the client until it goes or is sent away.
    pub(super) async fn serve(mut self) {
        let end = self.converse().await;
        match end {
            End::Left => {}
            End::Dropped(reason) => {
                self.metrics.dropped(reason);
                tracing::debug!(client = self.session.id, ?reason, "a Redis client was sent away");
            }
            End::Closing => {
                if timeout(FINISH_WITHIN, self.finish()).await.is_err() {
                    tracing::debug!(client = self.session.id, "a Redis client did not take its last replies");
                }
            }
        }
        if end != End::Dropped(DropReason::Slow) {
            // What was written is read before the end is seen. A client that is gone, or stays, does not mind.
            let _ = timeout(FINISH_WITHIN, hang_up(&mut self.stream)).await;
        }
    }

    async fn converse(&mut self) -> End {
        let closing = self.session.house.closing.clone();
        let mut closed = pin!(closing.cancelled());
        loop {
            let Ok(written) = self.flush() else { return End::Left };
            if written && self.more {
                match self.run_inbox().await {
                    Ok(()) if self.out.is_empty() => {}
                    Ok(()) => continue,
                    Err(end) => return self.last_words(end).await,
                }
            }
            let (listens, waits) = (self.session.listens(), self.session.publishing.waiting() > 0);
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = &mut closed => return End::Closing,
                writable = self.stream.writable(), if !written => if writable.is_err() { return End::Left },
                answers = self.session.publishing.next(), if waits => self.answer(answers),
                taken = self.session.subscriber.next_into(&mut self.deliveries), if listens && written => {
                    if taken.is_err() { return End::Dropped(DropReason::Slow) }
                }
                _ = self.session.subscriber.overflowed(), if listens && !written => return End::Dropped(DropReason::Slow),
                readable = self.stream.readable(), if written && !self.more => {
                    if readable.is_err() { return End::Left }
                    if let Err(end) = self.read().await { return self.last_words(end).await }
                }
                () = at(deadline) => return End::Dropped(DropReason::Idle),
            }
        }
    }

    /// When patience ends, where the client has begun something that it must finish.
    fn deadline(&self) -> Option<Instant> {
        let login = (self.session.access == Access::Locked).then(|| self.came + LOGIN_WITHIN);
        let command = self.began.filter(|_| !self.more).map(|began| began + COMMAND_WITHIN);
        login.into_iter().chain(command).min()
    }

    /// Writes what can be written; true where nothing is left.
    fn flush(&mut self) -> io::Result<bool> {
        if self.out.is_empty() && self.deliveries.is_empty() {
            return Ok(true);
        }
        self.borrow_buffer();
        loop {
            while self.out.len() < WRITE_BYTES
                && let Some(delivery) = self.deliveries.pop_front()
            {
                push_delivery(&mut self.out, self.session.version, &delivery);
            }
            match self.stream.try_write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.sent == self.out.len() {
                self.out.clear();
                self.sent = 0;
                if self.deliveries.is_empty() {
                    self.return_buffer();
                    return Ok(true);
                }
            }
        }
    }

    fn borrow_buffer(&mut self) {
        if self.out.capacity() == 0 {
            self.out = WRITE.take();
        }
    }

    fn return_buffer(&mut self) {
        let buffer = std::mem::take(&mut self.out);
        if buffer.capacity() <= KEPT_BYTES {
            WRITE.set(buffer);
        }
    }

    /// Reads what has come and runs what is whole of it.
    async fn read(&mut self) -> Result<(), End> {
        let taken = READ.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
            Ok(0) => Err(End::Left),
            Ok(bytes) => self.take(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(End::Left),
        });
        self.hand_over(taken).await
    }

    async fn run_inbox(&mut self) -> Result<(), End> {
        self.more = false;
        let taken = self.take(&[]);
        self.hand_over(taken).await
    }

    /// Publishes go to the sources that read them, and subscribers are written to before more is read.
    async fn hand_over(&mut self, taken: Result<bool, End>) -> Result<(), End> {
        self.session.publishing.hand_over().await;
        if taken? {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Runs the commands in what was kept and in `fresh`, and keeps what is not whole; true where something was published.
    fn take(&mut self, fresh: &[u8]) -> Result<bool, End> {
        let before = self.session.publishing.published();
        if self.inbox.is_empty() {
            let used = self.run(fresh)?;
            self.inbox.extend_from_slice(&fresh[used..]);
        } else {
            self.inbox.extend_from_slice(fresh);
            let mut inbox = std::mem::take(&mut self.inbox);
            let used = self.run(&inbox);
            inbox.drain(..*used.as_ref().unwrap_or(&0));
            self.inbox = inbox;
            used?;
        }
        self.keep()?;
        Ok(self.session.publishing.published() != before)
    }

    /// Counts what is kept, and makes room for the rest of a long argument.
    fn keep(&mut self) -> Result<(), End> {
        if self.inbox.is_empty() {
            (self.inbox, self.began) = (Vec::new(), None);
        } else {
            self.began.get_or_insert_with(Instant::now);
            let wants = self.decoder.wants().max(self.inbox.len());
            // The budget is asked before the memory is.
            self.count(wants)?;
            self.inbox.reserve_exact(wants - self.inbox.len());
        }
        let held = self.inbox.capacity();
        self.count(held)
    }

    fn count(&mut self, bytes: usize) -> Result<(), End> {
        let due = if bytes > HALF_READ_FREE { bytes } else { 0 };
        if due > self.counted {
            let more = due - self.counted;
            if self.half_read.0.fetch_add(more, Ordering::Relaxed) + more > HALF_READ_MAX {
                self.half_read.0.fetch_sub(more, Ordering::Relaxed);
                self.say_error("ERR too many long commands at once, try again later");
                return Err(End::Dropped(DropReason::Full));
            }
        } else {
            self.half_read.0.fetch_sub(self.counted - due, Ordering::Relaxed);
        }
        self.counted = due;
        Ok(())
    }

    /// Runs whole commands; answers how many bytes they were.
    fn run(&mut self, input: &[u8]) -> Result<usize, End> {
        self.borrow_buffer();
        let mut used = 0;
        loop {
            if self.out.len() >= WRITE_BYTES {
                self.more = true;
                return Ok(used);
            }
            let bytes = match self.decoder.decode(&input[used..], self.session.limits()) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(used),
                Err(garbled) => {
                    self.say_error(&format!("ERR {garbled}"));
                    return Err(End::Dropped(DropReason::Protocol));
                }
            };
            let arguments = self.decoder.command(&input[used..]);
            let flow = if arguments.len() == 0 { Flow::Go } else { self.session.run(arguments, &mut self.out) };
            self.decoder.next();
            match flow {
                Flow::Go => (used, self.began) = (used + bytes, None),
                Flow::Wait => {
                    self.more = true;
                    return Ok(used);
                }
                Flow::Close => return Err(End::Left),
                Flow::Expel(Expelled::Stranger) => return Err(End::Dropped(DropReason::Unauthenticated)),
                Flow::Expel(Expelled::Browser) => return Err(End::Dropped(DropReason::Protocol)),
            }
        }
    }

    /// Says what became of publishes.
    fn answer(&mut self, answers: Vec<Published>) {
        self.borrow_buffer();
        let mut writer = Writer { out: &mut self.out, version: self.session.version };
        for answer in answers {
            match answer {
                Ok(receivers) => writer.integer(i64::try_from(receivers).unwrap_or(i64::MAX)),
                Err(why) => writer.error(&format!("ERR {why}")),
            }
        }
    }

    fn say_error(&mut self, text: &str) {
        self.borrow_buffer();
        Writer { out: &mut self.out, version: self.session.version }.error(text);
    }

    /// Writes what was said before the end, if the client takes it in time.
    async fn last_words(&mut self, end: End) -> End {
        let words = async {
            while let Ok(false) = self.flush() {
                if self.stream.writable().await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(FINISH_WITHIN, words).await;
        end
    }

    /// The door closes: publishes get their answers, and what was heard is written. The caller bounds the time.
    async fn finish(&mut self) {
        self.more = false;
        loop {
            if self.deliveries.is_empty() && self.session.listens() {
                // Nothing may wait, and one that is too slow ends with the others.
                let _ = self.session.subscriber.next_into(&mut self.deliveries).now_or_never();
            }
            let Ok(written) = self.flush() else { return };
            let waits = self.session.publishing.waiting() > 0;
            tokio::select! {
                writable = self.stream.writable(), if !written => if writable.is_err() { return },
                answers = self.session.publishing.next(), if waits => self.answer(answers),
                else => return,
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.half_read.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

/// At an instant, or never.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
