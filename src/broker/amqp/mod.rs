//! stub

use std::sync::Arc;

use super::{Broker, Kind, Part, Promises};
use crate::written::{Node, Problems};

/// The kind.
pub static KIND: Kind = Kind {
    name: "amqp",
    schemes: &["amqp"],
    promises: Promises { source: true, publisher: true, redelivers: true, ordered: true, headers: true, message_bytes_max: 0 },
    schema,
    read,
};

fn schema(_: Part, _: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::Schema::default()
}

fn read(_: &str, _: &Node, _: &mut Problems) -> Option<Arc<dyn Broker>> {
    None
}
