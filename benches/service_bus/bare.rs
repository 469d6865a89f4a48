//! The bare loop that sending to Service Bus over HTTPS is measured against: the least code that makes batches of a file's lines and
//! posts them by the same HTTP client.
//!
//! `bare FILE URL AUTHORIZATION BATCH_BYTES`
//!
//! What it sends is what the bridge sends: the line as the body, its id and name, its type as a property, in order, one request after
//! the other, the next one made while the last is on its way. It has no routes, no templates, no retries, no metrics; it unwraps.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader},
};

use reqwest::{Client, StatusCode};
use serde::Deserialize;

/// So many messages are in a request at most, as the bridge has it.
const MESSAGES_MAX: usize = 1000;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "message_type")]
    kind: &'a str,
    #[serde(rename = "message_name")]
    name: &'a str,
    #[serde(rename = "message_id")]
    id: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, url, authorization, batch_bytes] = &arguments[..] else { panic!("bare FILE URL AUTHORIZATION BATCH_BYTES") };
    let batch_bytes: usize = batch_bytes.parse().unwrap();
    // The client wants to know how it would encrypt, although nothing is.
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let client = Client::builder().tls_built_in_root_certs(false).tcp_nodelay(true).http1_only().no_proxy().build().unwrap();
    let mut lines = BufReader::with_capacity(1 << 20, File::open(file).unwrap());
    let mut line = Vec::new();
    let mut on_the_way: Option<tokio::task::JoinHandle<()>> = None;
    let mut batch = Batch::new();
    loop {
        line.clear();
        let ended = lines.read_until(b'\n', &mut line).unwrap() == 0;
        if ended || batch.messages == MESSAGES_MAX || batch.text.len() + line.len() * 2 + 200 > batch_bytes {
            if let Some(request) = on_the_way.take() {
                request.await.unwrap();
            }
            let body = std::mem::replace(&mut batch, Batch::new()).end();
            let request = client
                .post(url)
                .header("authorization", authorization)
                .header("content-type", "application/vnd.microsoft.servicebus.json")
                .body(body);
            on_the_way = Some(tokio::spawn(async move {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::CREATED);
                answer.bytes().await.unwrap();
            }));
            // The request is on its way before the next one is made.
            tokio::task::yield_now().await;
        }
        if ended {
            break;
        }
        batch.add(line.trim_ascii_end());
    }
    on_the_way.unwrap().await.unwrap();
}

/// A request that grows.
struct Batch {
    text: String,
    messages: usize,
}

impl Batch {
    fn new() -> Self {
        Self { text: String::with_capacity(1 << 18), messages: 0 }
    }

    fn add(&mut self, line: &[u8]) {
        let body = std::str::from_utf8(line).unwrap();
        let Envelope { kind, name, id } = serde_json::from_str(body).unwrap();
        self.text.push(if self.messages == 0 { '[' } else { ',' });
        self.messages += 1;
        let body = serde_json::to_string(body).unwrap();
        write!(
            self.text,
            r#"{{"Body":{body},"BrokerProperties":{{"MessageId":"{id}","Label":"{name}","ContentType":"application/json"}},"UserProperties":{{"message_type":"{kind}"}}}}"#
        )
        .unwrap();
    }

    fn end(mut self) -> String {
        self.text.push(']');
        self.text
    }
}
