//! An authorization server that signs the tokens of RabbitMQ and of Service Bus (ES256) and remembers what it was asked.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};

use super::authority::put;

/// How long its tokens live, unless it is told otherwise.
const LIFE: Duration = Duration::from_secs(8);

pub(super) struct LoginServer {
    pub(super) port: u16,
    state: Arc<State>,
    public: String,
}

struct State {
    key: EcdsaKeyPair,
    /// It answers 503.
    down: AtomicBool,
    /// It knows no client.
    denies: AtomicBool,
    life: AtomicU64,
    granted: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl LoginServer {
    pub(super) fn start() -> Self {
        let pair = KeyPair::generate().expect("a key");
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &random).expect("a key");
        let state = Arc::new(State {
            key,
            down: AtomicBool::new(false),
            denies: AtomicBool::new(false),
            life: AtomicU64::new(LIFE.as_secs()),
            granted: AtomicUsize::new(0),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is its own affair.
                let _ = shared.answer(stream.expect("a connection"));
            }
        });
        Self { port, state, public: pair.public_key_pem() }
    }

    /// Writes the key that its tokens are verified with.
    pub(super) fn public_key(&self, folder: &Path) -> PathBuf {
        put(folder, "tokens.pem", &self.public)
    }

    pub(super) fn is_down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    pub(super) fn denies(&self, denies: bool) {
        self.state.denies.store(denies, Ordering::SeqCst);
    }

    /// How many tokens it gave away.
    pub(super) fn granted(&self) -> usize {
        self.state.granted.load(Ordering::SeqCst)
    }

    /// The requests, head and body.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().expect("no panic").clone()
    }

    /// A token that ends then.
    pub(super) fn token(&self, end: SystemTime) -> String {
        self.state.token(end)
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        let request = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break text;
                }
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(()),
                count => bytes.extend_from_slice(&chunk[..count]),
            }
        };
        self.asked.lock().expect("no panic").push(request);
        let (status, body) = if self.down.load(Ordering::SeqCst) {
            ("503 Service Unavailable", String::new())
        } else if self.denies.load(Ordering::SeqCst) {
            ("401 Unauthorized", r#"{"error":"invalid_client","error_description":"no such client"}"#.to_owned())
        } else {
            self.granted.fetch_add(1, Ordering::SeqCst);
            let life = self.life.load(Ordering::SeqCst);
            let token = self.token(SystemTime::now() + Duration::from_secs(life));
            ("200 OK", format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{life}}}"#))
        };
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    /// With all rights in RabbitMQ's default virtual host.
    fn token(&self, end: SystemTime) -> String {
        let end = end.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let head = r#"{"alg":"ES256","typ":"JWT","kid":"tests"}"#;
        let scope = r#"["rabbitmq.read:*/*","rabbitmq.write:*/*","rabbitmq.configure:*/*"]"#;
        let id = self.granted.load(Ordering::SeqCst);
        let claims = format!(
            r#"{{"aud":["rabbitmq","https://servicebus.azure.net"],"sub":"rialto","jti":"{id}","exp":{end},"scope":{scope}}}"#
        );
        let words = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(head), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), words.as_bytes()).expect("signed");
        format!("{words}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
