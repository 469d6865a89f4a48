//! Faults, and where they stand.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    ops::Range,
    sync::Arc,
};

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file's path as given, `environment RIALTO__…`, `--set …`, or `defaults`.
    pub source: Arc<str>,
    /// Byte range in the file; `0..0` where the source is no file.
    pub bytes: Range<usize>,
    /// From 1; 0 where the source is no file.
    pub line: usize,
    /// In characters, from 1; 0 where the source is no file.
    pub column: usize,
}

impl Span {
    /// A place that is no file: `environment RIALTO__LOG__LEVEL`, `--set log.level=debug`, `defaults`.
    pub fn outside(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), bytes: 0..0, line: 0, column: 0 }
    }

    /// Whether it is a place in a file.
    pub fn is_file(&self) -> bool {
        self.line > 0
    }
}

/// One fault of the configuration.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What is wrong, in lower case without a full stop: ``unknown key `exchnge` ``.
    pub message: String,
    /// Where.
    pub at: Span,
    /// How to mend it: ``did you mean `exchange`?``.
    pub hint: Option<String>,
    /// A second place that belongs to it ("the other value stands here").
    pub also: Option<(Span, String)>,
    /// Printed, but no reason to refuse (turned into a fault by `strict`).
    pub warning: bool,
}

/// All faults found so far, and the texts of the files in which they stand.
#[derive(Clone, Default)]
pub struct Problems {
    found: Vec<Problem>,
    texts: BTreeMap<Arc<str>, Arc<str>>,
    spoiled: Vec<Span>,
}

/// Without the texts: they may hold passwords.
impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.found).finish()
    }
}

impl Problems {
    /// Adds a fault.
    pub fn fault(&mut self, at: &Span, message: impl Into<String>) -> &mut Problem {
        self.push(Problem { message: message.into(), at: at.clone(), hint: None, also: None, warning: false })
    }

    /// Adds a warning.
    pub fn warn(&mut self, at: &Span, message: impl Into<String>) -> &mut Problem {
        self.push(Problem { message: message.into(), at: at.clone(), hint: None, also: None, warning: true })
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        self.found.push(problem);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Learns a file's text, so that faults in it can show their line.
    pub fn learn(&mut self, source: Arc<str>, text: Arc<str>) {
        self.texts.insert(source, text);
    }

    /// The text of a file that was learned.
    pub fn text_of(&self, source: &str) -> Option<&Arc<str>> {
        self.texts.get(source)
    }

    /// What is written at a place; `None` where it is no file.
    pub fn text_at(&self, at: &Span) -> Option<&str> {
        if at.is_file() { self.text_of(&at.source)?.get(at.bytes.clone()) } else { None }
    }

    /// None found, but the same texts: where the next stage starts.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { found: Vec::new(), texts: self.texts.clone(), spoiled: self.spoiled.clone() }
    }

    /// A fault was said of this value, which stands in the tree only to hold its place: what a later stage says of it is left out.
    pub fn spoil(&mut self, at: &Span) {
        self.spoiled.push(at.clone());
    }

    /// Takes over what a later stage found.
    pub fn take_in(&mut self, later: Self) {
        self.found.extend(later.found.into_iter().filter(|problem| !self.spoiled.contains(&problem.at)));
        self.texts.extend(later.texts);
        self.spoiled.extend(later.spoiled);
    }

    /// Leaves of equal problems at one place only the first: a value of `defaults` is read once for each destination.
    pub fn say_once(&mut self) {
        let mut said = HashSet::new();
        self.found.retain(|problem| {
            let at = &problem.at;
            said.insert((Arc::clone(&at.source), at.bytes.clone(), at.line, problem.message.clone()))
        });
    }

    /// Turns every warning into a fault: `strict: true`.
    pub fn make_strict(&mut self) {
        self.found.iter_mut().for_each(|problem| problem.warning = false);
    }

    /// How many, warnings too.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Neither fault nor warning.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// True where nothing forbids a start.
    pub fn is_ok(&self) -> bool {
        self.found.iter().all(|problem| problem.warning)
    }

    /// All of them, in the order found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }
}

impl Problem {
    /// Says how to mend it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at a second place.
    pub fn also(&mut self, at: &Span, label: impl Into<String>) -> &mut Self {
        self.also = Some((at.clone(), label.into()));
        self
    }
}
