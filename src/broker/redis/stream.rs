//! A stream read by a consumer group: what we held before, what dead peers held, then what is new.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use redis::{Cmd, Value};

use super::{
    acker, answers,
    carrier::{Entry, EntryId},
    held::{Held, Mark},
    wire::Connection,
};
use crate::{
    broker::{Ended, Source, SourceError},
    envelope::RawMessage,
    intake::{Intake, IntakeClosed, Offers},
    outcome::Reason,
};

/// How long a read waits for something new. With [`LATE`] it is how soon a dead connection is noticed: five seconds.
const BLOCK: Duration = Duration::from_secs(2);

/// How much later than asked an answer may come.
pub(super) const LATE: Duration = Duration::from_secs(3);

/// How long a closing source waits for its blocking read to end.
const UNBLOCK_WITHIN: Duration = Duration::from_secs(1);

/// One read takes at most so many entries, however small they were so far.
const COUNT_MAX: usize = 128;

/// One read is meant to take at most so many bytes: the largest entries of the last reads decide how many entries that are.
const READ_BYTES: usize = 4 << 20;

/// What an entry is taken for before the first read, in bytes.
const ENTRY_BYTES: usize = 256 << 10;

/// What is read, and as whom.
#[derive(Debug)]
pub(super) struct Group {
    /// The stream's key.
    pub(super) key: Arc<str>,
    /// The group's name.
    pub(super) name: Arc<str>,
    /// Our name in it.
    pub(super) consumer: Arc<str>,
    /// Entries that nobody has touched for so long are a dead peer's.
    pub(super) idle_claim: Duration,
}

/// One incarnation: a connection that reads and blocks, and one that acknowledges.
#[derive(Debug)]
pub(super) struct StreamSource {
    pub(super) group: Group,
    pub(super) reader: Connection,
    /// The reader's id at the server, to end its blocking read without losing sight of what it would have taken.
    pub(super) reader_id: Option<i64>,
    pub(super) acker: Connection,
    pub(super) mark: Arc<Mark>,
}

/// What both halves know; its end, however it comes, leaves the mark behind.
#[derive(Debug)]
pub(super) struct Book {
    held: Mutex<Held>,
    mark: Arc<Mark>,
}

impl Book {
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        let settled = self.held().mark();
        self.mark.update(|known| known.settled = settled.or(known.settled));
    }
}

#[async_trait]
impl Source for StreamSource {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        let book = Book { held: Mutex::default(), mark: Arc::clone(&self.mark) };
        let reading = Reader { source: &self, book: &book, size_max: ENTRY_BYTES }.run(offers, &intake);
        let acking = acker::run(&self.group, &self.acker, &book, receipts, intake.metrics());
        tokio::pin!(reading, acking);
        tokio::select! {
            biased;
            ended = &mut acking => ended,
            read = &mut reading => match read {
                Ok(()) => acking.await,
                Err(error) => Err(error),
            },
        }
    }
}

struct Reader<'a> {
    source: &'a StreamSource,
    book: &'a Book,
    /// The largest entry of the last reads, in bytes.
    size_max: usize,
}

/// What is read next.
#[derive(Clone, Copy)]
enum Phase {
    /// What our own name holds from before, after this id.
    Own(EntryId),
    /// What idle peers hold, from this id.
    Peers(EntryId),
    /// What nobody was given yet, until peers are looked at again.
    New(Instant),
}

