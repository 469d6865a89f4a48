//! A client's publish: settled by the sources of the bridge that read the channel, then heard by its subscribers.

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{door::Door, frame};
use crate::{live::hub::event, outcome::Verdict};

/// Publishes, and answers what to say.
pub(super) async fn publish(door: &Door, channel: Bytes, body: Bytes, id: Option<&RawValue>) -> String {
    match settle(door, &channel, &body).await {
        Ok(()) => frame::published(id, door.house.hub.publish(channel, body, "")),
        Err((code, why)) => frame::error(id, code, &why),
    }
}

/// Waits until every source that reads the channel has settled the message; `Err` is the code and the sentence of who would not have it.
async fn settle(door: &Door, channel: &Bytes, body: &Bytes) -> Result<(), (&'static str, String)> {
    let sources = door.house.hub.sources(channel);
    if sources.is_empty() {
        return Ok(());
    }
    let calls = join_all(sources.iter().map(|source| source.call(vec![event(channel, body, 0)])));
    let Ok(answers) = timeout(door.pace.verdict, calls).await else {
        return Err(("timeout", "no verdict in time; the message may still be delivered".to_owned()));
    };
    for answer in answers {
        let verdicts = answer.map_err(|unanswered| ("unanswered", unanswered.to_string()))?;
        if let Some(Verdict::Rejected(refusal)) = verdicts.into_iter().find(|verdict| *verdict != Verdict::Accepted) {
            return Err(("rejected", refusal.to_string()));
        }
    }
    Ok(())
}
