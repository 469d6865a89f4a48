//! An authorization server of a few lines, which says what the test wants and remembers what it was asked.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::UNIX_EPOCH,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{settings::read_for_tests, *};
use crate::telemetry::Metrics;

/// What the server was asked: the head, and the form of the body.
#[derive(Debug, Clone)]
struct Asked {
    head: String,
    form: BTreeMap<String, String>,
}

struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers request number n with `answers(n)`: a status line and a body, after a pause.
    async fn start(answers: impl Fn(usize) -> (&'static str, String) + Send + Sync + 'static, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen, count) = (Arc::new(answers), Arc::clone(&asked), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen, count) = (Arc::clone(&answers), Arc::clone(&seen), Arc::clone(&count));
                tokio::spawn(async move {
                    let (request, mut stream) = read(stream).await;
                    seen.lock().expect("no panic").push(request);
                    let (status, body) = answers(count.fetch_add(1, Ordering::SeqCst));
                    sleep(pause).await;
                    let length = body.len();
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                    // A client that has gone is what some tests want.
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    fn client(&self) -> Arc<Bearer> {
        let text = format!("oauth: {{ token_url: 'http://{}/token', client_id: me, client_secret: 'se:cret' }}", self.address);
        bearer(&text)
    }
}

async fn read(mut stream: TcpStream) -> (Asked, TcpStream) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().expect("a number"));
            if body.len() >= length {
                let form = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
                return (Asked { head: head.to_owned(), form }, stream);
            }
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.expect("a request");
        assert!(count > 0, "half a request: {text}");
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn bearer(text: &str) -> Arc<Bearer> {
    let (bearer, faults) = read_for_tests(text);
    Arc::new(bearer.unwrap_or_else(|| panic!("{text}: {faults:?}")))
}

/// The token in hand may be renewed from now on.
fn fall_due(bearer: &Bearer) {
    bearer.lock().token.as_mut().expect("held").renew_at = Some(SystemTime::now());
}

fn house() -> House {
    House::new("test".into(), "test".into(), Arc::new(Metrics::default()))
}

fn granted(token: &str, life: u64) -> (&'static str, String) {
    ("200 OK", format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}}}"#))
}

