//! Which message kills the link.

use crate::journal::Position;

/// The same message oldest in flight in three deaths is sent alone; after two deaths alone it is the message that is at fault.
#[derive(Debug, Default)]
pub(super) struct Suspect {
    oldest: Option<Position>,
    deaths: u32,
}

const ALONE_AFTER: u32 = 3;
const GUILTY_AFTER: u32 = ALONE_AFTER + 2;

impl Suspect {
    /// The link died with this message oldest in flight. Answers true where that convicts it.
    pub(super) fn died(&mut self, oldest: Position) -> bool {
        if self.oldest == Some(oldest) {
            self.deaths += 1;
        } else {
            *self = Self { oldest: Some(oldest), deaths: 1 };
        }
        let guilty = self.deaths >= GUILTY_AFTER;
        if guilty {
            *self = Self::default();
        }
        guilty
    }

    /// The message was answered.
    pub(super) fn answered(&mut self, position: Position) {
        if self.oldest == Some(position) {
            *self = Self::default();
        }
    }

    /// The message that must travel alone now.
    pub(super) fn alone(&self) -> Option<Position> {
        self.oldest.filter(|_| self.deaths >= ALONE_AFTER)
    }
}
