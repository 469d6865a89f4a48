//! One link over HTTPS.
//!
//! ```text
//!   link       one link: batches in, outcomes out       turn      one request at a time to a queue or topic, in the order of `send`
//!   sheet      messages of a batch as JSON              delivery  a sheet in requests that fit, and whose fault a refusal is
//!   post       one request, with who we are             errand    Microsoft's crate asks through this, and we hear the answer
//!   pool       kept connections                         answer    what a status means
//! ```

mod answer;
mod delivery;
mod errand;
mod link;
mod pool;
mod post;
mod sheet;
mod turn;

#[cfg(test)]
mod tests;

pub(super) use link::Link;
