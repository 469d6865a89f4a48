//! An endpoint that hangs, drips, floods, redirects, breaks off, or talks nonsense costs one message its time and nothing else.

use std::time::Duration;

use rialto::outcome::{Outcome, Reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep},
};

use super::{
    Rig, reason,
    server::{Answer, Endpoint},
};
use crate::support::{self, message};

const QUICK: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_has_no_whole_answer_in_time_is_refused_and_the_others_are_delivered_meanwhile() {
    for bad in [Answer::Hang, Answer::Drip] {
        let answer = move |post: &super::server::Post, _| {
            if post.text().contains("bad") { bad.clone() } else { Answer::status(200) }
        };
        let mut rig = Rig::to(Endpoint::start(answer).await, "").await;
        let (bad, good) = (message("\"bad\""), message("\"good\""));
        let start = Instant::now();
        let outcomes = rig.send(&[("a", &bad), ("b", &good), ("", &good), ("a", &good)], QUICK).await;
        let found: Vec<_> = outcomes.iter().map(reason).collect();
        // The last one has the key of the first: it was not sent at all, and no try is counted for it.
        assert_eq!(found, [Some(Reason::Timeout), None, None, Some(Reason::Link)], "{outcomes:?}");
        assert!(start.elapsed() < 3 * QUICK, "{:?}", start.elapsed());
        assert_eq!(rig.endpoint.texts().iter().filter(|text| text.contains("good")).count(), 2);
        assert_eq!(rig.one(LONG).await, Outcome::Delivered(rialto::outcome::Proof::Confirmed), "the link lives on");
    }
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let mut rig =
        Rig::to(Endpoint::start(|_, before| if before == 0 { Answer::Flood } else { Answer::status(200) }).await, "").await;
    let start = Instant::now();
    assert_eq!(reason(&rig.one(LONG).await), Some(Reason::Refused));
    assert!(start.elapsed() < Duration::from_secs(3), "by its size, not by its time");
    assert_eq!(reason(&rig.one(LONG).await), None);
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Endpoint::content().await;
        let place = elsewhere.url();
        let answer = move |_: &super::server::Post, _| Answer::Status(status, vec![("location", place.clone())]);
        let mut rig = Rig::to(Endpoint::start(answer).await, "").await;
        assert_eq!(reason(&rig.one(LONG).await), Some(Reason::Refused), "{status}");
        assert_eq!((elsewhere.posts().len(), elsewhere.connections()), (0, 0));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_unknown_and_one_message_that_breaks_them_all_is_refused_by_it() {
    let answer = |post: &super::server::Post, _| if post.text().contains("bad") { Answer::Close } else { Answer::status(200) };
    let mut rig = Rig::to(Endpoint::start(answer).await, "").await;
    let (bad, good) = (message(r#"{"event_id":"bad"}"#), message(r#"{"event_id":"good"}"#));
    let mut found = Vec::new();
    for _ in 0..4 {
        let outcomes = rig.send(&[("a", &bad), ("b", &good)], LONG).await;
        assert_eq!(reason(&outcomes[1]), None);
        found.push(reason(&outcomes[0]));
    }
    assert_eq!(found, [Some(Reason::Link), Some(Reason::Link), Some(Reason::KillsLink), Some(Reason::Link)]);
}

#[tokio::test]
async fn what_is_no_http_is_a_refusal_and_a_head_without_an_end_is_cut_off() {
    for said in ["SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20))] {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", server.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                let said = said.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(said.as_bytes()).await;
                        sleep(LONG).await;
                    }
                });
            }
        });
        let broker = support::broker(&rialto::broker::webhook::KIND, &url);
        let target = support::target(&*broker, "path: x");
        let mut link = broker.link(&target.link, &support::house()).await.expect("a link");
        let one = message("{}");
        let out = rialto::broker::Outgoing { timeout: LONG, ..support::outgoing(&target, &one, "x") };
        let start = Instant::now();
        assert_eq!(reason(&support::send(&mut *link, &[out]).await[0]), Some(Reason::Refused));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_a_link_that_is_down_and_costs_no_try() {
    let mut rig = Rig::to(Endpoint::content().await, "").await;
    assert_eq!(reason(&rig.one(LONG).await), None);
    let address = rig.endpoint.address.to_string();
    rig.endpoint = Endpoint::content().await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(reason(&rig.one(LONG).await), Some(Reason::Link));
    let one = message("{}");
    let again = support::try_send(&mut *rig.link, &[support::outgoing(&rig.target, &one, "in")]).await;
    assert!(again.is_err(), "{again:?}");
    assert!(rig.link.ping().await.is_err());
    assert!(rig.broker.link(&rig.target.link, &support::house()).await.is_err());
    let back = Endpoint::start_at(&address, |_, _| Answer::status(200)).await;
    rig.link = rig.broker.link(&rig.target.link, &support::house()).await.expect("it is back");
    assert_eq!(reason(&rig.one(LONG).await), None);
    assert_eq!(back.posts().len(), 1);
}

#[tokio::test]
async fn a_server_that_takes_one_connection_gets_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        drop(listener);
        let mut buffer = vec![0; 64 << 10];
        let mut seen = String::new();
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            seen += &String::from_utf8_lossy(&buffer[..read]);
            // Each of these requests fits into one packet, and the next comes only after its answer.
            sleep(Duration::from_millis(5)).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("a live socket");
        }
        seen.matches("POST ").count()
    });
    let broker = support::broker(&rialto::broker::webhook::KIND, &url);
    let target = support::target(&*broker, "path: x");
    let mut link = broker.link(&target.link, &support::house()).await.expect("a link");
    let messages: Vec<_> = (0..20).map(|n| message(format!("{n}"))).collect();
    let batch: Vec<_> = messages.iter().map(|message| support::outgoing(&target, message, "x")).collect();
    let outcomes = support::send(&mut *link, &batch).await;
    assert!(outcomes.iter().all(|outcome| reason(outcome).is_none()), "{outcomes:?}");
    drop(link);
    assert_eq!(server.await.expect("no panic"), 20);
}
