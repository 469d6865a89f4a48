//! Every key of the configuration that belongs to no kind of broker, with what it means and its default.

#![expect(
    dead_code,
    clippy::zero_sized_map_values,
    clippy::struct_field_names,
    reason = "only the schemas of these types are read, and their names are the keys"
)]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{
    entries::{BrokerEntry, DeadLetterEntry, Defaults, DestinationEntry, SourceEntry},
    values::{Address, Bytes, Count, Duration, Filter, Off, OffOr, Rate, Template},
};
use crate::broker::OneOrMany;

/// The configuration of one Rialto.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Configuration {
    /// In consumer groups, client names, logs and metrics.
    #[schemars(extend("default" = "rialto"))]
    name: Option<String>,
    /// This process: Redis consumer name, AMQP connection name. Default: `{name}-{hostname}`.
    instance: Option<String>,
    /// `{prefix}` in templates.
    #[schemars(extend("default" = "rialto"))]
    prefix: Option<String>,
    /// The systems at both ends, named once.
    brokers: BTreeMap<String, BrokerEntry>,
    /// What is read; named only where it needs options.
    sources: Option<BTreeMap<String, SourceEntry>>,
    /// From one source, to destinations.
    routes: OneOrMany<Route>,
    /// Where an event goes whose route has no `to`.
    default_to: Option<OneOrMany<DestinationEntry>>,
    /// Destination keys for all of them.
    defaults: Option<Defaults>,
    /// What goes to stderr.
    log: Option<Log>,
    /// Probes and metrics.
    telemetry: Option<OffOr<Telemetry>>,
    /// The admin API.
    admin: Option<OffOr<Admin>>,
    /// The doors for live clients: who subscribes to the hub.
    gateway: Option<OffOr<Gateway>>,
    /// What probes ask.
    health: Option<Health>,
    /// How the process ends.
    shutdown: Option<Shutdown>,
    /// Plain schemes to other hosts, `insecure_skip_verify` and loss by choice become errors.
    #[schemars(extend("default" = false))]
    strict: Option<bool>,
    /// Reload on change of the files; it is not built yet, SIGHUP reloads.
    watch: Option<Off>,
    /// Where messages are until they are delivered: `transit` holds them at their source.
    journal: Option<Journal>,
}

/// What goes to stderr.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,rialto::deliver=debug`. `RIALTO_LOG` wins.
    #[schemars(extend("default" = "info"))]
    level: Option<String>,
    /// `auto`: text on a terminal, else JSON.
    format: Option<LogFormat>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum LogFormat {
    Auto,
    Text,
    Json,
}

/// Probes and metrics.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Telemetry {
    /// `off`: no listener.
    #[schemars(extend("default" = "127.0.0.1:4290"))]
    listen: Option<OffOr<Address>>,
}

/// The admin API.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Admin {
    #[schemars(extend("default" = "127.0.0.1:4291"))]
    listen: Option<OffOr<Address>>,
}

/// The doors for live clients.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Gateway {
    /// Where Redis clients come in. Default: nowhere.
    resp: Option<Address>,
    /// The `http_server` broker on which WebSocket, Server-Sent Events and the page are. Default: none.
    http: Option<String>,
    /// A file of tokens, one a line, each with the patterns it may hear; must be written beyond loopback.
    tokens_file: Option<String>,
    /// How far a client may be behind.
    #[schemars(extend("default" = "1MiB"))]
    buffer: Option<Bytes>,
    /// Clients at once, over all doors.
    #[schemars(extend("default" = 10_000))]
    clients: Option<Count>,
}

/// What probes ask.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Health {
    /// `process`: it runs; `connected`: every broker is there; `routes`: no route is stalled.
    readiness: Option<Readiness>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Readiness {
    Process,
    Connected,
    Routes,
}

/// How the process ends.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Shutdown {
    /// How long a drain may take.
    #[schemars(extend("default" = "25s"))]
    timeout: Option<Duration>,
    /// How long it reports "not ready" before it stops reading.
    #[schemars(extend("default" = "0s"))]
    delay: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Journal {
    Transit,
}

/// What is read. The broker's kind has further keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Source {
    /// The name of a broker.
    broker: String,
    /// Messages taken and not yet settled.
    #[schemars(extend("default" = 1000))]
    window: Option<Count>,
    /// The same by size.
    #[schemars(extend("default" = "64MiB"))]
    window_bytes: Option<Bytes>,
    /// Larger messages are rejected by length, before parsing.
    #[schemars(extend("default" = "1MiB"))]
    message_max: Option<Bytes>,
    #[schemars(flatten)]
    policy: Policy,
}

