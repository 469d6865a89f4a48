//! Messages as lines: cut from a stream of bytes on the way in, put together on the way out.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use memchr::memchr;
use serde::de::IgnoredAny;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) body: Bytes,
    /// Where it begins, in bytes from the beginning of the stream.
    pub(super) at: u64,
    /// Where the next one begins.
    pub(super) next: u64,
}

/// Cuts bytes into lines as they come. Blank lines are none; a line that is longer than `max` is kept to `max + 1` bytes, so that it
/// is rejected for its length further on and memory stays bounded.
#[derive(Debug)]
pub(super) struct Cutter {
    max: usize,
    /// The beginning of a line whose end has not come.
    begun: BytesMut,
    /// Where that line begins.
    at: u64,
    /// Where the next byte stands.
    read: u64,
}

impl Cutter {
    /// For lines of up to `max` bytes, of a stream that is read from `at`.
    pub(super) fn new(max: u64, at: u64) -> Self {
        Self { max: usize::try_from(max).unwrap_or(usize::MAX - 1).min(usize::MAX - 1), begun: BytesMut::new(), at, read: at }
    }

    /// Where the next byte is to be read.
    pub(super) fn position(&self) -> u64 {
        self.read
    }

    /// Takes the bytes that came, and adds the lines that they end to `lines`. What lies within one chunk is not copied.
    pub(super) fn push(&mut self, mut chunk: Bytes, lines: &mut Vec<Line>) {
        while let Some(length) = memchr(b'\n', &chunk) {
            let part = chunk.split_to(length + 1).slice(..length);
            self.read += length as u64 + 1;
            let body = if self.begun.is_empty() {
                part.slice(..part.len().min(self.max + 1))
            } else {
                self.keep(&part);
                self.begun.split().freeze()
            };
            self.end(body, lines);
        }
        self.read += chunk.len() as u64;
        self.keep(&chunk);
    }

