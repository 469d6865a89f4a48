//! Text that a message holds already: most of it stands in the body and is never copied.

use std::{ops::Range, sync::Arc};

/// A piece of text of a message. A span costs one UTF-8 check of a few bytes when it is read, and nothing to keep.
#[derive(Debug, Clone)]
pub(super) enum Text {
    /// A range of the body, at the boundaries of characters.
    Body(Range<u32>),
    /// Text that stands nowhere in the body as it is: unescaped, or from a header.
    Owned(Arc<str>),
    /// A default.
    Fixed(&'static str),
}

impl Text {
    /// The text, where `body` is the body it was made from.
    pub(super) fn within<'a>(&'a self, body: &'a [u8]) -> &'a str {
        match self {
            // The range was taken from this body as `str`, so neither step can fail.
            Self::Body(range) => std::str::from_utf8(slice(body, range)).unwrap_or_default(),
            Self::Owned(text) => text,
            Self::Fixed(text) => text,
        }
    }

    /// Text of its own.
    pub(super) fn owned(text: &str) -> Self {
        Self::Owned(Arc::from(text))
    }
}

/// The bytes of `range`; empty where it is no range of `body`.
pub(super) fn slice<'a>(body: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    body.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// Where `part`, a part of `whole`, stands in it. Bodies are shorter than 4 GiB ([`super::decode()`] sees to that).
pub(super) fn span(whole: &[u8], part: &str) -> Range<u32> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    debug_assert!(start + part.len() <= whole.len(), "a span of another body");
    start as u32..(start + part.len()) as u32
}
