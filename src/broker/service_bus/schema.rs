//! JSON Schema of what people write for this kind: the keys that `settings` and `target` ask for.

use schemars::JsonSchema;

use crate::broker::{bearer::WrittenEntra, tls};

/// A namespace of Azure Service Bus, or its emulator.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors: its values are read field by field, with their places")]
#[schemars(deny_unknown_fields)]
pub(super) struct ServiceBusBroker {
    /// `contoso`, or its whole name in another cloud: `contoso.servicebus.chinacloudapi.cn`.
    namespace: Option<String>,
    /// The name of a shared access policy.
    policy: Option<String>,
    /// One of its keys.
    key: Option<String>,
    /// A file that holds the key; read anew when a token is signed.
    key_file: Option<String>,
    /// Entra ID says who we are, instead of a policy's key.
    entra: Option<WrittenEntra>,
    /// Namespace, policy and key in one text, as the portal shows it; with `UseDevelopmentEmulator=true` plain AMQP.
    connection_string: Option<String>,
    /// A file that holds it; read anew at each opening and when a token is signed.
    connection_string_file: Option<String>,
    /// How messages are published; consuming is always AMQP.
    #[schemars(extend("enum" = ["https", "amqp"], "default" = "https"))]
    transport: Option<String>,
    /// Another base URL for HTTPS: `https://127.0.0.1:8443`.
    endpoint: Option<String>,
    /// Another place for AMQP: `amqps://HOST:5671`, or `amqp://HOST:5672` without TLS.
    amqp_endpoint: Option<String>,
    /// A request with several messages is not larger; 1MB at the Premium tier.
    #[schemars(extend("default" = "256KB"))]
    batch_bytes: Option<String>,
    /// Certificates.
    tls: Option<tls::Written>,
}

/// A queue, or a topic's subscription.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
pub(super) struct ServiceBusSource {
    /// The queue's name; `NAME/$DeadLetterQueue` for its dead letters.
    queue: Option<String>,
    /// The topic's name, with `subscription`.
    topic: Option<String>,
    /// The name of one of the topic's subscriptions.
    subscription: Option<String>,
    /// The queue or subscription has sessions: several are read at a time, each in its own order.
    #[schemars(extend("default" = false))]
    sessions: Option<bool>,
    /// How many sessions are read at a time, from 1 to 100.
    #[schemars(extend("default" = 8))]
    sessions_max: Option<u64>,
}

/// A queue or a topic.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
pub(super) struct ServiceBusDestination {
    /// Template of the queue's name.
    queue: Option<String>,
    /// Template of the topic's name.
    topic: Option<String>,
    /// Template: the session that the message belongs to.
    session_id: Option<String>,
    /// Template: when it is enqueued, an RFC 3339 date and time.
    scheduled_at: Option<String>,
    /// Application properties, the same as `headers`: a template for each name.
    properties: Option<std::collections::BTreeMap<String, String>>,
}
