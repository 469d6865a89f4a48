//! Which keys were asked of a node, and what to say of those that were not.

use std::{borrow::Cow, collections::BTreeSet};

use super::{Node, Problems, Value};

/// What was asked of one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    keys: BTreeSet<Cow<'static, str>>,
    later: BTreeSet<&'static str>,
    all: bool,
    refused: bool,
}

impl Asked {
    /// This key was asked for.
    pub(super) fn key(&mut self, key: impl Into<Cow<'static, str>>) {
        self.keys.insert(key.into());
    }

    /// Every key was asked for: the map's keys are names.
    pub(super) fn all(&mut self) {
        self.all = true;
    }
}

impl Node {
    /// Adds a fault for every key that nobody asked for, with the nearest asked-for key as a suggestion; and one fault where keys
    /// were asked of something that is no map. At the root `x-…` keys are free: anchors live there.
    pub fn finish(&self, faults: &mut Problems) {
        let nothing_asked = self.asked.borrow().keys.is_empty();
        if nothing_asked && !self.is_map() || !self.expect_map(faults) || self.asked.borrow().all {
            return;
        }
        let asked = self.asked.borrow();
        for (key, at, _) in self.written() {
            let free = self.path().is_empty() && key.starts_with("x-");
            if free || asked.keys.contains(key) {
                continue;
            }
            let hint = suggestion(key, asked.keys.iter().map(AsRef::as_ref));
            let problem = faults.fault(at, format!("unknown key `{key}`"));
            if let Some(hint) = hint {
                problem.hint(hint);
            }
        }
    }

    /// Refuses a key whose feature is not built yet, by name: `later("priority", "the journal", …)`. Answers whether it is written.
    pub fn later(&self, key: &'static str, with: &str, faults: &mut Problems) -> bool {
        let mut asked = self.asked.borrow_mut();
        asked.key(key);
        asked.later.insert(key);
        let Some(at) = self.key_at(key) else { return false };
        faults.fault(at, format!("`{key}` is not built yet: it comes with {with}"));
        true
    }

    /// The keys asked of this node so far, those of later features too; `None` where its keys are names that users choose.
    pub fn asked(&self) -> Option<Vec<String>> {
        let asked = self.asked.borrow();
        (!asked.all).then(|| asked.keys.iter().map(|key| key.clone().into_owned()).collect())
    }

    /// Takes over what was asked of a copy of this node, and of what stands under it: a destination is read from its own keys laid
    /// over those of `defaults`, and both want to know which of theirs nobody asked for.
    pub fn asked_like(&self, copy: &Self) {
        let theirs = copy.asked.borrow().clone();
        {
            let mut asked = self.asked.borrow_mut();
            asked.keys.extend(theirs.keys);
            asked.later.extend(theirs.later);
            asked.all |= theirs.all;
            asked.refused |= theirs.refused;
        }
        for (key, _, child) in self.written() {
            if let Some(same) = copy.peek(key).filter(|same| same.at() == child.at()) {
                child.asked_like(same);
            }
        }
    }

    /// The keys that [`Node::later`] refuses.
    pub fn asked_later(&self) -> Vec<&'static str> {
        self.asked.borrow().later.iter().copied().collect()
    }

    /// False after a fault where this is neither a map nor nothing; said once a node.
    pub(super) fn expect_map(&self, faults: &mut Problems) -> bool {
        if matches!(self.value(), Value::Map(_) | Value::Null) {
            return true;
        }
        if !self.asked.borrow().refused {
            self.asked.borrow_mut().refused = true;
            faults.fault(self.at(), format!("`{}` is {}, where a map is expected", self.name(), self.value().noun()));
        }
        false
    }
}

/// ``did you mean `exchange`?`` for the nearest of the known names, else the known names where they are few.
pub fn suggestion<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    let lower = written.to_lowercase().replace('-', "_");
    let distance = |name: &&&str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let nearest = known.iter().min_by_key(distance)?;
    let allowed = lower.chars().count().max(nearest.chars().count()).div_ceil(3);
    if distance(&nearest) <= allowed {
        return Some(format!("did you mean `{nearest}`?"));
    }
    let few = 12;
    (known.len() <= few).then(|| format!("known here: {}", quoted(&known)))
}

/// `` `a`, `b`, `c` ``
pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
