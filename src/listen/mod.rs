//! What listens: the process's own sockets, bound once and kept over reloads.
//!
//! An [`HttpListener`] is one address with paths that others mount: `http_server` sources their `POST`s, the gateway its streams and its
//! page. Connections, heads and their time are bounded here, and heads that two readers could
//! read in two ways are refused; what is mounted bounds its bodies. All listeners of the process share one
//! thread.

mod accept;
mod clocked;
mod connection;
mod framing;
mod hang_up;
mod head;
mod house;
mod http;
mod problem;
mod same_origin;
mod server_tls;
mod tokens;

pub use hang_up::hang_up;
pub use house::{ListenError, Listeners};
pub use http::{Body, HttpListener, HttpSettings, Mount, Mounted, Page, Peer, Taken, full};
pub use problem::Problem;
pub use same_origin::{is_asked_by_address, is_foreign};
pub use server_tls::ServerTls;
pub use tokens::{Grant, Tokens, bearer};
