//! JSON Schema of what people write for this kind: the keys that `settings`, `security`, `origin` and `target` ask for.

use schemars::JsonSchema;

use crate::broker::{
    bearer::{WrittenEntra, WrittenOauth},
    schema::OneOrMany,
};

/// An Apache Kafka cluster.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors: its values are read field by field, with their places")]
#[schemars(deny_unknown_fields)]
pub(super) struct KafkaBroker {
    /// `host:port` of some brokers of the cluster, which name the others; 9092 where the port is left out.
    bootstrap_servers: Option<OneOrMany<String>>,
    /// A file with them, one a line, read anew at each connection.
    bootstrap_servers_file: Option<String>,
    /// How it is spoken to. Unwritten: `SASL_SSL` where there is `sasl`, `SSL` where there is `tls`, else `PLAINTEXT`.
    #[schemars(extend("enum" = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]))]
    security_protocol: Option<String>,
    /// Who we are.
    sasl: Option<KafkaSasl>,
    /// Certificates, for `SSL` and `SASL_SSL`.
    tls: Option<KafkaTls>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
#[schemars(deny_unknown_fields)]
struct KafkaSasl {
    /// How the login is proven.
    #[schemars(extend("enum" = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]))]
    mechanism: String,
    /// The user.
    username: Option<String>,
    /// Its password.
    password: Option<String>,
    /// A file with the password, read anew at each connection.
    password_file: Option<String>,
    /// A token, for OAUTHBEARER.
    token: Option<String>,
    /// A file with the token, read anew when it changes.
    token_file: Option<String>,
    /// Tokens of an authorization server, for OAUTHBEARER.
    oauth: Option<WrittenOauth>,
    /// Tokens of Microsoft Entra ID, for OAUTHBEARER.
    entra: Option<WrittenEntra>,
}

/// Each broker is verified by the name that it advertises.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
#[schemars(deny_unknown_fields)]
struct KafkaTls {
    /// Certificates to trust instead of the system's (PEM).
    ca_file: Option<String>,
    /// Our own certificate chain (PEM).
    cert_file: Option<String>,
    /// Its key (PEM).
    key_file: Option<String>,
    /// Takes any certificate; only together with `i_accept_interception: true`.
    insecure_skip_verify: Option<bool>,
    /// See `insecure_skip_verify`.
    i_accept_interception: Option<bool>,
}

/// Topics to read.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
pub(super) struct KafkaSource {
    /// A topic.
    topic: Option<String>,
    /// Several topics.
    topics: Option<OneOrMany<String>>,
    /// All topics whose whole names this regular expression matches, also those that are made later.
    topics_regex: Option<String>,
    /// But not these: regular expressions of whole names.
    topics_exclude: Option<OneOrMany<String>>,
    /// The consumer group; absent: the configuration's `name`.
    group: Option<String>,
    /// Where a group begins that never committed.
    #[schemars(extend("enum" = ["earliest", "latest"]))]
    start: Option<String>,
    /// How the group shares its partitions out: by its members, or by the coordinator (KIP-848, Kafka 4.0).
    #[schemars(extend("enum" = ["classic", "consumer"]))]
    protocol: Option<String>,
    /// A record without a value: `payload` null, nothing, or the dead letter.
    #[schemars(extend("enum" = ["forward", "skip", "dead_letter"]))]
    tombstone: Option<String>,
    /// What a schema registry's clients put in front of a value, taken off: the id of the schema is the header `rialto-schema-id`.
    #[schemars(extend("enum" = ["confluent", "apicurio"]))]
    schema_prefix: Option<String>,
    /// A member that is not heard of for so long is out of the group: `10s`. With `protocol: classic`.
    session_timeout: Option<String>,
    /// How long a rebalance waits for each member: `5m`.
    poll_interval_max: Option<String>,
}

/// A topic to publish to.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a shape for editors")]
pub(super) struct KafkaDestination {
    /// Template of the topic's name.
    topic: String,
    /// What a schema registry's clients expect in front of a value: `confluent`, also Apicurio's from 3 on (a zero and four bytes), or
    /// `apicurio` before (a zero and eight bytes).
    #[schemars(extend("enum" = ["confluent", "apicurio"]))]
    schema_prefix: Option<String>,
    /// Template of the schema's id there; else the one that the message came with.
    schema_id: Option<String>,
    /// Of a dead letter: beside Rialto's own the headers of Kafka Connect or of Spring.
    #[schemars(extend("enum" = ["rialto", "connect", "spring"], "default" = "rialto"))]
    headers: Option<String>,
}