impl Reader<'_> {
    /// Reads until the intake closes.
    async fn run(mut self, mut offers: Offers, intake: &Intake) -> Result<(), SourceError> {
        let mut phase = Phase::Own(EntryId::default());
        loop {
            let Ok(room) = offers.room().await else { return Ok(()) };
            let count = room.messages().min(COUNT_MAX).min(READ_BYTES / self.size_max.max(1)).max(1);
            let Ok(reply) = self.ask(phase, count, intake).await? else { return Ok(()) };
            let (next, entries) = self.take(phase, reply)?;
            phase = next;
            let batch = self.sift(entries).await?;
            if !batch.is_empty() {
                self.book.held().offered(batch.iter().map(|(id, _)| *id));
                room.offer(batch.into_iter().map(|(_, message)| message).collect());
            }
        }
    }

    /// Asks for one batch; ends early when the intake closes.
    async fn ask(&self, phase: Phase, count: usize, intake: &Intake) -> Result<Result<Value, IntakeClosed>, SourceError> {
        let group = &self.source.group;
        let mut block = Duration::ZERO;
        let command = match phase {
            Phase::Own(after) => group.read(count, None, &after.to_string()),
            Phase::Peers(from) => group.autoclaim(count, from),
            Phase::New(until) => {
                block = until.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), BLOCK);
                group.read(count, Some(block), ">")
            }
        };
        let mut requests = self.source.reader.requests.clone();
        let asking = tokio::time::timeout(block + LATE, requests.send_packed_command(&command));
        tokio::pin!(asking);
        let answered = tokio::select! {
            biased;
            answered = &mut asking => answered,
            () = intake.closed() => {
                // What the read still takes is pending under our name, and the next start reads it first.
                let ended = async {
                    self.unblock().await;
                    asking.await
                };
                drop(tokio::time::timeout(UNBLOCK_WITHIN, ended).await);
                return Ok(Err(IntakeClosed));
            }
        };
        match answered {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) => Err(answers::source_error(&error)),
            Err(_) => Err(SourceError { reason: Reason::Timeout, detail: "a read was not answered in time".into() }),
        }
    }

    /// Ends a blocking read at the server, so that nothing is given to a reader that has gone. Not allowed everywhere; then the read
    /// ends with its connection.
    async fn unblock(&self) {
        if let Some(id) = self.source.reader_id {
            let mut requests = self.source.acker.requests.clone();
            let unblocked = requests.send_packed_command(&redis::cmd("CLIENT").arg("UNBLOCK").arg(id).take()).await;
            if let Err(error) = unblocked {
                tracing::debug!(%error, "CLIENT UNBLOCK");
            }
        }
    }

    /// Takes a reply apart, and decides what is read after it.
    fn take(&self, phase: Phase, reply: Value) -> Result<(Phase, Vec<Value>), SourceError> {
        if let Value::ServerError(error) = &reply {
            return Err(self.refused(error));
        }
        let odd = || SourceError { reason: Reason::Link, detail: "a read was answered with something else".into() };
        match phase {
            Phase::Own(after) => {
                let entries = entries(reply).ok_or_else(odd)?;
                let last = entries.last().and_then(entry_id).unwrap_or(after);
                let next = if entries.is_empty() { Phase::Peers(EntryId::default()) } else { Phase::Own(last) };
                Ok((next, entries))
            }
            Phase::Peers(_) => {
                let (next, entries) = autoclaimed(reply).ok_or_else(odd)?;
                let again = Instant::now() + self.source.group.idle_claim / 2;
                let next = if next == EntryId::default() { Phase::New(again) } else { Phase::Peers(next) };
                Ok((next, entries))
            }
            Phase::New(until) => {
                let entries = entries(reply).ok_or_else(odd)?;
                let next = if Instant::now() < until { Phase::New(until) } else { Phase::Peers(EntryId::default()) };
                Ok((next, entries))
            }
        }
    }

    fn refused(&self, error: &redis::ServerError) -> SourceError {
        if error.code() == "NOGROUP" {
            self.book.mark.update(|known| known.lost = true);
            return SourceError { reason: Reason::Unroutable, detail: answers::words(error) };
        }
        SourceError { reason: answers::reason_of_code(error.code()), detail: answers::words(error) }
    }

    /// Drops what we hold already (`XAUTOCLAIM` has no filter for it) and acknowledges what was trimmed away while it was pending.
    async fn sift(&mut self, values: Vec<Value>) -> Result<Vec<(EntryId, RawMessage)>, SourceError> {
        let held: HashSet<EntryId> = if values.is_empty() { HashSet::new() } else { self.book.held().ids().collect() };
        let mut batch = Vec::with_capacity(values.len());
        let mut gone = Vec::new();
        let mut largest = 0;
        for value in values {
            match Entry::read(value, &self.source.group.key) {
                Some((id, _)) if held.contains(&id) => {}
                Some((id, Some(message))) => {
                    largest = largest.max(message.body.len());
                    batch.push((id, message));
                }
                Some((id, None)) => gone.push(id),
                None => return Err(SourceError { reason: Reason::Link, detail: "an entry of the wrong shape".into() }),
            }
        }
        if !batch.is_empty() {
            // Forgets slowly: one read of small entries says little about the next.
            self.size_max = largest.max(self.size_max / 2);
        }
        acker::acknowledge(&self.source.group, &self.source.acker, &gone).await?;
        Ok(batch)
    }
}

impl Group {
    fn read(&self, count: usize, block: Option<Duration>, after: &str) -> Cmd {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&*self.name).arg(&*self.consumer).arg("COUNT").arg(count);
        if let Some(block) = block {
            command.arg("BLOCK").arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX));
        }
        command.arg("STREAMS").arg(&*self.key).arg(after);
        command
    }

    fn autoclaim(&self, count: usize, from: EntryId) -> Cmd {
        let idle = u64::try_from(self.idle_claim.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(&*self.key).arg(&*self.name).arg(&*self.consumer).arg(idle).arg(from.to_string()).arg("COUNT").arg(count);
        command
    }
}

/// The entries of the one stream in a reply to `XREAD` or `XREADGROUP`: nil where there are none.
pub(super) fn entries(reply: Value) -> Option<Vec<Value>> {
    let stream = match reply {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => match streams.into_iter().next()? {
            Value::Array(pair) => pair.into_iter().nth(1)?,
            _ => return None,
        },
        Value::Map(streams) => streams.into_iter().next()?.1,
        _ => return None,
    };
    match stream {
        Value::Array(entries) => Some(entries),
        _ => None,
    }
}

/// `[next id, entries, ids that were trimmed]`
fn autoclaimed(reply: Value) -> Option<(EntryId, Vec<Value>)> {
    let Value::Array(parts) = reply else { return None };
    let mut parts = parts.into_iter();
    match (parts.next()?, parts.next()?) {
        // Before 7.0 a trimmed entry is a bare nil, and its id is nowhere to be had.
        (Value::BulkString(next), Value::Array(entries)) => {
            Some((EntryId::parse(&next)?, entries.into_iter().filter(|entry| *entry != Value::Nil).collect()))
        }
        _ => None,
    }
}

/// The id of an entry that stays a value.
pub(super) fn entry_id(entry: &Value) -> Option<EntryId> {
    match entry {
        Value::Array(parts) => match parts.first() {
            Some(Value::BulkString(id)) => EntryId::parse(id),
            _ => None,
        },
        _ => None,
    }
}
