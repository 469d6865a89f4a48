//! For tests of programs that have Rialto inside: a broker in memory that can fail on purpose, events to put into it, and assertions
//! that wait and say what they saw. Not for production: it forgets everything with the process.
//!
//! ```
//! use rialto::{bridge::Bridge, testkit::{Memory, TestEvent}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Memory::new();
//! let bridge = Bridge::builder()
//!     .yaml("routes: [{ from: mq/orders, to: 'mq/paid.{payload.region}', dead_letter: mq/orders.dead }]")
//!     .broker("mq", memory.broker())
//!     .start()
//!     .await?;
//! memory.put("orders", TestEvent::domain("OrderPaid").payload(r#"{"region":"eu"}"#));
//! let paid = memory.expect("paid.eu", 1).await;
//! assert_eq!(paid[0].name(), "OrderPaid");
//! bridge.drain().await;
//! # Ok(())
//! # }
//! ```

mod broker;
mod event;
mod memory;
mod publisher;
mod source;

pub use event::{Published, TestEvent};
pub use memory::Memory;
