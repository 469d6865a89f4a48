//! Rialto: a message-broker bridge. It consumes events from the queue a service already has, wraps each in a typed envelope, and
//! publishes it to the channels its subscribers use, losing nothing.
//!
//! The modules, in the order in which a message meets them:
//!
//! ```text
//!             ┌──────────────────────────── one pipeline: a source and what it feeds ────────────────────────────┐
//!  broker     │                                                                                                   │   broker
//!  ══════▶ Source ─offer─▶ Intake ─▶ envelope ─▶ route ─▶ Journal.append ─▶ lanes ─▶ link worker ─send─▶ Publisher ═══════▶
//!  ◀═ack══    │  ▲                                            │               ▲          │                    │      │
//!             │  └───────── Receipts: Settled ◀── Ticket ─────┘               └─ settle ─┴── next_step ◀── Confirms
//!             └───────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A message moves one way. What comes back is one settlement to its source and one outcome from its broker.

pub mod bridge;
pub mod broker;
pub mod intake;
pub mod envelope;
pub mod route;
pub mod pipeline;
pub mod journal;
pub mod deliver;

pub mod live;
pub mod gateway;
pub mod listen;

pub mod embed;

pub mod admin;
pub mod cli;
pub mod config;
pub mod shutdown;

pub mod outcome;
pub mod report;
pub mod telemetry;
pub mod written;

pub mod testkit;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where the build was told (`RIALTO_REVISION`).
pub const REVISION: &str = match option_env!("RIALTO_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
