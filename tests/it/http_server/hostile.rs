//! Clients that mean harm: they are refused, and the next one is served.

use super::*;

/// The status of what is answered to raw bytes; empty where the connection is closed without a word.
async fn refused(inn: &Inn, bytes: &[u8], expected: &[&str]) {
    let answer = inn.say(bytes).await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    assert!(expected.contains(&status(&answer)), "{shown:?} is answered {answer:?}");
}

#[tokio::test]
async fn heads_that_can_be_read_in_two_ways_are_refused() {
    let inn = Inn::open("").await;
    for head in [
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{}",
        "POST /events HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
        "POST /events HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\nContent-Length: 2\r\n\r\n{}",
        "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
        "POST /events HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 2\r\n\r\n{}",
        "POST /events HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /events HTTP/1.1\r\nHost: x\r\nA: b\0c\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        refused(&inn, head.as_bytes(), &["400"]).await;
    }
    assert_eq!(inn.running.door.held(), 0);
}

#[tokio::test]
async fn what_is_too_large_or_too_old_is_refused() {
    let inn = Inn::open("message_max: 1KiB").await;
    let long = |bytes: usize| "y".repeat(bytes);
    refused(&inn, format!("POST /events/{} HTTP/1.1\r\nHost: x\r\n\r\n", long(9000)).as_bytes(), &["414"]).await;
    refused(&inn, format!("POST /events HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", long(20_000)).as_bytes(), &["431"]).await;
    let many = (0..80).map(|n| format!("A{n}: b\r\n")).collect::<Vec<_>>().concat();
    refused(&inn, format!("POST /events HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes(), &["431"]).await;
    refused(&inn, b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n", &["413"]).await;
    refused(&inn, b"POST /events HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", &["505"]).await;
    let chunked =
        format!("POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n", long(0x800));
    refused(&inn, chunked.as_bytes(), &["413"]).await;
    refused(&inn, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["", "400"]).await;
    let bomb = "1\n".repeat(10_001);
    let lines = "Content-Type: application/x-ndjson\r\n";
    let request = format!("POST /events HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {}\r\n\r\n{bomb}", bomb.len());
    refused(&inn, request.as_bytes(), &["413"]).await;
    assert_eq!(inn.running.door.held(), 0);
}

#[tokio::test]
async fn who_is_still_sending_too_much_hears_so() {
    let inn = Inn::open("message_max: 1KiB").await;
    let mut stream = TcpStream::connect(inn.address).await.expect("a connection");
    let head = format!("POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 16 << 20);
    stream.write_all(head.as_bytes()).await.expect("a head");
    stream.write_all(&vec![b'x'; 16 << 20]).await.expect("the connection is not reset");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(status(&answer), "413", "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let inn = Inn::open("").await;
    let answers = inn.say(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let places: Vec<_> = ["HTTP/1.1 405", "HTTP/1.1 404"].iter().map(|line| answers.find(line)).collect();
    assert!(places[0].is_some() && places[0] < places[1], "{answers}");
}

#[tokio::test]
async fn beyond_the_cap_a_connection_is_told_to_come_again_and_places_come_back() {
    let mut inn = Inn::open_with("{ listen: 127.0.0.1:0, connections: 2 }", "").await;
    let held = [TcpStream::connect(inn.address).await.expect("one"), TcpStream::connect(inn.address).await.expect("two")];
    tokio::time::sleep(Duration::from_millis(100)).await;
    refused(&inn, b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", &["503"]).await;
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = inn.post("", "", "{}", || Verdict::Accepted).await;
    assert_eq!(status(&answer), "200", "{answer}");
}
