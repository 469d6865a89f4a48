//! Hanging up so that the last words are heard.
//!
//! A socket that is closed with unread bytes in it resets its connection, and the reset takes from the other end what it has not read
//! yet: the very answer that says what was wrong. So the sending side is closed first, and what still comes is read until the other end
//! has closed, too (RFC 9112, 9.6; RFC 6455, 7.1.1).

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What is read at once, to be thrown away.
const DISCARD_BYTES: usize = 4 << 10;

/// Closes the sending side and waits until the other end has closed its own. The caller bounds the time.
pub async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    poll_fn(|context| poll_discard(Pin::new(stream), context)).await;
    Ok(())
}

/// Ready once the other end has closed, or the connection is broken, which is an end as well.
pub(super) fn poll_discard<S: AsyncRead>(mut stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<()> {
    let mut scratch = [const { MaybeUninit::uninit() }; DISCARD_BYTES];
    loop {
        let mut discarded = ReadBuf::uninit(&mut scratch);
        let read = ready!(stream.as_mut().poll_read(context, &mut discarded));
        if read.is_err() || discarded.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;

    /// More than both sockets hold: some of it is on its way when the other end hangs up.
    const SENT_BYTES: usize = 16 << 20;

    #[tokio::test]
    async fn who_is_still_sending_reads_why_it_was_hung_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut client, (mut server, _)) = (client.unwrap(), server.unwrap());
        let refusal = tokio::spawn(async move {
            server.write_all(b"too large").await.unwrap();
            timeout(Duration::from_secs(10), hang_up(&mut server)).await.expect("the client closes").unwrap();
        });
        client.write_all(&vec![b'x'; SENT_BYTES]).await.expect("nothing is reset");
        let mut why = String::new();
        client.read_to_string(&mut why).await.expect("nothing is reset");
        assert_eq!(why, "too large");
        drop(client);
        refusal.await.unwrap();
    }
}
