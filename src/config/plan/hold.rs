//! Rules that could hold a message longer than its source's broker allows, and routes that promise less than they seem to.

use super::{destination::Destination, route::Route, rules, source::Source};
use crate::written::Problems;

/// In transit a message waits at its source until it is delivered: its rules must end before its broker closes the consumer.
pub(super) fn check(source: &Source<'_>, destination: &Destination<'_>, faults: &mut Problems) {
    let Some(allowed) = source.origin.as_ref().and_then(|origin| origin.hold_max()) else { return };
    if !destination.rules.required {
        return;
    }
    let Some(hold) = rules::hold_max(&destination.rules).filter(|hold| *hold > allowed) else { return };
    let at = ["deadline", "max_errors", "backoff", "timeout"]
        .into_iter()
        .find_map(|key| destination.settings.peek(key))
        .map_or(&destination.at, |node| node.at());
    let words = |duration| humantime::format_duration(duration).to_string();
    faults
        .fault(
            at,
            format!(
                "these rules could hold a message for {}, and the source `{}` can hold one for {}",
                words(hold),
                source.name,
                words(allowed)
            ),
        )
        .hint("fewer `max_errors`, a shorter `backoff.max` or `timeout`, or a `deadline`; with a journal there is no such bound");
}

/// A route whose destinations are all optional delivers nothing for certain.
pub(super) fn only_optional(route: &Route<'_>, faults: &mut Problems) {
    if let Some(first) = route.destinations.first()
        && route.destinations.iter().all(|destination| !destination.rules.required)
    {
        let at = first.settings.peek("required").map_or(&first.at, |node| node.at());
        let message = format!("no destination of the route `{}` is required: what they do not take is lost by choice", route.name);
        faults.warn(at, message).hint("`required: true` on one of them");
    }
}
