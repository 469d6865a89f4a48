//! What was published last, for who comes back.

use std::{collections::VecDeque, sync::Arc};

use super::Published;

/// Messages kept.
const MESSAGES_MAX: usize = 10_000;

/// Bytes of their bodies and channels.
const BYTES_MAX: usize = 16 << 20;

/// The last messages, bounded by number and size.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<Arc<Published>>,
    bytes: usize,
    last: u64,
}

impl Ring {
    /// The number of the last message; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The number of the oldest message kept; the next one's where none is.
    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }

    pub(super) fn push(&mut self, message: Arc<Published>) {
        self.last = message.seq.number;
        self.bytes += size(&message);
        self.kept.push_back(message);
        while self.kept.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
    }

    /// What is kept of the messages after `number`, in order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Arc<Published>> {
        let skip = (number + 1).saturating_sub(self.first());
        self.kept.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }
}

fn size(message: &Published) -> usize {
    message.body.len() + message.channel.len()
}
