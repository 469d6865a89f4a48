//! What a Redis client says: commands as flat arrays of bulk strings, or inline as a line of words.
//!
//! A command is taken apart in place: its arguments are spans into what was read. What is not whole yet is not looked at twice. A
//! command is flat, so nothing nests; every length is bounded before anything is kept for it.

use std::ops::Range;

use memchr::memchr;

/// What a command may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Arguments, the command's name among them.
    pub(super) arguments: usize,
    /// Bytes of one argument.
    pub(super) argument_bytes: usize,
    /// Bytes of the whole command.
    pub(super) bytes: usize,
    /// False tells a client that the limits are tight because it has not logged in.
    pub(super) known: bool,
}

/// An inline command, in bytes.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// `*1048576\r\n` and the like: a line that is longer is no number.
const NUMBER_BYTES_MAX: usize = 24;

/// Spans that are kept from one command to the next.
const SPANS_KEPT: usize = 64;

/// The client does not speak the protocol: its connection ends. In Redis' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Garbled {
    #[error("Protocol error: invalid multibulk length")]
    Arguments,
    #[error("Protocol error: unauthenticated multibulk length")]
    ArgumentsOfStranger,
    #[error("Protocol error: too big mbulk count string")]
    ArgumentsNumber,
    #[error("Protocol error: expected '$', got '{}'", .0.escape_ascii())]
    Expected(u8),
    #[error("Protocol error: invalid bulk length")]
    Length,
    #[error("Protocol error: unauthenticated bulk length")]
    LengthOfStranger,
    #[error("Protocol error: too big bulk count string")]
    LengthNumber,
    #[error("Protocol error: expected CRLF after a bulk string")]
    End,
    #[error("Protocol error: too big inline request")]
    Inline,
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
}

/// Reads one command after another.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Arguments that the current command has; `None` before its first line is whole.
    count: Option<usize>,
    /// Bytes of the argument that comes next, where its length has been read.
    length: Option<usize>,
    /// How far the current command has been read; of an inline one, how far there is no end of line.
    at: usize,
    spans: Vec<Range<usize>>,
    /// The words of an inline command, without their quotes.
    words: Option<Vec<u8>>,
}

/// The arguments of a whole command, its name first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'a> {
    bytes: &'a [u8],
    spans: &'a [Range<usize>],
}

impl<'a> Arguments<'a> {
    /// How many.
    pub(super) fn len(self) -> usize {
        self.spans.len()
    }

    /// One of them; empty where there are fewer.
    pub(super) fn at(self, at: usize) -> &'a [u8] {
        self.spans.get(at).map_or(&[], |span| &self.bytes[span.clone()])
    }

    /// Those from `from` on.
    pub(super) fn from(self, from: usize) -> impl Iterator<Item = &'a [u8]> {
        self.spans.iter().skip(from).map(move |span| &self.bytes[span.clone()])
    }
}

impl Decoder {
    /// Reads on in `input`, which begins where the current command does. Answers how many bytes the command has once it is whole; its
    /// arguments are then to be had until [`Decoder::next`].
    pub(super) fn decode(&mut self, input: &[u8], limits: Limits) -> Result<Option<usize>, Garbled> {
        match (self.count, input.first()) {
            (None, None) => Ok(None),
            (None, Some(b'*')) => match number(input, 1, Garbled::ArgumentsNumber, Garbled::Arguments)? {
                None => Ok(None),
                Some((count, after)) => {
                    let count = usize::try_from(count).unwrap_or(0);
                    if count > limits.arguments {
                        return Err(if limits.known { Garbled::Arguments } else { Garbled::ArgumentsOfStranger });
                    }
                    (self.count, self.at) = (Some(count), after);
                    self.arguments(input, count, limits)
                }
            },
            (None, Some(_)) => self.inline(input),
            (Some(count), _) => self.arguments(input, count, limits),
        }
    }

