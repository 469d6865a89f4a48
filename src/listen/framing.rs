//! Where requests begin and end on a connection, as far as it takes to refuse those about which two readers could disagree.
//!
//! The HTTP library drops `Content-Length` where `Transfer-Encoding` stands beside it, and forgives a line that ends without a carriage
//! return. Something in front of this server may read the same bytes otherwise, and then one of its users could put a request into
//! another's connection (RFC 9112, 11.2). So the bytes are looked at on their way in. Nothing is changed or kept but a line's beginning.

/// Longer than any line that matters: a name of 17 bytes, or one of 14 and a number.
const LINE_BYTES: usize = 64;

/// How a chunked body without trailers ends.
const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";

/// The reader of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    /// The line that is not complete yet, as far as it is kept.
    line: [u8; LINE_BYTES],
    kept: usize,
    /// The last byte was a carriage return.
    after_return: bool,
    head: Head,
    /// Heads begun before the one that is being read.
    index: u32,
    /// The first request that must be refused.
    pub(super) suspect: Option<u32>,
    /// From this request on nobody here knows where heads are.
    pub(super) lost: Option<u32>,
}

#[derive(Debug, Default)]
struct Head {
    lines: u32,
    length: Option<u64>,
    is_chunked: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Head,
    Body { left: u64 },
    Chunks { last: [u8; 5] },
    Lost,
}

impl Default for Framing {
    fn default() -> Self {
        Self {
            place: Place::Head,
            line: [0; LINE_BYTES],
            kept: 0,
            after_return: false,
            head: Head::default(),
            index: 0,
            suspect: None,
            lost: None,
        }
    }
}

impl Framing {
    /// Looks at what was read. `idle` says that every request so far is answered: the next byte begins a head.
    pub(super) fn read(&mut self, mut bytes: &[u8], idle: bool) {
        if let (true, Place::Chunks { last }) = (idle, &self.place) {
            if last == LAST_CHUNK {
                self.next();
            } else {
                self.lose();
            }
        }
        while !bytes.is_empty() {
            bytes = match &mut self.place {
                Place::Lost => return,
                Place::Head => self.line(bytes),
                Place::Body { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.next();
                    }
                    &bytes[taken..]
                }
                Place::Chunks { last } => {
                    let new = bytes.len().min(last.len());
                    last.rotate_left(new);
                    let from = last.len() - new;
                    last[from..].copy_from_slice(&bytes[bytes.len() - new..]);
                    return;
                }
            };
        }
    }

    /// Whether all that was read are whole requests.
    pub(super) fn is_between(&self) -> bool {
        match &self.place {
            Place::Head => self.head.lines == 0 && self.kept == 0,
            Place::Chunks { last } => last == LAST_CHUNK,
            Place::Body { .. } | Place::Lost => false,
        }
    }

    /// Takes one line, or the part of it that has come; answers what follows.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.keep(bytes);
            return &[];
        };
        let (part, rest) = (&bytes[..end], &bytes[end + 1..]);
        let with_return = part.last().map_or(self.after_return, |last| *last == b'\r');
        if !with_return {
            self.suspect.get_or_insert(self.index);
        }
        if self.kept == 0 {
            self.whole(part);
        } else {
            self.keep(part);
            let line = self.line;
            self.whole(&line[..self.kept]);
        }
        (self.kept, self.after_return) = (0, false);
        rest
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (LINE_BYTES - self.kept).min(part.len());
        self.line[self.kept..self.kept + room].copy_from_slice(&part[..room]);
        self.kept += room;
        self.after_return = part.last().map_or(self.after_return, |last| *last == b'\r');
    }

    /// A line of a head, complete but for what is beyond [`LINE_BYTES`].
    fn whole(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            // Empty lines before a request are skipped (RFC 9112, 2.2).
            if self.head.lines > 0 {
                self.head_ends();
            }
            return;
        }
        self.head.lines += 1;
        if !matches!(line[0] | 0x20, b'c' | b't') || self.head.lines == 1 {
            return;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            // No number, or two of them: the library refuses it too, and nothing behind it is a request.
            if length.is_none() || self.head.length.is_some() {
                self.suspect.get_or_insert(self.index);
            }
            self.head.length = length;
        }
    }

    fn head_ends(&mut self) {
        if self.head.is_chunked && self.head.length.is_some() {
            self.suspect.get_or_insert(self.index);
        }
        match (self.head.is_chunked, self.head.length) {
            (true, _) => self.place = Place::Chunks { last: [0; 5] },
            (false, None | Some(0)) => self.next(),
            (false, Some(left)) => self.place = Place::Body { left },
        }
    }

    fn next(&mut self) {
        self.index += 1;
        self.head = Head::default();
        self.place = Place::Head;
    }

    fn lose(&mut self) {
        self.lost = Some(self.index + 1);
        self.place = Place::Lost;
    }
}

#[cfg(test)]
mod tests;
