//! Offer, decode, route, append: the way in.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::{
    envelope::Message,
    intake::Arrival,
    journal::{Journal, transit::Transit},
    outcome::Reason,
    report::{About, Report, Reports, What},
    route::{Idle, Routed, Router},
};

/// Routes batches as they arrive, until nothing can arrive any more.
pub(super) async fn run(mut arrivals: mpsc::Receiver<Arrival>, mut router: Router, journal: Transit, mut log: Log) {
    while let Some(Arrival { batch, ticket }) = arrivals.recv().await {
        let now_ms = wall_ms();
        let mut outcome = Routed::default();
        for raw in batch {
            router.admit(raw, now_ms, &mut outcome);
        }
        log.tell(&outcome);
        journal.append(outcome, ticket).await;
    }
}

/// What a person should hear of messages that went nowhere: once per name, and bounded.
#[derive(Debug)]
pub(super) struct Log {
    source: Arc<str>,
    unrouted: HashSet<Box<str>>,
    rejected: Option<(Instant, u32)>,
    reports: Reports,
}

/// Names of unrouted messages that are said; a producer that invents names must not grow memory.
const NAMES_MAX: usize = 1000;

/// At most one line for rejections in this time.
const REJECTED_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

impl Log {
    pub(super) fn new(source: Arc<str>, reports: Reports) -> Self {
        Self { source, unrouted: HashSet::new(), rejected: None, reports }
    }

    fn tell(&mut self, routed: &Routed) {
        for copy in &routed.copies {
            if let Some(death) = &copy.death {
                self.gone(&routed.messages[copy.message as usize], death.reason, &death.error);
            }
        }
        for (message, idle) in &routed.idle {
            let message = &routed.messages[*message as usize];
            match idle {
                Idle::Filtered => {}
                Idle::Unrouted => self.gone(message, Reason::Unrouted, "acknowledged"),
                Idle::Dropped(reason) => self.gone(message, *reason, "dropped: `dead_letter` is `drop`"),
                Idle::Rejected(refusal) => self.gone(message, refusal.reason, &refusal.detail),
            }
        }
    }

    fn gone(&mut self, message: &Message, reason: Reason, what: &str) {
        if reason == Reason::Unrouted {
            let name = message.name();
            if self.unrouted.len() < NAMES_MAX && !self.unrouted.contains(name) {
                self.unrouted.insert(name.into());
                warn!(source = %self.source, message_name = name, "no route takes messages of this name");
            }
            return;
        }
        self.reports.tell(|payload| Report {
            payload: payload.then(|| message.raw().body.clone()),
            ..Report::new(What::DeadLetter, About { source: self.source.to_string(), ..About::default() }, reason, what).of(
                message.message_type(),
                message.name(),
                message.id(),
            )
        });
        let now = Instant::now();
        match &mut self.rejected {
            Some((last, unsaid)) if now.duration_since(*last) < REJECTED_EVERY => *unsaid += 1,
            last => {
                let more = last.map_or(0, |(_, unsaid)| unsaid);
                *last = Some((now, 0));
                warn!(source = %self.source, %reason, error = what, more, "message rejected");
            }
        }
        debug!(source = %self.source, %reason, error = what, "message rejected");
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
