//! `GET /subscribe`: Server-Sent Events, for `EventSource` and `curl -N`.

use std::{collections::VecDeque, convert::Infallible, str::FromStr as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Frame, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use tokio::time::sleep;
use tokio_util::task::task_tracker::TaskTrackerToken;
use url::form_urlencoded;

use super::{
    answer::{problem, problem_with},
    door::{Door, Guest},
    event,
    listening::{in_order, listen},
};
use crate::{
    listen::{Body, Page, Peer},
    live::hub::{Delivery, Seq, Subscriber, TooMuch, Topic},
    telemetry::DropReason,
};

/// Where a reconnecting `EventSource` says what it had last.
const LAST_EVENT_ID: &str = "last-event-id";

/// Tells nginx not to hold events back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Between comments on a stream without events; proxies give up after 30 s or a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a browser waits before it connects again, in milliseconds.
const RETRY: u64 = 2_000;

/// The page that answers with a stream.
#[derive(Debug)]
pub(super) struct Subscribe(Arc<Door>);

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    topics: Vec<Topic>,
    since: Option<Seq>,
}

/// One stream, while somebody reads it.
struct Events {
    door: Arc<Door>,
    subscriber: Subscriber,
    /// What is said first.
    greeting: Option<Vec<u8>>,
    /// What waited when the stream began comes by topic, and is brought in order.
    replay: bool,
    /// The last message said: one that two topics match is said once.
    last: u64,
    /// Used again for each batch.
    batch: VecDeque<Delivery>,
    _guest: Guest,
    /// The doors wait for it when they close.
    _open: TaskTrackerToken,
}

impl Subscribe {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self(door)
    }
}

#[async_trait]
impl Page for Subscribe {
    async fn answer(&self, request: Request<Incoming>, _: &str, peer: Peer) -> Response<Body> {
        if request.method() != Method::GET {
            return problem_with(StatusCode::METHOD_NOT_ALLOWED, "a stream of events is read with GET", ALLOW, "GET");
        }
        let guest = match self.0.admit(request.headers(), peer) {
            Ok(guest) => guest,
            Err(refusal) => return *refusal,
        };
        let last = request.headers().get(LAST_EVENT_ID).map(HeaderValue::as_bytes);
        let wish = match Wish::read(request.uri(), last, &guest) {
            Ok(wish) => wish,
            Err((status, why)) => return problem(status, why),
        };
        match Events::begin(Arc::clone(&self.0), guest, wish) {
            Ok(events) => respond(events),
            Err(too_much) => problem(StatusCode::BAD_REQUEST, too_much),
        }
    }
}

impl Wish {
    /// Reads the query: `pattern` and `channel`, each as often as wanted, and `since`, which the header of a reconnecting browser beats.
    fn read(uri: &Uri, last: Option<&[u8]>, guest: &Guest) -> Result<Self, (StatusCode, String)> {
        let bad = |why: String| Err((StatusCode::BAD_REQUEST, why));
        let (mut topics, mut since) = (Vec::new(), None);
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "pattern" => topics.push(Topic::Pattern(value.into_owned().into())),
                "channel" => topics.push(Topic::Channel(value.into_owned().into())),
                "since" => since = Some(value.into_owned()),
                other => return bad(format!("`{other}` has no meaning here: `pattern`, `channel` and `since` have")),
            }
        }
        // A header that is no text is no place either.
        let last = last.filter(|last| !last.is_empty()).map(String::from_utf8_lossy);
        let since = last.as_deref().or(since.as_deref()).map(Seq::from_str).transpose();
        if let Some(topic) = topics.iter().find(|topic| !guest.may_use(topic)) {
            let why = format!("the token does not allow `{}`", String::from_utf8_lossy(topic.name()));
            return Err((StatusCode::FORBIDDEN, why));
        }
        match since {
            _ if topics.is_empty() => bad("say what to hear: `?pattern=rialto:*` or `?channel=NAME`".to_owned()),
            Ok(since) => Ok(Self { topics, since }),
            Err(error) => bad(format!("`since` or `Last-Event-ID`: {error}")),
        }
    }
}

impl Events {
    fn begin(door: Arc<Door>, guest: Guest, wish: Wish) -> Result<Self, TooMuch> {
        let mut subscriber = door.house.hub.subscriber(door.house.buffer);
        let mut greeting = Vec::new();
        event::retry(RETRY, &mut greeting);
        if wish.since.is_none() {
            event::place(door.house.hub.last(), &mut greeting);
        }
        let gap = listen(&mut subscriber, wish.topics, wish.since)?;
        if let Some(gap) = gap {
            event::gap(gap, &mut greeting);
        }
        Ok(Self {
            subscriber,
            greeting: Some(greeting),
            replay: wish.since.is_some(),
            last: 0,
            batch: VecDeque::new(),
            _open: door.house.connections.token(),
            _guest: guest,
            door,
        })
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let closing = &self.door.house.closing;
        let mut out = Vec::new();
        while out.is_empty() {
            tokio::select! {
                biased;
                filled = self.subscriber.next_into(&mut self.batch) => filled.ok()?,
                () = closing.cancelled() => return None,
                () = sleep(HEARTBEAT) => event::heartbeat(&mut out),
            }
            if std::mem::take(&mut self.replay) {
                in_order(&mut self.batch);
            }
            for Delivery { message, .. } in self.batch.drain(..) {
                if message.seq.number > self.last {
                    self.last = message.seq.number;
                    event::message(&message, &mut out);
                }
            }
        }
        Some(out)
    }
}

impl Drop for Events {
    /// Whether the stream ended by itself, or the listener gave up a connection that took nothing: what did not fit is what counts.
    fn drop(&mut self) {
        if self.subscriber.overflowed().now_or_never().is_some() {
            self.door.metrics.dropped(DropReason::Slow);
        }
    }
}

fn respond(events: Events) -> Response<Body> {
    let chunks = stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))), events))
    });
    let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
