//! `GET /subscribe`: Server-Sent Events, for `EventSource` and `curl -N`.

use std::{convert::Infallible, str::FromStr as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Frame, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use url::form_urlencoded;

use super::{
    answer::{problem, problem_with},
    door::{Door, Guest},
    event,
};
use crate::{
    listen::{Body, Page, Peer},
    live::hub::{Overflowed, Seq, Subscriber, Topic},
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

/// Channels and patterns of one stream.
const TOPICS_MAX: usize = 256;

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
    guest: Guest,
    subscriber: Subscriber,
    /// What is said first.
    greeting: Option<Vec<u8>>,
    /// What waited when the stream began comes by topic, and is brought in order.
    replay: bool,
    /// The last message looked at: one that two topics match is said once.
    last: u64,
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
        match Wish::read(request.uri(), last, &guest) {
            Ok(wish) => respond(Events::begin(Arc::clone(&self.0), guest, wish)),
            Err((status, why)) => problem(status, why),
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
                "channel" if guest.allows(value.as_bytes()) => topics.push(Topic::Channel(value.into_owned().into())),
                "channel" => return Err((StatusCode::FORBIDDEN, format!("the token does not allow the channel `{value}`"))),
                "since" => since = Some(value.into_owned()),
                other => return bad(format!("`{other}` has no meaning here: `pattern`, `channel` and `since` have")),
            }
        }
        // A header that is no text is no place either.
        let last = last.filter(|last| !last.is_empty()).map(String::from_utf8_lossy);
        let since = last.as_deref().or(since.as_deref()).map(Seq::from_str).transpose();
        match since {
            _ if topics.is_empty() => bad("say what to hear: `?pattern=rialto:*` or `?channel=NAME`".to_owned()),
            _ if topics.len() > TOPICS_MAX => bad(format!("a stream has at most {TOPICS_MAX} patterns and channels")),
            Ok(since) => Ok(Self { topics, since }),
            Err(error) => bad(format!("`since` or `Last-Event-ID`: {error}")),
        }
    }
}

impl Events {
    fn begin(door: Arc<Door>, guest: Guest, wish: Wish) -> Self {
        let mut subscriber = door.house.hub.subscriber(door.house.buffer);
        let mut greeting = Vec::new();
        event::retry(RETRY, &mut greeting);
        if let Some(since) = wish.since {
            let gaps = wish.topics.into_iter().filter_map(|topic| subscriber.subscribe_since(topic, since)).collect::<Vec<_>>();
            // Each topic has the same hole, or a wider one.
            if let Some(gap) = gaps.into_iter().reduce(|one, two| if two.to > one.to { two } else { one }) {
                event::gap(gap, &mut greeting);
            }
        } else {
            event::place(door.house.hub.last(), &mut greeting);
            for topic in wish.topics {
                subscriber.subscribe(topic);
            }
        }
        Self { door, guest, subscriber, greeting: Some(greeting), replay: wish.since.is_some(), last: 0 }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            let mut out = Vec::new();
            match tokio::time::timeout(HEARTBEAT, self.subscriber.next()).await {
                Err(_) => event::heartbeat(&mut out),
                Ok(Err(Overflowed)) => {
                    self.door.metrics.dropped(DropReason::Slow);
                    return None;
                }
                Ok(Ok(mut batch)) => {
                    if std::mem::take(&mut self.replay) {
                        batch.make_contiguous().sort_by_key(|delivery| delivery.message.seq);
                    }
                    for delivery in batch {
                        let message = &delivery.message;
                        if message.seq.number > self.last && self.guest.allows(&message.channel) {
                            event::message(message, &mut out);
                        }
                        self.last = message.seq.number;
                    }
                }
            }
            if !out.is_empty() {
                return Some(out);
            }
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