    /// The stream ends here: its last line need not have an end of its own.
    pub(super) fn finish(&mut self, lines: &mut Vec<Line>) {
        let body = self.begun.split().freeze();
        self.end(body, lines);
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (self.max + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end(&mut self, mut body: Bytes, lines: &mut Vec<Line>) {
        let at = std::mem::replace(&mut self.at, self.read);
        if body.last() == Some(&b'\r') {
            body.truncate(body.len() - 1);
        }
        if at == 0 && body.starts_with(b"\xEF\xBB\xBF") {
            body = body.slice(3..);
        }
        if !body.iter().all(u8::is_ascii_whitespace) {
            lines.push(Line { body, at, next: self.read });
        }
    }
}

/// A body as one line. JSON may be broken into lines only between its tokens, so that a blank is as good there; what is no JSON is
/// put into some.
pub(super) fn one_line(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return Cow::Borrowed(body);
    }
    if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return Cow::Owned(body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect());
    }
    Cow::Owned(format!(r#"{{"data_base64":"{}"}}"#, BASE64_STANDARD.encode(body)).into_bytes())
}

/// Lines to be written together.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

/// How far a sheet came.
#[derive(Debug)]
pub(super) struct Written {
    /// Lines that are written whole, from the first on.
    pub(super) lines: usize,
    /// What ended it before the last.
    pub(super) failed: Option<io::Error>,
}

/// A descriptor that never blocks (another process made it so) is tried again after this.
const FULL_PAUSE: Duration = Duration::from_millis(10);

impl Sheet {
    /// Adds a line: a label for people, and a body. Control characters of the label's values are made visible: a terminal obeys them.
    pub(super) fn push(&mut self, label: &str, body: &[u8]) {
        self.bytes
            .extend(label.chars().map(|letter| if letter.is_control() { '\u{FFFD}' } else { letter }).collect::<String>().bytes());
        self.bytes.extend_from_slice(&one_line(body));
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// Lines in it.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Writes it. `torn` remembers that the last write broke off within a line, which then is ended first.
    pub(super) fn write(&self, file: &mut File, torn: &mut bool) -> Written {
        let mend = if *torn { whole(file, b"\n") } else { Ok(()) };
        if let Err((_, error)) = mend {
            return Written { lines: 0, failed: Some(error) };
        }
        *torn = false;
        match whole(file, &self.bytes) {
            Ok(()) => Written { lines: self.len(), failed: None },
            Err((bytes, error)) => {
                let lines = self.ends.partition_point(|end| *end <= bytes);
                *torn = bytes > lines.checked_sub(1).map_or(0, |last| self.ends[last]);
                Written { lines, failed: Some(error) }
            }
        }
    }
}

/// Writes all of it, or answers how many bytes were written and why no more. A signal is no reason.
fn whole(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}

/// True where there is no room, which others make: the message waits.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a text that comes in pieces of this size.
    fn cut(text: &[u8], size: usize, max: u64) -> Vec<Line> {
        let (mut cutter, mut lines) = (Cutter::new(max, 0), Vec::new());
        for piece in text.chunks(size) {
            cutter.push(Bytes::copy_from_slice(piece), &mut lines);
        }
        cutter.finish(&mut lines);
        assert_eq!(cutter.read, text.len() as u64);
        lines
    }

    #[test]
    fn lines_end_at_every_newline_and_at_the_end() {
        let text = b"\xEF\xBB\xBF{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}";
        for size in 1..=text.len() {
            let lines: Vec<_> = cut(text, size, 100).into_iter().map(|line| (line.body, line.at, line.next)).collect();
            let expected = [(&br#"{"a":1}"#[..], 0, 12), (br#"{"b":2}"#, 16, 24), (br#"{"c":3}"#, 24, 31)];
            assert_eq!(lines, expected.map(|(body, at, next)| (Bytes::from_static(body), at, next)), "{size}");
        }
        assert_eq!(cut(b"", 1, 10), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_where_that_can_be_seen() {
        for size in [1, 3, 64] {
            let bodies: Vec<_> = cut(b"12345678\n123\n1234", size, 3).into_iter().map(|line| line.body).collect();
            assert_eq!(bodies, ["1234", "123", "1234"], "{size}");
        }
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let mut file = tempfile::tempfile().unwrap();
        let mut sheet = Sheet::default();
        sheet.push("a\u{1b}[31m ", b"{}");
        let mut torn = true;
        let written = sheet.write(&mut file, &mut torn);
        assert!(written.failed.is_none() && written.lines == 1 && !torn);
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "\na\u{FFFD}[31m {}\n");
    }

    #[test]
    fn a_full_disk_keeps_count() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut sheet = Sheet::default();
        sheet.push("", b"{}");
        let mut torn = false;
        let written = sheet.write(&mut full, &mut torn);
        assert!(written.lines == 0 && !torn && is_full(&written.failed.unwrap()));
    }

    #[test]
    fn a_body_becomes_one_line() {
        assert_eq!(&*one_line(b"{\"a\":1}"), b"{\"a\":1}");
        assert_eq!(&*one_line(b"{\n  \"a\": \"\\n\"\r\n}"), b"{   \"a\": \"\\n\"  }");
        assert_eq!(&*one_line(b"no\njson"), br#"{"data_base64":"bm8KanNvbg=="}"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_as_a_simple_reader_would(text in prop::collection::vec(prop::sample::select(b"ab\n\r ".to_vec()), 0..200), size in 1_usize..50) {
            let simple: Vec<Vec<u8>> = text
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
                .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
                .collect();
            let lines = cut(&text, size, 1000);
            prop_assert_eq!(lines.iter().map(|line| line.body.to_vec()).collect::<Vec<_>>(), simple);
            for line in lines {
                // Read again from its place, it is the same line: what its identity is made of.
                prop_assert_eq!(&cut(&text[line.at as usize..line.next as usize], size, 1000)[0].body, &line.body);
            }
        }
    }
}
