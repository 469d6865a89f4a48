//! Requests that said how to tell their repetition, and what they were answered.
//!
//! Bounded by number and by time, and in memory: a restart forgets. What is behind the bridge can still tell repetitions by their ids.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ring::digest;
use tokio::sync::watch;

use super::answer::Answer;

/// A key is remembered so long after its request was settled.
const KEEP: Duration = Duration::from_secs(600);

/// Keys that are remembered; then the oldest are forgotten.
pub(super) const KEYS_MAX: usize = 100_000;

/// A longer answer is not kept.
const ANSWER_BYTES_MAX: usize = 1024;

/// 128 bits of SHA-256: memory does not grow with what producers call their requests.
type Print = [u8; 16];

/// Keys of one source.
#[derive(Debug)]
pub(super) struct Remembered {
    keep: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    requests: HashMap<Print, Entry>,
    /// Those that are settled, the oldest first.
    settled: VecDeque<(Instant, Print)>,
}

#[derive(Debug)]
struct Entry {
    /// Of what was sent under the key.
    content: Print,
    state: State,
}

#[derive(Debug)]
enum State {
    Running(watch::Receiver<Option<Answer>>),
    Settled(Answer),
}

/// What is known of a request.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing: it is to be delivered, and what it is answered to be told here.
    First(Turn),
    /// It is being delivered; the answer comes here.
    Running(watch::Receiver<Option<Answer>>),
    /// It was answered.
    Settled(Answer),
    /// Another request had this key.
    Other,
}

/// The right to answer a key. Dropped, the key is free again, and who waits hears that nothing is known.
#[derive(Debug)]
pub(super) struct Turn {
    remembered: Arc<Remembered>,
    key: Print,
    tell: watch::Sender<Option<Answer>>,
    told: bool,
}

impl Remembered {
    /// Nothing remembered yet; `keep` is the least time that keys must be kept.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep: keep.max(KEEP), known: Mutex::default() }
    }

    /// Looks a request up by its key and by all that it says.
    pub(super) fn see(self: &Arc<Self>, key: &str, content: &[&[u8]], now: Instant) -> Seen {
        let (key, content) = (print(&[key.as_bytes()]), print(content));
        let mut known = self.lock();
        known.forget(now, self.keep);
        match known.requests.entry(key) {
            hash_map::Entry::Occupied(entry) if entry.get().content != content => Seen::Other,
            hash_map::Entry::Occupied(entry) => match &entry.get().state {
                State::Running(answer) => Seen::Running(answer.clone()),
                State::Settled(answer) => Seen::Settled(answer.clone()),
            },
            hash_map::Entry::Vacant(entry) => {
                let (tell, answer) = watch::channel(None);
                entry.insert(Entry { content, state: State::Running(answer) });
                Seen::First(Turn { remembered: Arc::clone(self), key, tell, told: false })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole after each statement.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget(&mut self, now: Instant, keep: Duration) {
        while let Some((since, key)) = self.settled.front()
            && (self.settled.len() > KEYS_MAX || now.saturating_duration_since(*since) >= keep)
        {
            self.requests.remove(key);
            self.settled.pop_front();
        }
    }
}

impl Turn {
    /// Where the answer will be.
    pub(super) fn answer(&self) -> watch::Receiver<Option<Answer>> {
        self.tell.subscribe()
    }

    /// Tells all who ask now or later; only an answer by which nothing is left to do is kept.
    pub(super) fn tell(mut self, answer: &Answer, now: Instant) {
        if answer.is_settled() && answer.len() <= ANSWER_BYTES_MAX {
            let mut known = self.remembered.lock();
            if let Some(entry) = known.requests.get_mut(&self.key) {
                entry.state = State::Settled(answer.clone());
                known.settled.push_back((now, self.key));
            }
            self.told = true;
        }
        self.tell.send_replace(Some(answer.clone()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.told {
            self.remembered.lock().requests.remove(&self.key);
        }
    }
}

/// Of several texts, told apart.
fn print(parts: &[&[u8]]) -> Print {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut print = Print::default();
    print.copy_from_slice(&context.finish().as_ref()[..16]);
    print
}

#[cfg(test)]
mod tests;
