//! Messages that would come back to the source they came from.

use std::collections::HashSet;

use super::{route::Route, source::Sources};
use crate::written::{Problems, Span};

/// A step from one source to another: a destination of the first is read by the second.
struct Step<'a> {
    from: &'a str,
    to: &'a str,
    at: &'a Span,
    /// Neither the route nor the destination filters: everything that comes goes round.
    whole: bool,
}

/// Refuses a route that feeds all of its source back into it, and warns of longer circles; there the hop limit ends what goes round.
pub(super) fn warn(sources: &Sources<'_>, routes: &[Route<'_>], faults: &mut Problems) {
    let steps = steps(sources, routes);
    let mut told = HashSet::new();
    for step in &steps {
        if step.from == step.to {
            own(step, faults);
        } else if let Some(path) = way_back(step, &steps) {
            let mut members = path.clone();
            members.sort_unstable();
            if told.insert(members) {
                let path = path.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ");
                faults
                    .warn(step.at, format!("messages go round in a circle: {path} → `{}`", step.from))
                    .hint("each round is a hop; past the hop limit a message goes to the dead letter");
            }
        }
    }
}

fn steps<'a>(sources: &'a Sources<'_>, routes: &'a [Route<'_>]) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for route in routes {
        for destination in &route.destinations {
            let Some(target) = &destination.target else { continue };
            let readers =
                sources.known.values().flatten().filter(|source| source.origin.as_ref().is_some_and(|origin| origin.reads(target)));
            let filters = |key| route.node.peek(key).is_some() || destination.settings.peek(key).is_some();
            let whole = !filters("match") && !filters("when") && !filters("transform") && !route.by_kind;
            steps.extend(readers.map(|reader| Step { from: &route.source, to: &reader.name, at: &destination.at, whole }));
        }
    }
    steps
}

fn own(step: &Step<'_>, faults: &mut Problems) {
    let message = format!("this destination is what the source `{}` reads", step.from);
    if step.whole {
        faults.fault(step.at, format!("{message}: every message would go round until the hop limit"));
    } else {
        faults
            .warn(step.at, message)
            .hint("what it takes must not match again: each round is a hop, and past the limit it is dead");
    }
}

/// The sources that a message passes on the shortest way from `first` back to where it began.
fn way_back<'a>(first: &Step<'a>, steps: &[Step<'a>]) -> Option<Vec<&'a str>> {
    let mut seen = HashSet::from([first.to]);
    let mut paths = vec![vec![first.from, first.to]];
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            let last = path.last().copied()?;
            for step in steps.iter().filter(|step| step.from == last) {
                if step.to == first.from {
                    return Some(path);
                }
                if seen.insert(step.to) {
                    longer.push(path.iter().copied().chain([step.to]).collect());
                }
            }
        }
        paths = longer;
    }
    None
}
