//! Faults, and where they stand.

use std::sync::Arc;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file's path as given, `environment RIALTO__…`, `--set …`, or `defaults`.
    pub source: Arc<str>,
    /// Byte range in the file; `0..0` where the source is no file.
    pub bytes: std::ops::Range<usize>,
    /// From 1; 0 where the source is no file.
    pub line: usize,
    /// In characters, from 1; 0 where the source is no file.
    pub column: usize,
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

/// All faults found so far.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
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
