//! A bug on purpose, in no release: the crash test must see it (`tests/run teeth`).

use std::sync::LazyLock;

use crate::intake::{Seq, Settled};

/// `RIALTO_PLANT=commit_highest`: what is committed is the highest settled message, over the holes before it.
static COMMIT_HIGHEST: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("RIALTO_PLANT").is_some_and(|plant| plant == "commit_highest"));

pub(super) fn prefix(settled: &Settled) -> Seq {
    let highest = settled.alone.iter().map(|(number, _)| number + 1).max();
    if *COMMIT_HIGHEST { highest.unwrap_or(0).max(settled.prefix) } else { settled.prefix }
}
