//! Silent clients, by limits that a test can wait for.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const SHORT: Limits = Limits {
    head: Duration::from_millis(200),
    idle: Duration::from_millis(600),
    write: Duration::from_millis(200),
    linger: Duration::from_millis(200),
};

fn pair(room: usize) -> (DuplexStream, Clocked<DuplexStream>, Arc<Progress>) {
    let (client, server) = duplex(room);
    let progress = Progress::new();
    (client, Clocked::new(server, SHORT, Arc::clone(&progress)), progress)
}

async fn ends_after(stream: &mut Clocked<DuplexStream>, limit: Duration) {
    let start = Instant::now();
    let mut buffer = [0; 64];
    let error = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => panic!("the client has not closed"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let passed = start.elapsed();
    assert!(passed >= limit && passed < limit + Duration::from_millis(300), "{passed:?}");
}

#[tokio::test]
async fn a_new_connection_says_something() {
    let (_client, mut stream, _) = pair(64);
    ends_after(&mut stream, SHORT.head).await;
}

#[tokio::test]
async fn a_head_that_drips_is_late_all_the_same() {
    let (mut client, mut stream, _) = pair(64);
    let drip = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nhost: x\r\nx: yyyyyyyyyyyyyyyyyyy" {
            client.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client
    });
    ends_after(&mut stream, SHORT.head).await;
    drip.abort();
}

#[tokio::test]
async fn between_requests_there_is_more_time() {
    let (mut client, mut stream, progress) = pair(64);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 18);
    assert!(!progress.begin(false));
    progress.answered();
    ends_after(&mut stream, SHORT.idle).await;
}

#[tokio::test]
async fn a_request_at_its_page_has_its_pages_clock() {
    for done in [|_: &Progress| {}, Progress::upgraded] {
        let (mut client, mut stream, progress) = pair(64);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut buffer = [0; 64];
        let _ = stream.read(&mut buffer).await.unwrap();
        progress.begin(false);
        done(&progress);
        let late = tokio::time::timeout(SHORT.idle * 2, stream.read(&mut buffer)).await;
        assert!(late.is_err(), "it waits for ever: {late:?}");
    }
}

#[tokio::test]
async fn an_answer_is_read() {
    let (client, mut stream, _) = pair(8);
    let start = Instant::now();
    let error = stream.write_all(&[0; 64]).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed() >= SHORT.write), (io::ErrorKind::TimedOut, true));
    drop(client);
}

/// How long hanging up takes after `sent`, with a client that does not hang up itself.
async fn lingers_after(sent: &[u8]) -> Duration {
    let (mut client, mut stream, progress) = pair(64);
    client.write_all(sent).await.unwrap();
    let _ = stream.read(&mut [0; 64]).await.unwrap();
    progress.begin(false);
    progress.answered();
    let start = Instant::now();
    stream.shutdown().await.unwrap();
    start.elapsed()
}

#[tokio::test]
async fn only_who_was_cut_short_is_waited_for() {
    assert!(lingers_after(b"GET / HTTP/1.1\r\n\r\n").await < SHORT.linger);
    assert!(lingers_after(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await < SHORT.linger);
    assert!(lingers_after(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{").await >= SHORT.linger);
}

#[tokio::test]
async fn what_comes_after_the_end_is_thrown_away() {
    let (mut client, mut stream, _) = pair(64);
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n").await.unwrap();
    let _ = stream.read(&mut [0; 64]).await.unwrap();
    let sending = tokio::spawn(async move { client.write_all(&[b'x'; 999]).await });
    stream.shutdown().await.unwrap();
    sending.await.unwrap().expect("all of it is taken");
}
