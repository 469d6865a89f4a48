//! Microsoft's crate asks through this, and we hear the answer: it hands on a status and nothing else.
//!
//! What it writes is kept (method, path, `Content-Type`, body); what it cannot know is replaced: who we are, and where another endpoint
//! than the public cloud's stands.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use azure_core::{
    Body, BytesStream, HttpClient, Request, Response, StatusCode,
    error::{Error, ErrorKind},
    headers::{AUTHORIZATION, Headers},
};
use azure_messaging_servicebus::service_bus::{QueueClient, SendMessageOptions};

use super::{answer::Answer, pool::Pool};
use crate::outcome::{LinkDown, Reason};

/// What several messages in one request are called.
const BATCH: &str = "application/vnd.microsoft.servicebus.json";
/// The crate's host is replaced; where nothing else is written it is the namespace's.
const ANY_NAMESPACE: &str = "namespace";

/// One request.
struct Errand {
    pool: Pool,
    authorization: String,
    heard: Mutex<Option<Result<Answer, LinkDown>>>,
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Posts `body`, a JSON array of messages, to a queue or topic.
pub(super) async fn run(pool: &Pool, authorization: String, entity: &str, body: &str) -> Result<Answer, LinkDown> {
    let errand = Arc::new(Errand { pool: pool.clone(), authorization, heard: Mutex::default() });
    let http: Arc<dyn HttpClient> = Arc::clone(&errand) as _;
    let options = SendMessageOptions { content_type: Some(BATCH.into()), ..SendMessageOptions::default() };
    // A topic is posted to like a queue. The crate's own signature is made with no key and thrown away.
    let sent = match QueueClient::new(http, ANY_NAMESPACE, entity, "", String::new()) {
        Ok(client) => client.send_message(body, Some(options)).await,
        Err(error) => Err(error),
    };
    let heard = errand.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
    // What was heard counts, whatever the crate makes of it.
    heard.unwrap_or_else(|| {
        let why = sent.err().map_or_else(|| "no request was made".to_owned(), |error| error.to_string());
        Err(LinkDown::new(Reason::Link, format_args!("{entity}: {why}")))
    })
}

#[async_trait]
impl HttpClient for Errand {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        let Body::Bytes(body) = request.body() else {
            return Err(Error::message(ErrorKind::Other, "a body that is no text"));
        };
        let headers = request.headers().iter().filter(|(name, _)| **name != AUTHORIZATION);
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        let answer = self.pool.post(request.url().path(), headers, &self.authorization, body.clone()).await;
        let status = answer.as_ref().ok().and_then(|answer| StatusCode::try_from(answer.status.as_u16()).ok());
        let said = answer.as_ref().err().map(ToString::to_string);
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        match status {
            Some(status) => Ok(Response::new(status, Headers::new(), Box::pin(BytesStream::new_empty()))),
            None => Err(Error::message(ErrorKind::Io, said.unwrap_or_default())),
        }
    }
}
