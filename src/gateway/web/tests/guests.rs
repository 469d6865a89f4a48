//! Who may come in, and what they may hear.

use super::*;

fn tokens(lines: &str) -> (tempfile::NamedTempFile, Option<Tokens>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let tokens = Tokens::new(vec![file.path().to_owned()]);
    (file, Some(tokens))
}

const EVENTS: &str = "/subscribe?pattern=*";

#[tokio::test]
async fn a_page_of_another_origin_may_not_listen() {
    let doors = Opening::default().open();
    let own = format!("http://{}", doors.address);
    assert_eq!(doors.status(EVENTS, &[("Origin", &own)]).await, 200);
    assert!(doors.shake(&[("Origin", &own)]).await.0.starts_with("HTTP/1.1 101 "));
    let port = doors.address.port();
    let near =
        [format!("http://127.0.0.1:{}", port ^ 1), "http://127.0.0.1".to_owned(), format!("http://127.0.0.1:{port}.evil.example")];
    for origin in near.iter().map(String::as_str).chain(["http://evil.example", "null", "file://", ""]) {
        assert_eq!(doors.status(EVENTS, &[("Origin", origin)]).await, 403, "{origin}");
        assert!(doors.shake(&[("Origin", origin)]).await.0.starts_with("HTTP/1.1 403 "), "{origin}");
    }
    assert_eq!(doors.status(EVENTS, &[("Sec-Fetch-Site", "cross-site")]).await, 403);
    assert_eq!(doors.status(EVENTS, &[("Sec-Fetch-Site", "same-origin")]).await, 200);
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="websocket",reason="origin"} 7"#).await;
}

#[tokio::test]
async fn a_name_that_somebody_else_may_point_here_opens_nothing_without_tokens() {
    let doors = Opening::default().open();
    for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "app.localhost"] {
        assert_eq!(doors.status(EVENTS, &[("Host", host)]).await, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[::1].evil.example", ""]
    {
        assert_eq!(doors.status(EVENTS, &[("Host", host)]).await, 403, "{host}");
        // Same origin as the page that the name served: only the name gives it away.
        assert_eq!(doors.status(EVENTS, &[("Host", host), ("Origin", &format!("http://{host}"))]).await, 403, "{host}");
    }
    let (_file, tokens) = tokens("secret");
    let guarded = Opening { tokens, ..Opening::default() }.open();
    assert_eq!(guarded.status(EVENTS, &[("Host", "rialto.example"), ("Authorization", "Bearer secret")]).await, 200);
}

#[tokio::test]
async fn a_token_is_shown_by_header_or_by_subprotocol_and_never_said_back() {
    let (_file, tokens) = tokens("secret\nother app:*\n");
    let doors = Opening { tokens, ..Opening::default() }.open();
    for headers in
        [&[][..], &[("Authorization", "Bearer wrong")], &[("Authorization", "Basic secret")], &[("Authorization", "Bearer")]]
    {
        assert_eq!(doors.status(EVENTS, headers).await, 401, "{headers:?}");
        assert!(doors.shake(headers).await.0.starts_with("HTTP/1.1 401 "), "{headers:?}");
    }
    assert_eq!(doors.status("/subscribe?pattern=*&token=secret", &[]).await, 401, "not in an address, which proxies log");
    assert_eq!(doors.status(EVENTS, &[("Authorization", "bearer secret")]).await, 200);
    assert!(doors.shake(&[("Authorization", "Bearer secret")]).await.0.starts_with("HTTP/1.1 101 "));
    let (head, _) = doors.shake(&[("Sec-WebSocket-Protocol", "rialto, bearer.secret")]).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("sec-websocket-protocol: rialto\r\n"), "{head}");
    assert!(!head.contains("secret"), "{head}");
    assert!(doors.shake(&[("Sec-WebSocket-Protocol", "bearer.wrong")]).await.0.starts_with("HTTP/1.1 401 "));
    // The page itself shows nothing, and asks for the token.
    assert_eq!(doors.status("/", &[]).await, 200);
}

#[tokio::test]
async fn a_token_with_patterns_hears_and_says_nothing_else() {
    let (_file, tokens) = tokens("secret app:* other:?\n");
    let doors = Opening { tokens, ..Opening::default() }.open();
    let bearer = ("Authorization", "Bearer secret");
    assert_eq!(doors.status("/subscribe?channel=private", &[bearer]).await, 403);
    let (_, stream) = doors.shake(&[bearer]).await;
    let mut client = Client(WebSocketStream::from_raw_socket(stream, Role::Client, None).await);
    assert!(client.ask(r#"{"op":"subscribe","id":1,"channels":["private"]}"#).await.contains(r#""code":"forbidden""#));
    assert!(client.ask(r#"{"op":"publish","id":1,"channel":"private","message":1}"#).await.contains(r#""code":"forbidden""#));
    // A wide pattern is not wider than the token.
    assert_eq!(doors.status("/subscribe?pattern=*", &[bearer]).await, 403);
    assert!(client.ask(r#"{"op":"subscribe","id":1,"patterns":["*"]}"#).await.contains(r#""code":"forbidden""#));
    client.ask(r#"{"op":"subscribe","id":1,"patterns":["other:?"]}"#).await;
    doors.publish("private", "1");
    doors.publish("other:x", "2");
    assert!(client.hear_text().await.contains(r#""channel":"other:x""#));
    assert!(client.ask(r#"{"op":"publish","id":1,"channel":"other:yy","message":1}"#).await.contains(r#""code":"forbidden""#));
}

#[tokio::test]
async fn who_finds_no_place_is_told_to_come_later() {
    let doors = Opening { clients: 2, ..Opening::default() }.open();
    let one = doors.socket().await;
    let (_, _stream) = doors.ask(EVENTS, &[]).await;
    let (head, _) = doors.ask(EVENTS, &[]).await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("retry-after: 5\r\n"), "{head}");
    assert!(doors.shake(&[]).await.0.starts_with("HTTP/1.1 503 "));
    doors.counted(r#"rialto_gateway_dropped_clients_total{protocol="sse",reason="full"} 1"#).await;
    drop(one);
    doors.counted(r#"rialto_gateway_clients{protocol="websocket"} 0"#).await;
    assert_eq!(doors.status(EVENTS, &[]).await, 200);
}

#[tokio::test]
async fn the_page_asks_nothing_of_other_hosts_and_runs_nothing_that_is_written_into_it() {
    let doors = Opening::default().open();
    for (path, kind) in
        [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/page.svg", "image/svg+xml")]
    {
        let (head, _) = doors.ask(path, &[]).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("content-type: {kind}")), "{head}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "frame-ancestors 'none'",
        ] {
            assert!(head.contains(header), "{path}: no `{header}` in {head}");
        }
        assert!(!head.contains("unsafe"), "{head}");
    }
    let (_, mut stream) = doors.ask("/", &[("Connection", "close")]).await;
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.contains(r#"data-resp="6380""#), "{page}");
    let html = include_str!("../page/index.html");
    let script = include_str!("../page/page.js");
    for word in ["http://", "https://", "//", "onclick", "<style", "style="] {
        let found = html.find(word).map(|at| &html[at..html.len().min(at + 60)]);
        assert_eq!(found, None, "the page says `{word}`");
    }
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
        assert!(!script.contains(word), "the script says `{word}`");
    }
}
