//! Headers that go out with a body, rendered for a whole batch into one buffer.

use std::{fmt::Write as _, ops::Range};

/// Header names and values of a batch: two growing buffers, cleared and used again.
#[derive(Debug, Default)]
pub struct HeaderArena {
    text: String,
    entries: Vec<(Range<u32>, Range<u32>)>,
}

impl HeaderArena {
    /// Headers in it. Taken before and after a message is encoded, it is the message's range for [`HeaderArena::iter`].
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all, and keeps the buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    /// Adds a header.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_parts(&[name], value);
    }

    /// Adds a header whose name is written in parts: a prefix and a name.
    pub(crate) fn push_parts(&mut self, name: &[&str], value: &str) {
        let start = self.text.len();
        for part in name {
            self.text.push_str(part);
        }
        let middle = self.text.len();
        self.text.push_str(value);
        self.seal(start, middle);
    }

    /// Adds a header with a number for its value.
    pub(crate) fn push_number(&mut self, name: &str, value: u32) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        // Writing into a `String` cannot fail.
        let _ = write!(self.text, "{value}");
        self.seal(start, middle);
    }

    fn seal(&mut self, start: usize, middle: usize) {
        let at = |index: usize| index as u32;
        self.entries.push((at(start)..at(middle), at(middle)..at(self.text.len())));
    }

    /// The headers of `range`, in the order in which they were added.
    pub fn iter(&self, range: Range<usize>) -> impl Iterator<Item = (&str, &str)> {
        let text = |span: &Range<u32>| &self.text[span.start as usize..span.end as usize];
        self.entries[range].iter().map(move |(name, value)| (text(name), text(value)))
    }
}
