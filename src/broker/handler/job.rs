//! One call of a handler.

use std::{error::Error, fmt::Write, future::poll_fn, pin::pin, sync::Arc, time::Duration};

use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};
use tracing::warn;

use super::{
    Event, Permanent,
    caught::{Panicked, caught},
    settings::{BoxError, Handler},
};
use crate::{
    outcome::{Outcome, Proof, Reason, Refusal},
    report::{About, Report, Reports, What},
};

/// A call that waits to begin, and where its outcome goes.
pub(super) struct Job {
    pub(super) name: Arc<str>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) event: Event,
    pub(super) timeout: Duration,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// The link is dropped, and its calls with it.
    pub(super) ends: CancellationToken,
    pub(super) running: TaskTrackerToken,
    pub(super) reports: Reports,
}

impl Job {
    /// Calls the handler and answers what came of it. A call that is cancelled answers nothing.
    pub(super) async fn run(self, begins: oneshot::Sender<()>) {
        let Self { name, handler, event, timeout, answer, ends, running, reports } = self;
        let seen = event.clone();
        let mut call = pin!(caught(async move { handler.handle(event).await }));
        let mut begins = Some(begins);
        let call = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            if let Some(begins) = begins.take() {
                // The stage may have stopped waiting.
                let _ = begins.send(());
            }
            polled
        });
        let called = tokio::select! {
            biased;
            () = ends.cancelled() => return,
            called = tokio::time::timeout(timeout, call) => called,
        };
        let outcome = match called {
            Ok(Ok(Ok(()))) => Outcome::Delivered(Proof::Confirmed),
            Ok(Ok(Err(error))) => refused(&error),
            Ok(Err(panicked)) => panic(&name, &seen, &panicked, &reports),
            Err(_) => {
                let detail = format!("not handled within {}", humantime::format_duration(timeout));
                Outcome::Refused(Refusal::new(Reason::Timeout, detail))
            }
        };
        // Whoever dropped the link does not ask any more.
        let _ = answer.send(outcome);
        drop(running);
    }
}

fn refused(error: &BoxError) -> Outcome {
    let first: &(dyn Error + 'static) = error.as_ref();
    let is_permanent = std::iter::successors(Some(first), |error| (*error).source()).any(<dyn Error>::is::<Permanent>);
    let reason = if is_permanent { Reason::Final } else { Reason::Refused };
    Outcome::Refused(Refusal::new(reason, words(first)))
}

/// An error and what caused it.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

fn panic(name: &Arc<str>, event: &Event, panicked: &Panicked, reports: &Reports) -> Outcome {
    let error = panicked.to_string();
    warn!(handler = %name, message_id = event.id(), error, "a handler panicked; the event is tried again by its rules");
    reports.tell(|_| {
        let about = About { destination: format!("handler/{name}"), ..About::default() };
        Report {
            attempts: event.attempt(),
            stack: panicked.stack.clone(),
            ..Report::new(What::Panic, about, Reason::Panic, error.clone()).of(event.message_type(), event.name(), event.id())
        }
    });
    Outcome::Refused(Refusal::new(Reason::Panic, error))
}
