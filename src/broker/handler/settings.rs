//! What a program says of a handler.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use indexmap::IndexMap;

use super::Event;
use crate::{
    broker::{Bound, RANK},
    written::{Node, Span, Value},
};

/// What a handler may fail with: any error, and text.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Handles events, one call each. Any `async fn(Event) -> Result<(), E>` is one.
///
/// An error is a failed try: the event comes again, after `backoff`, up to `max_errors` times, and then goes to the dead letter. A panic
/// is caught and is the same. A call that takes longer than `timeout` is dropped at its next `await`, and counts too. An event may come
/// again though it was handled (a crash between the two): a handler is idempotent by [`Event::id`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one event. [`Permanent`] says that trying again cannot help.
    async fn handle(&self, event: Event) -> Result<(), BoxError>;
}

#[async_trait]
impl<F, Handled, E> Handler for F
where
    F: Fn(Event) -> Handled + Send + Sync + 'static,
    Handled: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    async fn handle(&self, event: Event) -> Result<(), BoxError> {
        self(event).await.map_err(Into::into)
    }
}

/// An error that trying again cannot mend: the event goes to the dead letter at once. It is found in the source chain of an error too.
#[derive(Debug)]
pub struct Permanent(BoxError);

impl Permanent {
    /// For this reason.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Permanent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A handler and its rules. What is not said is as for every destination (docs/configuration.md): 5 tries of 15 s.
#[derive(Clone)]
pub struct Handling {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) handles: Vec<String>,
    pub(super) concurrency: usize,
    name: Option<Arc<str>>,
    priority: u32,
    max_errors: Option<u32>,
    timeout: Option<Duration>,
    deadline: Option<Duration>,
    backoff: Option<(Duration, Duration)>,
}

/// Calls of one handler at once.
const CONCURRENCY: usize = 32;

impl Handling {
    /// Events are handled by `handler`.
    pub fn by(handler: impl Handler) -> Self {
        Self {
            handler: Arc::new(handler),
            handles: Vec::new(),
            concurrency: CONCURRENCY,
            name: None,
            priority: RANK,
            max_errors: None,
            timeout: None,
            deadline: None,
            backoff: None,
        }
    }

    /// What metrics, logs and dead letters call it. Otherwise it is called after the names of its events.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Domain events whose names match one of the globs come to it, as far as a route has no `to`.
    #[must_use]
    pub fn on<'a>(mut self, globs: impl IntoIterator<Item = &'a str>) -> Self {
        self.handles.extend(globs.into_iter().map(str::to_owned));
        self
    }

    /// Tries before the dead letter.
    #[must_use]
    pub fn max_errors(mut self, tries: u32) -> Self {
        self.max_errors = Some(tries);
        self
    }

    /// The order among the handlers of one event: the lowest is started first; 50 where nothing is said. No handler waits for another
    /// to end, or for one that is behind with its work.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// How long one call may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Until when an event is tried, from its time; then it goes to the dead letter.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Between tries of an event: `initial`, doubling up to `max`, with full jitter.
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = Some((initial, max));
        self
    }

    /// Calls at once; 1 handles one event after the other, in the order of their source. Events of one key are never handled at once.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// Its name, or what stands for it. In a template braces would be values.
    pub(super) fn label(&self) -> Arc<str> {
        match (&self.name, self.handles.first()) {
            (Some(name), _) => name.clone(),
            (None, Some(glob)) => glob.replace(['{', '}'], "_").into(),
            (None, None) => "handler".into(),
        }
    }

    /// The destination, as if it stood in a `to`.
    pub(super) fn bound(&self, name: &str) -> Bound {
        let at = Span::outside(format!("the handler `{name}` of the program"));
        let path = format!("handler.{name}");
        let text = |text: String| Node::scalar(&*path, at.clone(), text);
        let map = |keys: IndexMap<String, (Span, Node)>| Node::new(&*path, at.clone(), Value::Map(keys));
        let mut keys = IndexMap::new();
        let mut say = |key: &str, node: Node| _ = keys.insert(key.to_owned(), (at.clone(), node));
        let millis = |duration: Duration| text(format!("{}ms", duration.as_millis()));
        say("broker", Node::new(&*path, at.clone(), Value::Str(super::KIND.name.to_owned())));
        say("name", Node::new(&*path, at.clone(), Value::Str(name.to_owned())));
        say("priority", text(self.priority.to_string()));
        if let Some(tries) = self.max_errors {
            say("max_errors", text(tries.to_string()));
        }
        for (key, duration) in [("timeout", self.timeout), ("deadline", self.deadline)] {
            if let Some(duration) = duration {
                say(key, millis(duration));
            }
        }
        if let Some((initial, max)) = self.backoff {
            let bounds = [("initial", initial), ("max", max)];
            say("backoff", map(bounds.into_iter().map(|(key, bound)| (key.to_owned(), (at.clone(), millis(bound)))).collect()));
        }
        Bound { handles: self.handles.clone(), written: map(keys) }
    }
}

impl<H: Handler> From<H> for Handling {
    fn from(handler: H) -> Self {
        Self::by(handler)
    }
}

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling")
            .field("name", &self.label())
            .field("handles", &self.handles)
            .field("priority", &self.priority)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
