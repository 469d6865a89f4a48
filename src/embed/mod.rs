//! Rialto as a part of a program: a bridge with the program's own handlers, brokers and error reporter.
//!
//! ```no_run
//! use rialto::{bridge::Bridge, embed::Event};
//!
//! async fn greet(event: Event) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let user: serde_json::Value = event.json()?;
//!     println!("welcome, {}", user["name"]);
//!     Ok(())
//! }
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let bridge = Bridge::builder().config("rialto.yaml").on("UserJoined", greet).start().await?;
//! tokio::signal::ctrl_c().await?;
//! bridge.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! docs/library.md tells the whole story. There is no global state but two things that a process has only one of: the hook that notes
//! the stack of a panic, which calls the one that was there before, and the provider of cryptography, where none was installed.

mod builder;
mod running;

pub use crate::broker::handler::{BoxError, Event, Handler, Handling, Permanent};
pub use builder::{Builder, NotStarted};
pub use running::Running;
