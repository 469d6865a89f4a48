//! The line to a broker: one link after the other, never two at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use super::parcel::{self, Parcel, Rendered, Sent};
use crate::{
    broker::{Broker, House, LinkKey, OpenError, Publisher},
    outcome::LinkDown,
};

/// Between two attempts to open a link: 100 ms, doubling to this, with jitter. G14: flow resumes within 5 s, the opening included.
const REOPEN_MAX: Duration = Duration::from_secs(3);
const REOPEN_INITIAL: Duration = Duration::from_millis(100);

/// An opening that takes longer than this is given up, whatever its implementation does.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// A link with nothing to send is asked this often whether it lives.
const PING_EVERY: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the line is.
pub(super) enum Line {
    /// Not opened, because nothing was to be sent yet.
    Resting,
    /// No link.
    Down {
        /// When to try again.
        retry_at: Instant,
    },
    /// A link is being opened.
    Opening(BoxFuture<'static, Result<Box<dyn Publisher>, OpenError>>),
    /// A link with nothing being handed over.
    Up {
        /// The link.
        publisher: Box<dyn Publisher>,
        /// Last sign of life.
        heard: Instant,
    },
    /// A parcel is being handed over; waiting here is the link's back-pressure.
    Sending {
        /// Answers with the link.
        future: BoxFuture<'static, Sent>,
        /// What is handed over.
        parcel: Arc<Parcel>,
        /// When.
        sent: Instant,
        /// Until when it must be answered.
        deadline: Instant,
    },
    /// Asking whether the link lives.
    Pinging(BoxFuture<'static, (Box<dyn Publisher>, Result<(), LinkDown>)>),
}

/// What happened on the line.
pub(super) enum LineEvent {
    Opened(Result<Box<dyn Publisher>, OpenError>),
    Sent(Sent),
    Ponged(Box<dyn Publisher>, Result<(), LinkDown>),
}

impl Line {
    /// Starts opening a link.
    pub(super) fn open(broker: Arc<dyn Broker>, key: LinkKey, house: House) -> Self {
        Self::Opening(Box::pin(async move {
            match tokio::time::timeout(OPEN_TIMEOUT, broker.link(&key, &house)).await {
                Ok(opened) => opened,
                Err(_) => Err(OpenError { reason: crate::outcome::Reason::Timeout, detail: "no answer while opening".into() }),
            }
        }))
    }

    /// Starts handing a parcel over; so many messages are in flight already.
    pub(super) fn send(publisher: Box<dyn Publisher>, parcel: Parcel, rendered: Rendered, ahead: usize, now: Instant) -> Self {
        let mut timeout = parcel.specs.iter().map(|spec| spec.rules.timeout).max().unwrap_or(PING_TIMEOUT);
        if publisher.times_each() {
            // Should all of them have one key, each waits for the one before it.
            let turns = ahead + parcel.items.len() + 1;
            timeout = timeout.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX));
        }
        let parcel = Arc::new(parcel);
        let future = Box::pin(parcel::send(publisher, Arc::clone(&parcel), rendered));
        Self::Sending { future, parcel, sent: now, deadline: now + timeout }
    }

    /// Starts a ping.
    pub(super) fn ping(mut publisher: Box<dyn Publisher>) -> Self {
        Self::Pinging(Box::pin(async move {
            let answer = match tokio::time::timeout(PING_TIMEOUT, publisher.ping()).await {
                Ok(answer) => answer,
                Err(_) => Err(LinkDown::new(crate::outcome::Reason::Timeout, "no answer to a ping")),
            };
            (publisher, answer)
        }))
    }

    /// A link exists: what goes to the backlog's readers may be sent soon.
    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. } | Self::Sending { .. } | Self::Pinging(_))
    }

    /// Nothing is wrong with it: it is up, or nobody has needed it yet.
    pub(super) fn is_well(&self) -> bool {
        self.is_up() || matches!(self, Self::Resting)
    }

    /// A parcel may be handed over now.
    pub(super) fn is_free(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// When the line itself wants to be looked at.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::Down { retry_at } => Some(*retry_at),
            Self::Up { heard, .. } => Some(*heard + PING_EVERY),
            Self::Sending { deadline, .. } => Some(*deadline),
            Self::Resting | Self::Opening(_) | Self::Pinging(_) => None,
        }
    }

    /// What happens next on it. Cancel-safe. Waits for ever where nothing is under way.
    pub(super) async fn event(&mut self) -> LineEvent {
        match self {
            Self::Opening(opening) => LineEvent::Opened(opening.await),
            Self::Sending { future, .. } => LineEvent::Sent(future.await),
            Self::Pinging(ping) => {
                let (publisher, answer) = ping.await;
                LineEvent::Ponged(publisher, answer)
            }
            Self::Resting | Self::Down { .. } | Self::Up { .. } => std::future::pending().await,
        }
    }
}

/// The pause before opening attempt `attempt` (from 0): doubling, with full jitter above the half.
pub(super) fn reopen_after(attempt: u32, dice: u64) -> Duration {
    let ceiling = REOPEN_INITIAL.saturating_mul(1 << attempt.min(10)).min(REOPEN_MAX);
    ceiling / 2 + (ceiling / 2).mul_f64(dice as f64 / u64::MAX as f64)
}
