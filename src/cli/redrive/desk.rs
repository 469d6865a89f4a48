//! Finds where a dead letter was to go, among the lanes of the configuration.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::record::{Record, revive};
use crate::{
    config::plan::{LanePlan, PipelinePlan, Plan},
    envelope::{HeaderArena, Message, RawMessage},
    route::{Copy, Idle, Routed, Template},
    written::{AddressRule, Problems},
};

/// A letter ready to be sent again.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) lane: LanePlan,
    pub(super) record: Record,
    pub(super) message: Message,
    pub(super) key: String,
    pub(super) fields: Vec<Option<String>>,
    pub(super) headers: Vec<(Arc<str>, String)>,
    pub(super) body: Vec<u8>,
    pub(super) content_type: String,
}

/// The routers and lanes.
#[derive(Debug)]
pub(super) struct Desk {
    pipelines: Vec<PipelinePlan>,
}

impl Desk {
    pub(super) fn new(plan: Plan) -> Self {
        Self { pipelines: plan.pipelines }
    }

    /// Puts the letter through its route again (the original body has not met the route's `transform`), for the recorded
    /// destination only and to the recorded address. `Err` says why it must stay.
    pub(super) fn address(&mut self, letter: &RawMessage, record: Record) -> Result<Parcel, String> {
        let named = |lane: &LanePlan| {
            let destination = [&lane.destination, &lane.written].into_iter().any(|name| **name == *record.destination);
            !lane.is_dead_letter && *lane.route == *record.route && destination
        };
        let found = self.pipelines.iter_mut().find_map(|pipeline| {
            let lane = pipeline.lanes.iter().find(|lane| named(lane))?.clone();
            Some((pipeline, lane))
        });
        let Some((pipeline, lane)) = found else {
            return Err(format!("the configuration has no destination `{}` in a route `{}`", record.destination, record.route));
        };
        let mut routed = Routed::default();
        pipeline.router.admit(revive(letter), now(), &mut routed);
        let Some(at) = routed.copies.iter().position(|copy| copy.lane == lane.id && copy.death.is_none()) else {
            return Err(format!("its route does not take it: {}", why_not(&routed)));
        };
        let copy = routed.copies.swap_remove(at);
        let rendered = text(&routed, &copy.address);
        if record.address != rendered {
            permitted(&lane, &record.address)?;
        }
        Ok(parcel(lane, record, copy, routed))
    }
}

fn parcel(lane: LanePlan, record: Record, copy: Copy, mut routed: Routed) -> Parcel {
    let key = text(&routed, &copy.key).to_owned();
    let fields = copy.fields.iter().map(|field| field.as_ref().map(|span| text(&routed, span).to_owned())).collect();
    let mut headers: Vec<_> = copy.headers.iter().map(|(name, span)| (Arc::clone(name), text(&routed, span).to_owned())).collect();
    let message = match copy.transformed {
        Some(message) => Arc::unwrap_or_clone(message),
        None => routed.messages.swap_remove(copy.message as usize),
    };
    let (mut body, mut arena) = (Vec::new(), HeaderArena::default());
    let content_type = lane.format.encode(&message, &mut body, &mut arena).to_owned();
    headers.extend(arena.iter(0..arena.len()).map(|(name, value)| (name.into(), value.to_owned())));
    Parcel { lane, record, message, key, fields, headers, body, content_type }
}

fn text<'a>(routed: &'a Routed, span: &crate::route::Span) -> &'a str {
    &routed.arena[span.start as usize..span.end as usize]
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn why_not(routed: &Routed) -> String {
    let dead = routed.copies.iter().find_map(|copy| copy.death.as_ref());
    let idle = routed.idle.first().map(|(_, idle)| match idle {
        Idle::Filtered => "a filter leaves it out".to_owned(),
        Idle::Unrouted => "no route matches".to_owned(),
        Idle::Dropped(reason) => reason.to_string(),
        Idle::Rejected(refusal) => refusal.to_string(),
    });
    dead.map(|death| death.error.clone()).or(idle).unwrap_or_else(|| "only others get it".to_owned())
}

/// A recorded address is somebody's header: it must be one that the destination's template could make, or a letter could be sent
/// anywhere on the destination's broker.
fn permitted(lane: &LanePlan, address: &str) -> Result<(), String> {
    let AddressRule { bytes_max, forbidden, name, .. } = lane.target.rule;
    let mut faults = Problems::default();
    let pattern = Template::compile(&lane.target.address, &mut faults).map(|template| template.pattern());
    let made = pattern.as_deref().is_some_and(|pattern| could_make(pattern, address, forbidden));
    if made && address.len() <= bytes_max {
        return Ok(());
    }
    Err(format!("`{}` could not make the recorded address `{}` ({name})", lane.written, address.escape_debug()))
}

/// True where `address` is `pattern` with some legal text for each `*`.
fn could_make(pattern: &str, address: &str, forbidden: fn(char) -> bool) -> bool {
    let Some((fixed, rest)) = pattern.split_once('*') else { return pattern == address };
    let Some(tail) = address.strip_prefix(fixed) else { return false };
    let ends = tail.char_indices().map(|(at, character)| at + character.len_utf8());
    for end in ends {
        // A value is never empty, and what it may not hold ends the search.
        if tail[..end].chars().next_back().is_some_and(forbidden) {
            return false;
        }
        if could_make(rest, &tail[end..], forbidden) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pattern: &str, address: &str) -> bool {
        could_make(pattern, address, |character| matches!(character, '*' | '?' | '[') || character.is_control())
    }

    #[test]
    fn only_addresses_of_the_template_are_permitted() {
        assert!(made("app:*:*", "app:order:1"));
        assert!(made("app:*", "app:a:b:c"));
        assert!(made("app", "app"));
        assert!(made("*", "x"));
        assert!(made("a*b*c", "a1b2bc"));
        assert!(!made("app:*:*", "app:order"));
        assert!(!made("app:*", "app:"), "a value is never empty");
        assert!(!made("app:*", "other:1"));
        assert!(!made("app:*", "app:x*"));
        assert!(!made("app:*:end", "app:x\n:end"));
        assert!(!made("app", "app2"));
    }
}
