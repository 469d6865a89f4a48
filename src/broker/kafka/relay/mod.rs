//! `exactly_once`: what is read from a Kafka and what is published to the same Kafka, in transactions (KIP-98, KIP-447).
//!
//! ```text
//!   positions      which copies may go into the open transaction, and which offsets it commits
//!   relay          what the source tells: taken, settled otherwise, given away     join   an origin and targets into one
//!   link           the publisher's side: messages in, outcomes out
//!   transactions   the thread that begins, sends, commits, aborts                 copies   what goes to it, and its reports
//!   refusals       what is not committed: who is answered, and what goes again
//! ```
//!
//! The source commits nothing by itself here: its offsets are in the transaction of the copies they stand for, dead letters among them.
//! A transaction is as large as what came while the last one was committed, so there is no timer, and the window of the source bounds
//! it. An answer is given when the transaction is committed.

mod copies;
mod join;
mod link;
mod positions;
mod refusals;
#[expect(clippy::module_inception, reason = "the relay is what the folder is about")]
mod relay;
mod transactions;

pub(super) use join::{Relays, join};
pub(super) use link::Link;
pub(super) use relay::Relay;
