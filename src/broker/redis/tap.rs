//! Reading what a target receives without taking it from anybody: a subscription, or a stream from its end.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::Value;

use super::{
    answers,
    carrier::{Entry, EntryId},
    connect::Dialer,
    group::last_generated,
    nodes,
    origin::{RedisOrigin, What},
    pubsub::Listening,
    settings::Settings,
    stream::{LATE, entries, entry_id},
    target::{Channel, Options},
    wire::Connection,
};
use crate::{
    broker::{Ended, House, OpenError, Source, SourceError, Target, untold::alongside},
    intake::{Intake, Offers},
    outcome::Reason,
};

/// How long one read waits for something new.
const BLOCK: Duration = Duration::from_secs(2);

/// One read takes at most so many entries.
const COUNT: usize = 64;

/// What listens to a target.
pub(super) fn of(target: &Target, broker: &Arc<str>, settings: &Arc<Settings>) -> Result<RedisOrigin, String> {
    let options = target.options.downcast_ref::<Options>().ok_or("this is no Redis destination")?;
    let text = target.address.text.as_str();
    let what = match (options.channel, literal(text)) {
        (Some(Channel::Plain), Some(channel)) => What::Listen(Listening::Channel(channel.into())),
        (Some(Channel::Plain), None) => What::Listen(Listening::Pattern(pattern(text).into())),
        (Some(Channel::Sharded), Some(channel)) => What::Listen(Listening::Sharded(channel.into())),
        (Some(Channel::Sharded), None) => {
            return Err(format!("`{text}` stands for many channels, and Redis has no patterns for sharded ones"));
        }
        (None, Some(key)) => What::Tail(key.into()),
        (None, None) => return Err(format!("`{text}` stands for many streams, and Redis reads only streams that are named")),
    };
    Ok(RedisOrigin::new(broker, settings, what))
}

/// A template's text where it has no placeholder.
fn literal(template: &str) -> Option<String> {
    let parts = parts(template);
    parts.iter().all(Result::is_ok).then(|| parts.into_iter().flatten().collect())
}

/// The widest pattern a template can render to: its own text, and `*` for each placeholder.
fn pattern(template: &str) -> String {
    let mut pattern = String::new();
    for part in parts(template) {
        match part {
            Ok(letter) => {
                if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
            // Two placeholders side by side are one star.
            Err(()) if pattern.ends_with('*') && !pattern.ends_with("\\*") => {}
            Err(()) => pattern.push('*'),
        }
    }
    pattern
}

/// The template's own letters, and `Err` for each placeholder. `{{` and `}}` are braces.
fn parts(template: &str) -> Vec<Result<char, ()>> {
    let mut parts = Vec::new();
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.next_if_eq(&letter).is_some() => parts.push(Ok(letter)),
            '{' => {
                letters.by_ref().find(|letter| *letter == '}');
                parts.push(Err(()));
            }
            letter => parts.push(Ok(letter)),
        }
    }
    parts
}

/// Opens a stream at its end.
pub(super) async fn open(broker: &str, settings: &Settings, key: &Arc<str>, house: &House) -> Result<Box<dyn Source>, OpenError> {
    let dialer = Dialer::new(broker, settings, house)?;
    let mut wire = nodes::owner(&dialer, key).await?;
    // Not `$`: that is another place at every read, and what comes between two reads would be missed.
    let end = last_generated(&mut wire, key).await?;
    Ok(Box::new(Tail { connection: wire.multiplex().await?, key: Arc::clone(key), end }))
}

/// A stream from its end on.
#[derive(Debug)]
struct Tail {
    connection: Connection,
    key: Arc<str>,
    /// The last entry there was at the opening.
    end: EntryId,
}

impl Tail {
    async fn read(&self, mut offers: Offers, intake: &Intake) -> Result<(), SourceError> {
        let mut after = self.end;
        loop {
            let Ok(room) = offers.room().await else { return Ok(()) };
            let block = u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX);
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(block).arg("STREAMS").arg(&*self.key).arg(after.to_string());
            let mut requests = self.connection.requests.clone();
            let reply = tokio::select! {
                biased;
                () = intake.closed() => return Ok(()),
                reply = tokio::time::timeout(BLOCK + LATE, requests.send_packed_command(&command)) => reply,
            };
            let entries = match reply {
                Ok(Ok(Value::ServerError(error))) => {
                    return Err(SourceError { reason: answers::reason_of_code(error.code()), detail: answers::words(&error) });
                }
                Ok(Ok(reply)) => entries(reply).unwrap_or_default(),
                Ok(Err(error)) => return Err(answers::source_error(&error)),
                Err(_) => return Err(SourceError { reason: Reason::Timeout, detail: "a read was not answered in time".into() }),
            };
            after = entries.last().and_then(entry_id).unwrap_or(after);
            let batch: Vec<_> = entries.into_iter().filter_map(|entry| Entry::read(entry, &self.key)?.1).collect();
            if !batch.is_empty() {
                room.offer(batch);
            }
        }
    }
}

#[async_trait]
impl Source for Tail {
    async fn run(self: Box<Self>, intake: Intake) -> Result<Ended, SourceError> {
        let (offers, receipts) = intake.open();
        alongside(self.read(offers, &intake), receipts).await
    }
}

#[cfg(test)]
mod tests {
    use super::{literal, pattern};

    #[test]
    fn a_template_becomes_the_widest_pattern() {
        assert_eq!(pattern("app:{message_type}:{message_id}"), "app:*:*");
        assert_eq!(pattern("{a}{b|'x'}:c"), "*:c");
        assert_eq!(pattern("what?{a}"), "what\\?*");
        assert_eq!(literal("{{fixed}}").as_deref(), Some("{fixed}"));
        assert_eq!(literal("a:{b}"), None);
    }
}