/// What may stand on a source or, where all its routes agree, on a route.
#[derive(JsonSchema)]
struct Policy {
    /// The shape of its bodies; `any` also wraps what is not JSON.
    decode: Option<Decode>,
    /// Templates for a bare payload; what is written wins over the transport's.
    event: Option<Event>,
    /// What becomes of a message that no route matches. Default: `dead_letter` if one is set, else `ack`.
    unrouted: Option<Unrouted>,
    /// Where what cannot be decoded, routed or delivered goes: `broker/address`, `native` (the broker's own) or `drop`.
    dead_letter: Option<DeadLetterEntry>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Decode {
    Auto,
    Envelope,
    #[schemars(rename = "cloudevents")]
    CloudEvents,
    StandardWebhook,
    Bare,
    Any,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Unrouted {
    Ack,
    DeadLetter,
    Reject,
}

/// Templates for a bare payload.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Event {
    message_type: Option<Template>,
    message_name: Option<Template>,
    message_id: Option<Template>,
}

/// From one source, to destinations.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Route {
    /// The metric label; must be written where two routes would share one. Default: the source's.
    name: Option<String>,
    /// A source's name, or `broker/address` for a source with defaults.
    from: String,
    /// Which messages. Default: all.
    r#match: Option<Match>,
    /// jq; false, null or empty filters the message.
    when: Option<Filter>,
    /// jq; may change `payload`, `message_type`, `message_name`.
    transform: Option<Filter>,
    /// The ordering key. Default: the message's own.
    key: Option<Template>,
    /// `key`: in order per key; `strict`: one per key on the wire; `none`.
    ordering: Option<Ordering>,
    /// One destination or a list. Default: `default_to`.
    to: Option<OneOrMany<DestinationEntry>>,
    /// Kafka to the same Kafka, one destination: copies, dead letters and the source's position are committed together or not at all.
    #[schemars(extend("default" = false))]
    exactly_once: Option<bool>,
    #[schemars(flatten)]
    policy: Policy,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Ordering {
    Key,
    Strict,
    None,
}

/// Globs, or lists of globs; all that are written must match.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Match {
    message_type: Option<OneOrMany<String>>,
    message_name: Option<OneOrMany<String>>,
    source: Option<OneOrMany<String>>,
    /// Globs by header name.
    headers: Option<BTreeMap<String, OneOrMany<String>>>,
}

/// Where messages go. The broker's kind has further keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Destination {
    /// The name of a broker.
    broker: Option<String>,
    /// The metric label. Default: the broker's name.
    name: Option<String>,
    /// Which of the route's messages.
    r#match: Option<Match>,
    /// jq; false, null or empty filters the message for this destination.
    when: Option<Filter>,
    /// The form of what is published.
    envelope: Option<Envelope>,
    /// A pattern that a rendered address must match. Default: the template's own text with `*` for each value.
    allow: Option<String>,
    /// The ordering key. Default: the route's.
    key: Option<Template>,
    /// Further headers: a template for each name.
    headers: Option<BTreeMap<String, Template>>,
    /// False: best effort; a full queue or a kill loses messages.
    #[schemars(extend("default" = true))]
    required: Option<bool>,
    /// Tries that count, then dead letter. Default: 5; unlimited where only `deadline` is written.
    max_errors: Option<Count>,
    /// After this time a message is a dead letter. Default: none.
    deadline: Option<Duration>,
    /// Of one try.
    #[schemars(extend("default" = "15s"))]
    timeout: Option<Duration>,
    /// Between the tries of a message.
    backoff: Option<Backoff>,
    /// When the whole destination rests.
    breaker: Option<Breaker>,
    /// The most that is sent: `500/s`.
    rate_limit: Option<Rate>,
    /// What a publish that nobody heard means, where the broker says so.
    on_no_receivers: Option<NoReceivers>,
}

/// A dead letter's long form; the broker's kind has further keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct DeadLetter {
    /// The name of a broker.
    broker: String,
    /// Of one try.
    #[schemars(extend("default" = "15s"))]
    timeout: Option<Duration>,
    /// Between tries; a dead letter never gives up.
    backoff: Option<Backoff>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Envelope {
    Name(EnvelopeName),
    Long(LongEnvelope),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum EnvelopeName {
    Standard,
    Extended,
    #[schemars(rename = "cloudevents")]
    CloudEvents,
    Payload,
    StandardWebhook,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct LongEnvelope {
    /// CloudEvents 1.0.
    cloudevents: CloudEvents,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct CloudEvents {
    /// `structured`: one JSON document; `binary`: attributes as headers.
    mode: Option<CloudEventsMode>,
    /// In front of `type`.
    type_prefix: Option<String>,
    /// The attribute `source`.
    source: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum CloudEventsMode {
    Structured,
    Binary,
}

/// Delays between the tries of a message, doubled from the first to the longest.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Backoff {
    #[schemars(extend("default" = "1s"))]
    initial: Option<Duration>,
    #[schemars(extend("default" = "5m"))]
    max: Option<Duration>,
    /// `full`: any time up to the delay.
    jitter: Option<Jitter>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Jitter {
    Full,
    None,
}

/// It opens after so many failures over so many keys; while it is open nothing counts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Breaker {
    #[schemars(extend("default" = 5))]
    failures: Option<Count>,
    #[schemars(extend("default" = 2))]
    keys: Option<Count>,
    /// How often an open one lets a message through.
    #[schemars(extend("default" = "5s"))]
    probe: Option<Duration>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum NoReceivers {
    Ok,
    Retry,
    Park,
    DeadLetter,
}
