//! One connection, from its first byte to its end.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{
    Body, HttpListener, Peer,
    clocked::{Clocked, LIMITS, Progress},
    head::{self, HEAD_BYTES_MAX},
};

/// Serves requests until the client, a limit of time or the listener's end ends it; then the request in flight is still answered.
pub(super) async fn converse<S>(listener: Arc<HttpListener>, stream: S, peer: Peer, mut closing: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let address = listener.address();
    let progress = Progress::new();
    let stream = Clocked::new(stream, LIMITS, Arc::clone(&progress));
    let service = service_fn(move |request| {
        let (listener, progress) = (Arc::clone(&listener), Arc::clone(&progress));
        async move { Ok::<_, Infallible>(answer(&listener, request, peer, &progress).await) }
    });
    // The clocks are those of `Clocked`: the library's own knows no difference between an idle client and a slow one.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let closed = async {
        // An error says that the listeners are gone, which closes too.
        let _ = closing.wait_for(|closing| *closing).await;
    };
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = closed => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(listener = %address, peer = %peer.address, %error, "a connection broke");
    }
}

async fn answer(listener: &HttpListener, request: Request<Incoming>, peer: Peer, progress: &Arc<Progress>) -> Response<Body> {
    let response = match head::fault(&request, progress) {
        Some(fault) => fault.response(),
        None => listener.answer(request, peer).await,
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        progress.upgraded();
        return response;
    }
    if response.body().size_hint().exact().is_some() {
        progress.answered();
        return response;
    }
    let progress = Arc::clone(progress);
    response.map(|body| Stream { body, progress }.boxed_unsync())
}

/// An answer that takes its time: the connection is not idle before its end.
struct Stream {
    body: Body,
    progress: Arc<Progress>,
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.progress.answered();
    }
}