    fn arguments(&mut self, input: &[u8], count: usize, limits: Limits) -> Result<Option<usize>, Garbled> {
        while self.spans.len() < count {
            let length = match self.length {
                Some(length) => length,
                None => match input.get(self.at) {
                    None => return Ok(None),
                    Some(b'$') => match number(input, self.at + 1, Garbled::LengthNumber, Garbled::Length)? {
                        None => return Ok(None),
                        Some((length, after)) => {
                            let length = usize::try_from(length).map_err(|_| Garbled::Length)?;
                            if length > limits.argument_bytes || after + length > limits.bytes {
                                return Err(if limits.known { Garbled::Length } else { Garbled::LengthOfStranger });
                            }
                            (self.length, self.at) = (Some(length), after);
                            length
                        }
                    },
                    Some(other) => return Err(Garbled::Expected(*other)),
                },
            };
            let end = self.at + length;
            match input.get(end..end + 2) {
                None => return Ok(None),
                Some(b"\r\n") => {}
                Some(_) => return Err(Garbled::End),
            }
            self.spans.push(self.at..end);
            (self.length, self.at) = (None, end + 2);
        }
        Ok(Some(self.at))
    }

    fn inline(&mut self, input: &[u8]) -> Result<Option<usize>, Garbled> {
        let end = memchr(b'\n', &input[self.at..]).map(|found| self.at + found);
        if end.unwrap_or(input.len()) > INLINE_BYTES_MAX {
            return Err(Garbled::Inline);
        }
        let Some(end) = end else {
            self.at = input.len();
            return Ok(None);
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let mut words = Vec::new();
        split(line, &mut words, &mut self.spans).ok_or(Garbled::Quotes)?;
        self.words = Some(words);
        Ok(Some(end + 1))
    }

    /// The bytes that the current command needs to go on, where that is known.
    pub(super) fn wants(&self) -> usize {
        self.length.map_or(0, |length| self.at + length + 2)
    }

    /// The arguments of the command that has just become whole in `input`.
    pub(super) fn command<'a>(&'a self, input: &'a [u8]) -> Arguments<'a> {
        Arguments { bytes: self.words.as_deref().unwrap_or(input), spans: &self.spans }
    }

    /// Goes on to the next command.
    pub(super) fn next(&mut self) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.clear();
        spans.shrink_to(SPANS_KEPT);
        *self = Self { spans, ..Self::default() };
    }
}

/// A number from `from` to the end of its line, and where the next line begins; `None` while it is not whole.
fn number(input: &[u8], from: usize, long: Garbled, wrong: Garbled) -> Result<Option<(i64, usize)>, Garbled> {
    let line = &input[from..];
    let Some(end) = memchr(b'\r', &line[..line.len().min(NUMBER_BYTES_MAX)]) else {
        return if line.len() >= NUMBER_BYTES_MAX { Err(long) } else { Ok(None) };
    };
    match line.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((whole(&line[..end]).ok_or(wrong)?, from + end + 2))),
        Some(_) => Err(wrong),
    }
}

/// A decimal number as Redis reads them: no plus, no leading zeros, no spaces.
pub(super) fn whole(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Takes a line apart into words, as `redis-cli` and a person with `nc` write them; `None` where a quote does not close.
fn split(line: &[u8], words: &mut Vec<u8>, spans: &mut Vec<Range<usize>>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if matches!(rest, [] | [0, ..]) {
            // A zero ends a line, as Redis reads it.
            return Some(());
        }
        let from = words.len();
        loop {
            match rest {
                [b'"', after @ ..] => {
                    rest = double_quoted(after, words)?;
                    break;
                }
                [b'\'', after @ ..] => {
                    rest = single_quoted(after, words)?;
                    break;
                }
                [] | [b' ' | b'\t' | b'\r' | b'\n' | 0, ..] => break,
                [letter, after @ ..] => {
                    words.push(*letter);
                    rest = after;
                }
            }
        }
        spans.push(from..words.len());
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                words.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            [b'\\', letter, after @ ..] => {
                words.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = after;
            }
            [b'"', after @ ..] => return after_quote(after),
            [letter, after @ ..] => {
                words.push(*letter);
                rest = after;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\\', b'\'', after @ ..] => {
                words.push(b'\'');
                rest = after;
            }
            [b'\'', after @ ..] => return after_quote(after),
            [letter, after @ ..] => {
                words.push(*letter);
                rest = after;
            }
        }
    }
}

/// What follows a closing quote must be a space or the end.
fn after_quote(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest)
}