fn jwt(expires_at: SystemTime) -> String {
    let seconds = expires_at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part("{}"), part(&format!(r#"{{"sub":"me","exp":{seconds}}}"#)), part("signature"))
}

#[tokio::test]
async fn a_client_shows_its_credentials_as_the_rfc_says() {
    let server = Server::start(|_| granted("t", 3600), Duration::ZERO).await;
    let address = &server.address;
    let text = format!(
        "oauth: {{ token_url: 'http://{address}/token', client_id: 'm:e', client_secret: 's c', scope: 'a b', audience: mq }}"
    );
    let token = bearer(&text).token(&house()).await.expect("a token");
    assert_eq!(token.reveal(), "t");
    let life = token.expires_at.expect("an end").duration_since(SystemTime::now()).expect("later");
    assert!(life > Duration::from_secs(3590) && life <= Duration::from_secs(3600), "{life:?}");
    let asked = &server.asked()[0];
    // base64 of `m%3Ae:s+c`.
    assert!(asked.head.contains("authorization: Basic bSUzQWU6cytj"), "{}", asked.head);
    assert!(asked.head.starts_with("POST /token HTTP/1.1"), "{}", asked.head);
    let form: Vec<_> = asked.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(form, [("audience", "mq"), ("grant_type", "client_credentials"), ("scope", "a b")]);

    let text =
        format!("oauth: {{ token_url: 'http://{address}/t', client_id: me, client_secret: x, client_auth: client_secret_post }}");
    bearer(&text).token(&house()).await.expect("a token");
    let asked = &server.asked()[1];
    assert!(!asked.head.contains("authorization"), "{}", asked.head);
    assert_eq!((asked.form["client_id"].as_str(), asked.form["client_secret"].as_str()), ("me", "x"));
}

#[tokio::test]
async fn entra_is_asked_in_each_of_its_ways() {
    let answer = |_| ("200 OK", r#"{"access_token":"t","token_type":"Bearer","expires_in":"86399","expires_on":"99"}"#.to_owned());
    let server = Server::start(answer, Duration::ZERO).await;
    let address = &server.address;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("federated");
    fs::write(&file, "their.word.signed\n").expect("a file");
    for text in [
        format!("entra: {{ tenant: contoso.example, client_id: app, client_secret: x, authority: 'http://{address}/' }}"),
        format!(
            "entra: {{ tenant: t-1, client_id: app, federated_token_file: '{}', authority: 'http://{address}/' }}",
            file.display()
        ),
        format!("entra: {{ managed_identity: true, client_id: mine, authority: 'http://{address}' }}"),
    ] {
        let token = bearer(&text).token(&house()).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let life = token.expires_at.expect("an end").duration_since(SystemTime::now()).expect("later");
        assert!(life > Duration::from_secs(86000), "numbers as text: {life:?}");
    }
    let asked = server.asked();
    assert!(asked[0].head.starts_with("POST /contoso.example/oauth2/v2.0/token "), "{}", asked[0].head);
    assert_eq!(asked[0].form["client_secret"], "x");
    assert_eq!(asked[0].form["scope"], "https://servicebus.azure.net/.default");
    assert_eq!(asked[1].form["client_assertion"], "their.word.signed");
    assert_eq!(asked[1].form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let path =
        "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fservicebus.azure.net&client_id=mine ";
    assert!(asked[2].head.starts_with(path) && asked[2].head.contains("metadata: true"), "{}", asked[2].head);
}

#[tokio::test]
async fn many_who_need_one_ask_once_and_hear_one_answer() {
    let server = Server::start(|n| granted(&format!("t{n}"), 3600), Duration::from_millis(200)).await;
    let (bearer, house) = (server.client(), house());
    let tokens = futures_util::future::join_all((0..20).map(|_| bearer.token(&house))).await;
    assert!(tokens.into_iter().all(|token| token.expect("a token").reveal() == "t0"));
    assert_eq!(server.asked().len(), 1);

    let denied = |_| ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned());
    let server = Server::start(denied, Duration::from_millis(200)).await;
    let bearer = server.client();
    let tokens = futures_util::future::join_all((0..20).map(|_| bearer.token(&house))).await;
    assert!(tokens.into_iter().all(|token| token.is_err_and(|error| error.reason == Reason::Unauthenticated)));
    assert_eq!(server.asked().len(), 1, "a refusal is everybody's who waited");
    bearer.token(&house).await.expect_err("still refused");
    assert_eq!(server.asked().len(), 2, "and nobody's who comes later");
}

#[tokio::test]
async fn a_refusal_is_told_without_the_secret() {
    for (answer, reason, words) in [
        (
            ("401 Unauthorized", r#"{"error":"invalid_client","error_description":"AADSTS7000215: se:cret\r\n is wrong"}"#),
            Reason::Unauthenticated,
            "401 Unauthorized: invalid_client: AADSTS7000215: *** is wrong",
        ),
        (("400 Bad Request", r#"{"error":"invalid_scope"}"#), Reason::Unauthenticated, "400 Bad Request: invalid_scope"),
        (("503 Service Unavailable", "<html>later</html>"), Reason::Throttled, "503 Service Unavailable"),
        (("429 Too Many Requests", r#"{"error":"slow_down"}"#), Reason::Throttled, "429 Too Many Requests: slow_down"),
        (("307 Temporary Redirect", ""), Reason::Link, "a secret is not sent on"),
        (("404 Not Found", "nothing"), Reason::Link, "404 Not Found"),
        (("200 OK", "<html>"), Reason::Link, "the answer is no token"),
        (("200 OK", r#"{"access_token":"t","token_type":"mac"}"#), Reason::Link, "no bearer token"),
        (("200 OK", r#"{"access_token":"t t"}"#), Reason::Link, "what no token may hold"),
        (("200 OK", r#"{"access_token":"t","expires_in":1}"#), Reason::Unauthenticated, "the token has expired"),
    ] {
        let server = Server::start(move |_| (answer.0, answer.1.to_owned()), Duration::ZERO).await;
        let error = server.client().token(&house()).await.expect_err(words);
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.detail.contains(words) && error.detail.contains(&server.address), "{error}");
        assert!(!error.detail.contains("se:cret") && !error.detail.contains("se%3Acret"), "{error}");
    }
    let long = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(70_000));
    let server = Server::start(move |_| ("200 OK", long.clone()), Duration::ZERO).await;
    let error = server.client().token(&house()).await.expect_err("too long");
    assert!(error.detail.contains("longer than 64 KiB"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_asked_says_which_step_failed() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let speaks_no_tls = plain.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        }
    });
    for (url, reason) in [
        (format!("http://{nobody}/"), Reason::Link),
        ("http://no-such-host.invalid/".to_owned(), Reason::Dns),
        (format!("https://{speaks_no_tls}/"), Reason::Tls),
    ] {
        let text = format!("oauth: {{ token_url: '{url}', client_id: me, client_secret: x }}");
        let error = bearer(&text).token(&house()).await.expect_err(&url);
        assert_eq!(error.reason, reason, "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_given_up() {
    let server = Server::start(|_| granted("t", 3600), Duration::from_secs(60)).await;
    let start = Instant::now();
    let error = server.client().token(&house()).await.expect_err("no answer");
    assert_eq!(error.reason, Reason::Timeout, "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_and_used_while_that_fails() {
    let answers = |n| match n {
        0 => granted("first", 8),
        1 => ("500 Internal Server Error", String::new()),
        _ => granted("second", 3600),
    };
    let server = Server::start(answers, Duration::ZERO).await;
    let (bearer, house) = (server.client(), house());
    let token = bearer.token(&house).await.expect("a token");
    fall_due(&bearer);
    assert_eq!(bearer.token(&house).await.expect("the old one holds").reveal(), "first");
    while server.asked().len() < 2 || bearer.asking.try_lock().is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bearer.token(&house).await.expect("no question at once").reveal(), "first");
    assert_eq!(server.asked().len(), 2);
    fall_due(&bearer);
    let next = timeout(Duration::from_secs(5), bearer.after(&token, &house)).await.expect("the next");
    assert_eq!(next.reveal(), "second");
    // Another connection may have been told of the first, and asks only now.
    let next = timeout(Duration::from_millis(500), bearer.after(&token, &house)).await.expect("it is there");
    assert_eq!(next.reveal(), "second");
}

#[tokio::test]
async fn nobody_waits_for_an_issuer_while_a_token_holds() {
    let server = Server::start(|n| granted(&format!("t{n}"), 3600), Duration::from_millis(700)).await;
    let (bearer, house) = (server.client(), house());
    bearer.token(&house).await.expect("a token");
    fall_due(&bearer);
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(bearer.token(&house).await.expect("it holds").reveal(), "t0");
    }
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    while bearer.token(&house).await.expect("it holds").reveal() == "t0" {
        assert!(start.elapsed() < Duration::from_secs(5), "the next one comes by itself");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.asked().len(), 2, "one question for all of them");
}

#[tokio::test]
async fn a_refused_token_is_not_shown_again() {
    let server = Server::start(|n| granted(&format!("t{n}"), 3600), Duration::ZERO).await;
    let (bearer, house) = (server.client(), house());
    let token = bearer.token(&house).await.expect("a token");
    bearer.refused(&token);
    assert_eq!(bearer.token(&house).await.expect("a token").reveal(), "t0", "just got: its issuer has no other");
    bearer.lock().token.as_mut().expect("held").had_since = Instant::now().checked_sub(YOUNG).expect("up for so long");
    bearer.refused(&token);
    assert_eq!(bearer.token(&house).await.expect("a token").reveal(), "t1");
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes_and_its_end_is_read_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let end = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    fs::write(&file, format!("{}\n", jwt(end))).expect("a file");
    let (bearer, house) = (bearer(&format!("token_file: '{}'", file.display())), house());
    let first = bearer.token(&house).await.expect("a token");
    assert_eq!((first.reveal(), first.expires_at), (jwt(end).as_str(), Some(end)));

    fs::write(&file, "opaque").expect("a file");
    let next = timeout(Duration::from_secs(5), bearer.after(&first, &house)).await.expect("the next");
    assert_eq!((next.reveal(), next.expires_at), ("opaque", None));

    // Half written, or gone: the old one is used.
    fs::remove_file(&file).expect("a file");
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(bearer.token(&house).await.expect("the old one").reveal(), "opaque");

    fs::write(&file, jwt(SystemTime::now())).expect("a file");
    let fresh = self::bearer(&format!("token_file: '{}'", file.display()));
    let error = fresh.token(&house).await.expect_err("over");
    assert_eq!(error.reason, Reason::Unauthenticated);
    assert_eq!(error.detail, format!("{}: the token has expired", file.display()));
}

#[tokio::test]
async fn a_token_in_the_configuration_has_no_other_after_it() {
    let (bearer, house) = (bearer("token: abc"), house());
    let token = bearer.token(&house).await.expect("a token");
    timeout(Duration::from_secs(2), bearer.after(&token, &house)).await.expect_err("none");
    assert!(!format!("{bearer:?} {token:?}").contains("abc"));
}

#[test]
fn what_is_written_wrong_is_said_at_once() {
    for (text, said) in [
        ("{ token: a, oauth: { token_url: 'https://x/', client_id: a, client_secret: b } }", "exclude each other"),
        ("oauth: {}", "`oauth` needs `token_url`"),
        ("oauth: { token_url: 'https://x/', client_id: a }", "needs `client_secret` or `client_secret_file`"),
        ("oauth: { token_url: 'ftp://x/', client_id: a, client_secret: b }", "`token_url` begins with `https://`"),
        ("oauth: { token_url: 'https://u:p@x/', client_id: a, client_secret: b }", "holds credentials"),
        ("oauth: { token_url: 'https://x/', client_id: a, client_secret: b, client_auth: header }", "cannot be `header`"),
        ("oauth: { token_url: 'https://x/', client_id: a, client_secret: b, scopes: c }", "unknown key `scopes`"),
        (
            "oauth: { token_url: 'http://login/', client_id: a, client_secret: b }",
            "the client's secret travels to `login` unencrypted",
        ),
        ("entra: { tenant: 'a/b', client_id: a, client_secret: b }", "`tenant` is the directory's id"),
        ("entra: { client_id: a, client_secret: b }", "`entra` needs `tenant`"),
        ("entra: { tenant: a, client_id: b }", "`managed_identity: true`"),
        ("entra: { tenant: a, client_id: b, client_secret: c, federated_token_file: /dev/null }", "exclude each other"),
        ("entra: { managed_identity: true, client_secret: c }", "`client_secret` is not of a managed identity"),
        ("entra: { tenant: a, client_id: b, cert_file: /dev/null }", "`cert_file` needs `key_file`"),
    ] {
        let (_, faults) = read_for_tests(text);
        assert!(faults.iter().any(|problem| problem.message.contains(said)), "{text}: {faults:?}");
    }
}
