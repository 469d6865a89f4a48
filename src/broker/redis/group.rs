//! A stream's consumer group: found, created, and created anew when its server forgot it.

use redis::Value;

use super::{
    carrier::EntryId,
    connect::odd,
    held::{Known, Mark},
    wire::Wire,
};
use crate::broker::OpenError;

/// Where a group begins that nobody created before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With the oldest entry there is.
    Earliest,
    /// With the next one.
    Latest,
    /// After this one.
    After(EntryId),
}

/// Sees to it that the group is there, at a place that skips nothing.
pub(super) async fn ensure(wire: &mut Wire, key: &str, group: &str, start: Start, mark: &Mark) -> Result<(), OpenError> {
    let known = mark.known();
    let last = last_generated(wire, key).await?;
    let at = beginning(known, start, last);
    let create = redis::cmd("XGROUP").arg("CREATE").arg(key).arg(group).arg(at.to_string()).arg("MKSTREAM").take();
    wire.send(&[create]).await?;
    match wire.next().await? {
        Value::ServerError(error) if error.code() == "BUSYGROUP" => {
            if known.lost && delivered(wire, key, group).await? > at {
                // Another consumer created it anew, further on than we had come: what lies between would reach nobody.
                wire.ask(redis::cmd("XGROUP").arg("SETID").arg(key).arg(group).arg(at.to_string()).take(), "XGROUP SETID").await?;
            }
            mark.update(|known| {
                known.seen = true;
                known.lost = false;
            });
        }
        Value::ServerError(error) => return Err(super::answers::open_error(&error, "XGROUP CREATE", &wire.place().to_string())),
        _ => mark.update(|known| *known = Known { settled: Some(at), seen: true, lost: false }),
    }
    Ok(())
}

/// Where the group would be created. `$` is never sent: it means something else at every moment.
fn beginning(known: Known, start: Start, last: EntryId) -> EntryId {
    match (known.settled, start) {
        // Our id is beyond the stream's last: it is another stream by now, and all of it is new.
        (Some(settled), _) if settled > last => EntryId::default(),
        (Some(settled), _) => settled,
        (None, _) if known.seen => EntryId::default(),
        (None, Start::Earliest) => EntryId::default(),
        (None, Start::Latest) => last,
        (None, Start::After(id)) => id,
    }
}

/// The highest id the stream ever gave; 0-0 where there is no stream.
pub(super) async fn last_generated(wire: &mut Wire, key: &str) -> Result<EntryId, OpenError> {
    wire.send(&[redis::cmd("XINFO").arg("STREAM").arg(key).take()]).await?;
    let reply = wire.next().await?;
    match &reply {
        Value::ServerError(error) if error.details().is_some_and(|words| words.contains("no such key")) => Ok(EntryId::default()),
        Value::ServerError(error) => Err(super::answers::open_error(error, "XINFO STREAM", &wire.place().to_string())),
        _ => field(&reply, "last-generated-id").and_then(id).ok_or_else(|| odd(wire.place(), &reply)),
    }
}

/// How far the group has been delivered.
async fn delivered(wire: &mut Wire, key: &str, group: &str) -> Result<EntryId, OpenError> {
    let reply = wire.ask(redis::cmd("XINFO").arg("GROUPS").arg(key).take(), "XINFO GROUPS").await?;
    of_group(&reply, group, "last-delivered-id").and_then(id).ok_or_else(|| odd(wire.place(), &reply))
}

/// What the reply to `XINFO GROUPS` says of one group.
fn of_group<'a>(reply: &'a Value, group: &str, what: &str) -> Option<&'a Value> {
    let Value::Array(groups) = reply else { return None };
    let ours = |info: &&Value| matches!(field(info, "name"), Some(Value::BulkString(name)) if name == group.as_bytes());
    groups.iter().find(ours).and_then(|info| field(info, what))
}

/// Entries that the group was not given yet; the server tells since 7.0, and not where it lost count (after deletions).
pub(super) fn lag(reply: &Value, group: &str) -> Option<u64> {
    match of_group(reply, group, "lag")? {
        Value::Int(lag) => u64::try_from(*lag).ok(),
        _ => None,
    }
}

fn id(value: &Value) -> Option<EntryId> {
    match value {
        Value::BulkString(text) => EntryId::parse(text),
        _ => None,
    }
}

/// A value in a reply of names and values: a map in RESP3, a flat list in RESP2.
fn field<'a>(reply: &'a Value, name: &str) -> Option<&'a Value> {
    let is = |key: &Value| matches!(key, Value::BulkString(key) if key == name.as_bytes());
    match reply {
        Value::Map(entries) => entries.iter().find(|(key, _)| is(key)).map(|(_, value)| value),
        Value::Array(flat) => flat.chunks_exact(2).find(|pair| is(&pair[0])).map(|pair| &pair[1]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryId, Known, Start, beginning};

    #[test]
    fn a_lost_group_never_begins_at_the_streams_end() {
        let id = |milliseconds| EntryId { milliseconds, number: 0 };
        let zero = EntryId::default();
        let known = |settled, seen| Known { settled, seen, lost: seen };
        assert_eq!(beginning(known(None, false), Start::Latest, id(9)), id(9), "a new group may");
        assert_eq!(beginning(known(None, true), Start::Latest, id(9)), zero, "one that was there before may not");
        assert_eq!(beginning(known(Some(id(5)), true), Start::Latest, id(9)), id(5));
        assert_eq!(beginning(known(Some(id(5)), true), Start::Earliest, id(9)), id(5));
        assert_eq!(beginning(known(Some(id(5)), true), Start::Earliest, id(3)), zero, "another stream under the same key");
    }
}
