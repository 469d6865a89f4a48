//! Records as they are polled, gathered into batches of one partition each.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message};

use super::{Plan, handover::Batch, partition::Partition};
use crate::{
    broker::kafka::{carrier::Record, origin::Tombstone},
    envelope::RawMessage,
};

/// What the payload of a record without a value is: a message has to have one.
const NULL: &[u8] = b"null";

/// Consecutive records of one partition.
#[derive(Debug)]
pub(super) struct Gather {
    batch: Batch,
    /// The offset that would follow the last one without a gap; `None` before the first.
    due: Option<i64>,
    scratch: Vec<u8>,
}

impl Gather {
    /// Grows as it needs to: a message that is parked for long keeps the whole batch's memory.
    pub(super) fn of(partition: &Arc<Partition>, position: i64) -> Self {
        let batch = Batch { partition: Arc::clone(partition), messages: Vec::new(), runs: Vec::with_capacity(1), position };
        Self { batch, due: None, scratch: Vec::new() }
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.batch.partition
    }

    /// Adds a record, or notes that it was skipped.
    pub(super) fn add(&mut self, message: &BorrowedMessage<'_>, plan: &Plan) {
        let offset = message.offset();
        self.batch.position = offset + 1;
        if let Some(raw) = raw_message(message, &self.batch.partition, plan, &mut self.scratch) {
            if self.due != Some(offset) {
                self.batch.runs.push((self.batch.messages.len(), offset));
            }
            self.due = Some(offset + 1);
            self.batch.messages.push(raw);
        }
    }

    pub(super) fn batch(self) -> Batch {
        self.batch
    }
}

/// The one copy of a record: out of the memory of librdkafka, which is freed with the fetch that brought it.
fn raw_message(
    message: &BorrowedMessage<'_>,
    partition: &Arc<Partition>,
    plan: &Plan,
    scratch: &mut Vec<u8>,
) -> Option<RawMessage> {
    let time = message.timestamp().to_millis();
    let mut record = |headers| Record::new(partition, message.offset(), time, message.key(), headers, scratch);
    let mut record = match message.headers() {
        None => record(None),
        // rdkafka panics over a header whose name is not UTF-8, which any producer may send.
        Some(headers) => catch_unwind(AssertUnwindSafe(|| record(Some(headers)))).unwrap_or_else(|_| {
            let mut bare = record(None);
            bare.refuse("the name of a header is not UTF-8");
            bare
        }),
    };
    let body = if let Some(value) = message.payload() {
        let found = plan.schema_prefix.and_then(|prefix| Some((prefix, prefix.id_of(value)?)));
        if let Some((prefix, id)) = found {
            record.schema(prefix, id);
        }
        // What has no prefix is whole as it is.
        Bytes::copy_from_slice(&value[found.map_or(0, |(prefix, _)| prefix.len())..])
    } else {
        record.tombstone();
        match plan.tombstone {
            Tombstone::Skip => return None,
            Tombstone::Forward => {}
            Tombstone::DeadLetter => record.refuse("a tombstone: the record has no value, and `tombstone` says `dead_letter`"),
        }
        Bytes::from_static(NULL)
    };
    Some(RawMessage { body, carrier: Arc::new(record) })
}
