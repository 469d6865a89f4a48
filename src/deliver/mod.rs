//! At the broker's pace: one worker for each link of a pipeline reads all its lanes together, batches across them, and decides by a
//! pure policy what each answer means.
//!
//! ```text
//!  backlog ─take─▶ dispatch ─parcel─▶ line (one link, one incarnation) ─▶ flights (handed over, not answered)
//!     ▲               ▲                                                       │
//!     │               ├── resend: what was in flight when a link died, and what a pause held back; goes first, in order
//!     │               └── parked: keys whose head failed, until their retry
//!     └─settle / bury──────────────────── next_step ◀────────────────── outcomes, one a message
//! ```

mod board;
mod breaker;
mod flights;
mod item;
mod lane;
mod line;
mod notices;
mod pace;
mod parcel;
mod parked;
mod policy;
mod suspect;
mod tick;
mod upkeep;
mod verdicts;
mod worker;

#[cfg(test)]
mod tests;

pub use board::Board;
pub use lane::LaneSpec;
pub use policy::{Event, Step, Trial, next_step};
pub use worker::{Graves, LinkSpec, LinkWorker};
