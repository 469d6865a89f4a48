//! What a source may say of standard input, and its reading.

use std::{any::Any, io, sync::Arc};

use async_trait::async_trait;
use schemars::JsonSchema;
use tokio::sync::OwnedMutexGuard;

use super::input::{Input, standard_input};
use crate::{
    broker::{Ended, House, OpenError, Origin, Source, SourceError, Target, untold::until_settled},
    envelope::{Bare, Carrier, RawMessage},
    intake::{Intake, Offers},
    outcome::Reason,
    written::{Node, Problems, Size},
};

/// Lines that are offered together.
const BATCH_MAX: usize = 256;

/// As docs/configuration.md has it, where the source does not say.
const MESSAGE_MAX: Size = Size(1 << 20);

/// Standard input.
#[derive(Debug)]
pub(super) struct StdinOrigin {
    address: String,
    line_max: u64,
}

/// Reads a source; the short form is `broker/stdin`.
pub(super) fn read(node: &Node, broker: &str, faults: &mut Problems) -> Option<StdinOrigin> {
    let (written, line_max) = match node.text() {
        Some(text) => (text.to_owned(), MESSAGE_MAX),
        None => (node.need("lines", faults)?, node.get("message_max", MESSAGE_MAX, faults)),
    };
    if written != "stdin" {
        let at = node.peek("lines").unwrap_or(node).at();
        faults.fault(at, format!("`{written}` cannot be read: of the standard streams only `stdin` can"));
        return None;
    }
    Some(StdinOrigin { address: format!("{broker}/stdin"), line_max: line_max.0 })
}

#[async_trait]
impl Origin for StdinOrigin {
    fn display(&self) -> String {
        self.address.clone()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn holds(&self) -> bool {
        false
    }

    async fn open(&self, _: &House) -> Result<Box<dyn Source>, OpenError> {
        let fail = |detail: String| OpenError { reason: Reason::Link, detail };
        let input = standard_input(self.line_max).map_err(|error| fail(format!("standard input: {error}")))?;
        let input = input.try_lock_owned().map_err(|_| fail("another source reads standard input".into()))?;
        Ok(Box::new(Stdin { input }))
    }

    fn inlet(&self) -> Option<Target> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One incarnation of its reading.
#[derive(Debug)]
struct Stdin {
    input: OwnedMutexGuard<Input>,
}

impl Stdin {
    async fn read(mut self, mut offers: Offers, intake: &Intake) -> Result<Ended, SourceError> {
        let nothing: Arc<dyn Carrier> = Arc::new(Bare);
        loop {
            let more = tokio::select! {
                biased;
                () = intake.closed() => return Ok(Ended::Drained),
                more = self.input.more() => more.map_err(|error| broken(&error))?,
            };
            if !more {
                return Ok(Ended::Finished);
            }
            let Ok(room) = offers.room().await else { return Ok(Ended::Drained) };
            let count = room.messages().min(BATCH_MAX).min(self.input.lines.len());
            let lines = self.input.lines.drain(..count);
            room.offer(lines.map(|line| RawMessage { body: line.body, carrier: Arc::clone(&nothing) }).collect());
        }
    }
}

fn broken(error: &io::Error) -> SourceError {
    SourceError { reason: Reason::Link, detail: format!("standard input: {error}") }
}

#[async_trait]
impl Source for Stdin {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        until_settled((*self).read(offers, &intake), receipts, |_| {}).await
    }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// `stdin`.
    lines: Option<String>,
}
