//! What a producer is told.

use super::*;

#[tokio::test]
async fn a_verdict_becomes_a_status_and_the_id_is_told() {
    let mut inn = Inn::open("").await;
    let answer = inn.post("/UserJoined", "", "{}", || Verdict::Accepted).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.ends_with("{\"message_id\":\"the-id\"}\n"), "{answer}");
    let answer = inn.post("/UserJoined", "", "{}", rejected).await;
    assert_eq!(status(&answer), "502", "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains(r#""reason":"refused""#), "{answer}");
}

#[tokio::test]
async fn a_repeated_key_is_delivered_once() {
    let mut inn = Inn::open("").await;
    let key = "Idempotency-Key: \"one\"\r\n";
    let first = inn.post("", key, "{}", || Verdict::Accepted).await;
    assert_eq!(status(&first), "200", "{first}");
    let again = inn.post("", key, "{}", || panic!("delivered twice")).await;
    assert!(status(&again) == "200" && again.contains("idempotent-replayed: true"), "{again}");
    let other = inn.post("", key, "[]", || panic!("delivered")).await;
    assert_eq!(status(&other), "422", "{other}");
}

#[tokio::test]
async fn without_a_verdict_in_time_the_producer_is_told_to_come_again() {
    let inn = Inn::open("respond_within: 100ms").await;
    let answer = inn.say(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").await;
    assert!(status(&answer) == "503" && answer.contains("retry-after: 1"), "{answer}");
}

#[tokio::test]
async fn a_path_whose_source_is_not_open_says_so() {
    let inn = Inn::open("").await;
    let Inn { house, broker, address, running } = inn;
    timeout(PATIENCE, running.close()).await.expect("in time").expect("an orderly end");
    let mut stream = TcpStream::connect(address).await.expect("a listener");
    stream.write_all(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.expect("written");
    let answer = heard(&mut stream).await;
    assert!(status(&answer) == "503" && answer.contains("retry-after: 1"), "{answer}");
    stream.write_all(b"POST /else HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.expect("written");
    assert_eq!(status(&heard(&mut stream).await), "404");
    drop((house, broker));
}

/// What a producer is told with a 404 it takes for the last word: a bridge that only begins must not say it.
#[tokio::test]
async fn nothing_is_told_to_be_missing_before_the_paths_are_known() {
    let (broker, house) = (support::broker(&KIND, "listen: 127.0.0.1:0"), support::house());
    let listener = house.listeners.http(&"there".into(), broker.listens().expect("it listens")).expect("a free port");
    let mut stream = TcpStream::connect(listener.address()).await.expect("a listener");
    for (expected, told) in [(None, "503"), (Some(Vec::new()), "404")] {
        if let Some(paths) = expected {
            listener.expect(paths);
        }
        stream.write_all(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.expect("written");
        let answer = heard(&mut stream).await;
        assert_eq!(status(&answer), told, "{answer}");
    }
}

#[tokio::test]
async fn other_methods_pages_and_types_are_refused() {
    let inn = Inn::open("").await;
    let get = inn.say(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(status(&get) == "405" && get.contains("allow: POST"), "{get}");
    let page = inn.say(b"POST /events HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(status(&page), "403", "{page}");
    let xml = inn.say(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(status(&xml), "415", "{xml}");
}

#[tokio::test]
async fn only_who_shows_a_token_comes_in() {
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), "sesame\n").expect("written");
    let mut inn = Inn::open(&format!("verify: {{ bearer: {{ token_files: {:?} }} }}", tokens.path())).await;
    for wrong in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic sesame\r\n"] {
        let answer = inn.post("", wrong, "{}", || panic!("delivered")).await;
        assert!(status(&answer) == "401" && answer.contains("www-authenticate: Bearer"), "{answer}");
    }
    let answer = inn.post("", "Authorization: Bearer sesame\r\n", "{}", || Verdict::Accepted).await;
    assert_eq!(status(&answer), "200", "{answer}");
}
