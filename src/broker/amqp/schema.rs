//! JSON Schema of what people write for this kind: the keys that `settings`, `origin`, `declare` and `target` ask for.

use schemars::JsonSchema;

use crate::broker::{
    bearer::{WrittenEntra, WrittenOauth},
    schema::OneOrMany,
    tls,
};

/// RabbitMQ, or a cluster of them, by AMQP 0-9-1.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors: its values are read field by field, with their places")]
#[schemars(deny_unknown_fields)]
pub(super) struct AmqpBroker {
    /// `amqp://user:password@host:5672/vhost`, or `amqps://`; a list for the nodes of a cluster, tried in a random order.
    url: Option<OneOrMany<String>>,
    /// A file with the URLs, one a line, read anew at each connection.
    url_file: Option<String>,
    /// Wins over the URL's user.
    username: Option<String>,
    /// Wins over the URL's password.
    password: Option<String>,
    /// A file with the password, read anew at each connection.
    password_file: Option<String>,
    /// Wins over the URL's path.
    vhost: Option<String>,
    /// Between heartbeats; a dead peer is noticed within two.
    #[schemars(extend("default" = "10s"))]
    heartbeat: Option<String>,
    /// Who we are: by password or token, or by our certificate (EXTERNAL).
    #[schemars(extend("enum" = ["password", "external"], "default" = "password"))]
    auth: Option<String>,
    /// A token instead of a password.
    token: Option<String>,
    /// A file that holds it, read anew when it changes.
    token_file: Option<String>,
    /// A token from an authorization server.
    oauth: Option<WrittenOauth>,
    /// A token from Microsoft Entra ID.
    entra: Option<WrittenEntra>,
    /// Certificates, for `amqps://`.
    tls: Option<tls::Written>,
}

/// A queue to read.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
pub(super) struct AmqpSource {
    /// The queue's name.
    queue: String,
    /// Create the queue and its dead-letter queue; otherwise a missing queue pauses the source.
    declare: Option<AmqpDeclare>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
#[schemars(untagged)]
enum AmqpDeclare {
    /// `true`: a durable quorum queue; `false` or `off`: nothing.
    Whether(bool),
    Off(String),
    As(AmqpQueue),
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
#[schemars(deny_unknown_fields)]
struct AmqpQueue {
    /// `quorum` or `classic`.
    #[schemars(extend("enum" = ["quorum", "classic"], "default" = "quorum"))]
    r#type: Option<String>,
    /// Survives a restart of the broker; false only for a classic queue.
    #[schemars(extend("default" = true))]
    durable: Option<bool>,
    /// One consumer at a time, the others stand by.
    #[schemars(extend("default" = false))]
    single_active_consumer: Option<bool>,
    /// Optional arguments of the queue, such as `x-max-length`.
    arguments: Option<std::collections::BTreeMap<String, AmqpArgument>>,
    /// Exchanges that feed the queue.
    bindings: Option<Vec<AmqpBinding>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
#[schemars(deny_unknown_fields)]
struct AmqpBinding {
    /// The exchange's name; it must exist.
    exchange: String,
    /// A pattern on a topic exchange; quote `#`.
    routing_key: Option<String>,
    /// For a headers exchange.
    arguments: Option<std::collections::BTreeMap<String, AmqpArgument>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
#[schemars(untagged)]
enum AmqpArgument {
    Truth(bool),
    Number(f64),
    Text(String),
}

/// A queue, or an exchange with a routing key.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
pub(super) struct AmqpDestination {
    /// Template of the queue's name: published to through the default exchange.
    queue: Option<String>,
    /// Template of the exchange's name.
    exchange: Option<String>,
    /// Template of the routing key; may be empty.
    routing_key: Option<String>,
    /// Template: milliseconds after which the broker drops the message.
    expiration: Option<String>,
    /// Template: 0 to 255, for a queue with priorities.
    priority: Option<String>,
    /// Template: MIME type, instead of the body's own.
    content_type: Option<String>,
}
