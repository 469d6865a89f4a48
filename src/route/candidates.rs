//! Which routes a type and a name can concern: answered from memory for those seen before, by one combined glob set for the others.

use std::{collections::HashMap, ops::Range, sync::Arc};

use globset::GlobSet;

use super::{Matcher, Pattern, Route, matcher::union};

/// A route that takes messages of a type and name, with those of its destinations that do; its other conditions are still to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Index of the route.
    pub route: u32,
    /// Indices of its destinations.
    pub destinations: Box<[u32]>,
}

/// Pairs kept in memory; one more, and all are forgotten.
const PAIRS_MAX: usize = 4096;
/// Longer types and names are never kept, so that the memory has a bound in bytes too.
const KEPT_BYTES_MAX: usize = 256;

/// The conditions on type and name of all routes and destinations.
#[derive(Debug, Clone)]
pub(super) struct Candidates {
    types: GlobSet,
    names: GlobSet,
    routes: Arc<[Gate]>,
    /// By type, then by name: two lookups, and no pair to put together.
    seen: HashMap<Box<str>, ByName>,
    pairs: usize,
}

/// What was found for each name of one type.
type ByName = HashMap<Box<str>, Arc<[Candidate]>>;

/// A route's conditions, and each of its destinations'.
#[derive(Debug)]
struct Gate {
    own: Wanted,
    /// It takes nothing that no destination takes.
    by_kind: bool,
    destinations: Box<[Wanted]>,
}

/// Ranges of the combined sets, any of which suffices; `None`: everything.
#[derive(Debug, Default)]
struct Wanted {
    message_type: Option<Range<usize>>,
    message_name: Option<Range<usize>>,
}

/// The globs of all matchers, in the order in which they were met.
#[derive(Default)]
struct Gathered<'a> {
    types: Vec<&'a globset::Glob>,
    names: Vec<&'a globset::Glob>,
}

impl<'a> Gathered<'a> {
    fn add(&mut self, matcher: Option<&'a Matcher>) -> Wanted {
        let range = |all: &mut Vec<&'a globset::Glob>, pattern: Option<&'a Pattern>| {
            let start = all.len();
            all.extend(pattern?.globs());
            Some(start..all.len())
        };
        matcher.map_or_else(Wanted::default, |matcher| Wanted {
            message_type: range(&mut self.types, matcher.message_type.as_ref()),
            message_name: range(&mut self.names, matcher.message_name.as_ref()),
        })
    }
}

impl Candidates {
    /// Combines the matchers of `routes`. The error is a set too large to compile.
    pub(super) fn new(routes: &[Route]) -> Result<Self, globset::Error> {
        let mut gathered = Gathered::default();
        let gates = routes.iter().map(|route| Gate {
            own: gathered.add(route.matcher.as_ref()),
            by_kind: route.by_kind,
            destinations: route.destinations.iter().map(|destination| gathered.add(destination.matcher.as_ref())).collect(),
        });
        let gates = gates.collect();
        Ok(Self { types: union(gathered.types)?, names: union(gathered.names)?, routes: gates, seen: HashMap::new(), pairs: 0 })
    }

    /// The candidates for a type and a name, in the order of the routes.
    pub(super) fn of(&mut self, message_type: &str, name: &str) -> Arc<[Candidate]> {
        if let Some(known) = self.seen.get(message_type).and_then(|names| names.get(name)) {
            return Arc::clone(known);
        }
        let found = self.find(message_type, name);
        if message_type.len() + name.len() <= KEPT_BYTES_MAX {
            if self.pairs == PAIRS_MAX {
                self.seen.clear();
                self.pairs = 0;
            }
            self.seen.entry(message_type.into()).or_default().insert(name.into(), Arc::clone(&found));
            self.pairs += 1;
        }
        found
    }

    fn find(&self, message_type: &str, name: &str) -> Arc<[Candidate]> {
        let (types, names) = (self.types.matches(message_type), self.names.matches(name));
        let any = |wanted: Option<&Range<usize>>, hits: &[usize]| {
            wanted.is_none_or(|range| hits.get(hits.partition_point(|&hit| hit < range.start)).is_some_and(|hit| *hit < range.end))
        };
        let takes = |wanted: &Wanted| any(wanted.message_type.as_ref(), &types) && any(wanted.message_name.as_ref(), &names);
        let routes = self.routes.iter().zip(0..).filter(|(gate, _)| takes(&gate.own));
        routes
            .filter_map(|(gate, route)| {
                let destinations = gate.destinations.iter().zip(0..).filter(|(wanted, _)| takes(wanted));
                let destinations: Box<[u32]> = destinations.map(|(_, index)| index).collect();
                (!gate.by_kind || !destinations.is_empty()).then_some(Candidate { route, destinations })
            })
            .collect()
    }
}
