//! Durations (`250ms 5s 10m 7d`) and sizes (`64KiB 2GiB`) as people write them.

use std::time::Duration;

/// A duration read from text such as `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

/// A size in bytes read from text such as `64KiB`, or a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);
