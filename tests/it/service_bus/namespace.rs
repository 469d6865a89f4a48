//! The HTTPS side of a namespace, as Microsoft documents it: what was posted to a queue or topic, message by message.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value as Json;

use crate::webhook::server::{Answer, Endpoint, Post};

/// The key of the policy `send`.
pub(crate) const KEY: &str = "SAS_KEY_VALUE";

/// A namespace that answers by a script, which sees the messages of each request and how many requests came before.
pub(crate) struct Namespace(pub(crate) Endpoint);

/// One message as it was posted.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) json: Json,
}

impl Namespace {
    /// One that takes everything, but what is sent to a queue or topic whose name begins with `missing`.
    pub(crate) async fn start() -> Self {
        Self::answering(|post, _| if post.path.starts_with("/missing") { Answer::status(404) } else { Answer::status(201) }).await
    }

    /// One that answers a post as it is told; whoever asks whether it is there hears that it is.
    pub(crate) async fn answering(script: impl Fn(&Post, usize) -> Answer + Send + Sync + 'static) -> Self {
        let answer = move |post: &Post, before: usize| if post.path == "/" { Answer::status(200) } else { script(post, before) };
        Self(Endpoint::start(answer).await)
    }

    /// The requests so far, without those that only asked whether it is there.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.0.posts().into_iter().filter(|post| post.path != "/").collect()
    }

    /// The messages that came to a queue or topic, in order.
    pub(crate) fn messages(&self, entity: &str) -> Vec<Message> {
        let path = format!("/{entity}/messages");
        self.posts().iter().filter(|post| post.path == path).flat_map(messages_of).collect()
    }
}

/// The broker's settings for a namespace at an address, in YAML.
pub(crate) fn settings(address: &str, further: &str) -> String {
    format!("{{ namespace: contoso, policy: send, key: {KEY}, endpoint: 'http://{address}', {further} }}")
}

/// The messages of one request, which must be an array of them.
pub(crate) fn messages_of(post: &Post) -> Vec<Message> {
    assert_eq!(post.header("content-type"), Some("application/vnd.microsoft.servicebus.json"));
    let Json::Array(messages) = serde_json::from_slice(&post.body).expect("JSON") else { panic!("no array: {}", post.text()) };
    messages.into_iter().map(|json| Message { json }).collect()
}

impl Message {
    /// The bytes that a reader would get.
    pub(crate) fn body(&self) -> Vec<u8> {
        let text = self.json["Body"].as_str().expect("a text");
        match self.user("rialto-encoding") {
            Some("base64") => BASE64_STANDARD.decode(text).expect("base64"),
            _ => text.as_bytes().to_vec(),
        }
    }

    /// A property of the broker's.
    pub(crate) fn broker(&self, name: &str) -> Option<&str> {
        self.json["BrokerProperties"].get(name)?.as_str()
    }

    /// An application property that is text.
    pub(crate) fn user(&self, name: &str) -> Option<&str> {
        self.json["UserProperties"].get(name)?.as_str()
    }
}
