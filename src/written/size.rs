//! Durations (`250ms 5s 10m 7d`) and sizes (`64KiB 2GiB`) as people write them.

use std::{fmt, time::Duration};

use bytesize::ByteSize;

use super::{FromNode, Node, Problems, Value};

/// A duration read from text such as `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

/// A size in bytes read from text such as `64KiB`, or a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Millis {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// `250ms`, `5s`, `10m`, `7d`; `None` where it is no duration.
    pub fn read(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl Size {
    /// So many KiB.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many MiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }
}

impl FromNode for Millis {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        let written = match node.value() {
            Value::Int(0) => return Some(Self(Duration::ZERO)),
            Value::Int(number) => {
                return node.expected("a duration", Some(&format!("write its unit: `{number}s` or `{number}ms`")), faults);
            }
            Value::Str(text) => Self::read(text),
            _ => None,
        };
        match written {
            Some(duration) => Some(Self(duration)),
            None => node.expected("a duration", Some("such as `250ms`, `5s`, `10m`, `7d`"), faults),
        }
    }
}

impl FromNode for Size {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        let written = match node.value() {
            Value::Int(bytes) => u64::try_from(*bytes).ok(),
            Value::Str(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
            _ => None,
        };
        match written {
            Some(bytes) => Some(Self(bytes)),
            None => node.expected("a size", Some("such as `64KiB`, `2GiB`, or a whole number of bytes"), faults),
        }
    }
}

impl fmt::Display for Millis {
    /// `1h 30m`, as it may be written again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for Size {
    /// `64KiB` where it is a whole number of them, else bytes; as it may be written again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}
