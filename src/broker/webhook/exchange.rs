//! One request and its answer, on one connection, in one time.

use std::{
    error::Error,
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Incoming, header::HeaderMap};
use tokio::time::timeout;

use super::{
    answer::{self, QUOTED_BYTES_MAX},
    connect::Connection,
};
use crate::outcome::{LinkDown, Outcome, Reason, Refusal};

/// An answer's body is read, because only then the connection can be used again, and thrown away. More than this is no answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How it went.
pub(super) enum Exchanged {
    /// It was answered; the connection is there where it can be used again.
    Answered(Outcome, Option<Connection>),
    /// The connection was closed before a byte of the request was on it; why.
    Unsent(Box<Request<Full<Bytes>>>, LinkDown),
    /// The connection broke: nobody can say whether it arrived.
    Broken(LinkDown),
}

/// Why there is no answer.
enum Fault {
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    Http(hyper::Error),
    TooMuch,
}

/// Sends one request and reads its whole answer.
pub(super) async fn exchange(mut connection: Connection, request: Request<Full<Bytes>>, limit: Duration) -> Exchanged {
    let talked = timeout(limit, talk(&mut connection, request)).await;
    let refused = |reason, detail: String| Exchanged::Answered(Outcome::Refused(Refusal::new(reason, detail)), None);
    match talked {
        Ok(Ok((status, headers, said))) => {
            connection.idle_since = Some(Instant::now());
            let reusable = !connection.sender.is_closed();
            Exchanged::Answered(answer::outcome(status, &headers, &said, SystemTime::now()), reusable.then_some(connection))
        }
        Ok(Err(Fault::Unsent(request, error))) => Exchanged::Unsent(request, down(&error)),
        Ok(Err(Fault::TooMuch)) => refused(Reason::Refused, format!("its answer is longer than {ANSWER_BYTES_MAX} bytes")),
        // It answered, though not in HTTP: that is its word on this message.
        Ok(Err(Fault::Http(error))) if error.is_parse() => refused(Reason::Refused, format!("its answer is no HTTP: {error}")),
        Ok(Err(Fault::Http(error))) => Exchanged::Broken(down(&error)),
        // The server may still be at it; what it says later is nobody's.
        Err(_) => refused(Reason::Timeout, format!("no complete answer in {limit:?}")),
    }
}

/// The error and what is behind it, which says more. In TLS 1.3 a server judges our certificate after the handshake: its alert ends the
/// connection.
pub(super) fn down(error: &hyper::Error) -> LinkDown {
    let (mut words, mut reason) = (error.to_string(), Reason::Link);
    let mut next = error.source();
    while let Some(cause) = next {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
            reason = Reason::Tls;
        }
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    LinkDown::new(reason, words)
}

async fn talk(connection: &mut Connection, request: Request<Full<Bytes>>) -> Result<(StatusCode, HeaderMap, Vec<u8>), Fault> {
    let Connection { sender, driver, .. } = connection;
    let asked = async {
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                return Err(match error.take_message() {
                    Some(request) => Fault::Unsent(Box::new(request), error.into_error()),
                    None => Fault::Http(error.into_error()),
                });
            }
        };
        let (head, body) = response.into_parts();
        let said = read(body).await?;
        // Until the connection has seen the end of it, too.
        let _ = sender.ready().await;
        Ok((head.status, head.headers, said))
    };
    let mut asked = pin!(asked);
    let mut over = false;
    poll_fn(|context| {
        if let Poll::Ready(answer) = asked.as_mut().poll(context) {
            return Poll::Ready(answer);
        }
        if over {
            return Poll::Pending;
        }
        // Its own error is told to `asked`, too, which knows what it was asking.
        over = driver.poll_unpin(context).is_ready();
        asked.as_mut().poll(context)
    })
    .await
}

/// Reads a body to its end and keeps its beginning.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Fault> {
    let (mut said, mut total) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Fault::Http)?.into_data() else { continue };
        total += data.remaining();
        if total > ANSWER_BYTES_MAX {
            return Err(Fault::TooMuch);
        }
        let room = QUOTED_BYTES_MAX - said.len();
        said.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(said)
}
