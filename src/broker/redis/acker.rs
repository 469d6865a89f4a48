//! The half of a stream source that tells the group: what is settled, and what we still work on.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    answers,
    carrier::EntryId,
    group::lag,
    stream::{Book, Group, LATE},
    wire::Connection,
};
use crate::{
    broker::{Ended, SourceError},
    intake::Receipts,
    outcome::Reason,
    telemetry::SourceMetrics,
};

/// What we hold is claimed anew this often, so that no peer takes it for a dead one's.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// An idle connection is asked this often whether it lives; with [`LATE`] its death is noticed within five seconds.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Ids in one command.
const IDS_MAX: usize = 500;

/// Acknowledges until the feed ends.
pub(super) async fn run(
    group: &Group,
    connection: &Connection,
    book: &Book,
    mut receipts: Receipts,
    metrics: &SourceMetrics,
) -> Result<Ended, SourceError> {
    let every = |period: Duration| {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    // A short `idle_claim` wants to be outrun, too.
    let mut renew = every(RENEW_EVERY.min(group.idle_claim / 4));
    let mut ping = every(PING_EVERY);
    loop {
        tokio::select! {
            biased;
            settled = receipts.next() => match settled {
                Ok(settled) => {
                    let ids = book.held().settled(&settled);
                    acknowledge(group, connection, &ids).await?;
                }
                Err(end) => return Ok(end.into()),
            },
            _ = renew.tick() => {
                let ids: Vec<EntryId> = book.held().ids().collect();
                send(connection, &ids, |ids| group.renew(ids)).await?;
                if let Some(lag) = lag(&ask(connection, &group.info()).await?, &group.name) {
                    metrics.lag(lag);
                }
            }
            _ = ping.tick() => {
                if let Value::ServerError(error) = ask(connection, &redis::cmd("PING")).await? {
                    return Err(refused(&error));
                }
            }
        }
    }
}

/// One small question, whose answer may be an error.
async fn ask(connection: &Connection, command: &Cmd) -> Result<Value, SourceError> {
    let mut requests = connection.requests.clone();
    match tokio::time::timeout(LATE, requests.send_packed_command(command)).await {
        Ok(answer) => answer.map_err(|error| answers::source_error(&error)),
        Err(_) => Err(SourceError { reason: Reason::Timeout, detail: "the server did not answer in time".into() }),
    }
}

/// Acknowledges entries: one round trip, however many there are.
pub(super) async fn acknowledge(group: &Group, connection: &Connection, ids: &[EntryId]) -> Result<(), SourceError> {
    send(connection, ids, |ids| group.acknowledge(ids)).await
}

async fn send(connection: &Connection, ids: &[EntryId], command: impl Fn(&[EntryId]) -> Cmd) -> Result<(), SourceError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut pipeline = Pipeline::with_capacity(ids.len().div_ceil(IDS_MAX));
    for chunk in ids.chunks(IDS_MAX) {
        pipeline.add_command(command(chunk));
    }
    let mut requests = connection.requests.clone();
    let replies =
        requests.send_packed_commands(&pipeline, 0, pipeline.len()).await.map_err(|error| answers::source_error(&error))?;
    for reply in &replies {
        if let Value::ServerError(error) = reply {
            return Err(refused(error));
        }
    }
    Ok(())
}

fn refused(error: &redis::ServerError) -> SourceError {
    SourceError { reason: answers::reason_of_code(error.code()), detail: answers::words(error) }
}

impl Group {
    fn acknowledge(&self, ids: &[EntryId]) -> Cmd {
        let mut command = redis::cmd("XACK");
        command.arg(&*self.key).arg(&*self.name);
        for id in ids {
            command.arg(id.to_string());
        }
        command
    }

    fn info(&self) -> Cmd {
        redis::cmd("XINFO").arg("GROUPS").arg(&*self.key).take()
    }

    /// `JUSTID` sends no bodies and counts no delivery.
    fn renew(&self, ids: &[EntryId]) -> Cmd {
        let mut command = redis::cmd("XCLAIM");
        command.arg(&*self.key).arg(&*self.name).arg(&*self.consumer).arg(0);
        for id in ids {
            command.arg(id.to_string());
        }
        command.arg("JUSTID");
        command
    }
}
