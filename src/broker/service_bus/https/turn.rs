//! One request at a time to a queue or topic, in the order of `send`: requests side by side on several connections arrive in any order.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::Poll,
};

use futures_util::poll;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::coop,
};

/// Whose turn it is at one queue or topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HeldBack>>);

/// Whether what was sent before is to be sent again, so that nothing may overtake it.
#[derive(Debug, Default)]
pub(super) struct HeldBack(Weak<()>);

/// Alive until the answer it belongs to has been read.
pub(super) type Unread = Arc<()>;

/// A turn, which comes when all that were asked for before are over.
pub(super) type Turn = Pin<Box<dyn Future<Output = OwnedMutexGuard<HeldBack>> + Send>>;

impl Turns {
    /// Takes a place in the line before it returns: the first poll does, without a task's budget that could put it off.
    pub(super) async fn next(&self) -> Turn {
        let mut turn: Turn = Box::pin(coop::unconstrained(Arc::clone(&self.0).lock_owned()));
        match poll!(&mut turn) {
            Poll::Ready(held) => Box::pin(std::future::ready(held)),
            Poll::Pending => turn,
        }
    }

    /// Whether nobody waits and nothing is held back.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.try_lock().is_ok_and(|held| !held.is_held())
    }
}

impl HeldBack {
    /// An answer that was not read yet sends its messages again: those behind it wait until whoever sends knows.
    pub(super) fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Holds back what comes next until the returned token is dropped.
    pub(super) fn hold(&mut self) -> Unread {
        let unread = Unread::default();
        self.0 = Arc::downgrade(&unread);
        unread
    }
}
