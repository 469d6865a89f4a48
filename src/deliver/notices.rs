//! What an error reporter hears of a lane.

use bytes::Bytes;

use super::{item::Item, lane::LaneSpec};
use crate::{
    outcome::Reason,
    report::{About, Report, What},
};

/// A message that the lane gives up; with its payload, where that is asked for.
pub(super) fn dead_letter(item: &Item, spec: &LaneSpec, reason: Reason, payload: bool) -> Report {
    let message = item.entry.original();
    let story = item.story.as_deref();
    let error = story.map_or("", |story| story.detail.as_str());
    Report {
        attempts: story.map_or(0, |story| story.failures),
        payload: payload.then(|| Bytes::copy_from_slice(message.payload())),
        ..Report::new(What::DeadLetter, about(spec), reason, error).of(message.message_type(), message.name(), message.id())
    }
}

/// The destination stands still.
pub(super) fn paused(spec: &LaneSpec, reason: Reason, error: &str) -> Report {
    Report::new(What::Paused, about(spec), reason, error)
}

fn about(spec: &LaneSpec) -> About {
    About { source: spec.source.to_string(), route: spec.route.to_string(), destination: spec.destination.to_string() }
}
