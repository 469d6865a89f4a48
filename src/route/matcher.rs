//! `match:`, by globs on type, name, source and headers.

use std::sync::Arc;

use globset::{Glob, GlobBuilder, GlobSet};

use crate::{
    envelope::{HeaderValue, Message},
    written::{Problems, Span},
};

/// One glob or a list of globs; any of them suffices. `*` is any text, `?` one byte, `[a-z]` a class, `{a,b}` alternatives.
#[derive(Debug, Clone)]
pub struct Pattern {
    globs: Vec<Glob>,
    set: GlobSet,
}

impl Pattern {
    /// Compiles globs, each with the place where it stands; `None` after a fault was added.
    pub fn compile<'a>(globs: impl IntoIterator<Item = (&'a str, &'a Span)>, faults: &mut Problems) -> Option<Self> {
        let compiled = globs.into_iter().map(|(text, at)| match glob(text) {
            Ok(glob) => Some(glob),
            Err(error) => {
                faults.fault(at, format!("`{text}` is no glob: {}", error.kind()));
                None
            }
        });
        // Every glob is looked at, so that every fault is found at once.
        let compiled: Vec<Option<Glob>> = compiled.collect();
        let globs: Vec<Glob> = compiled.into_iter().collect::<Option<_>>()?;
        let set = union(&globs).ok()?;
        Some(Self { globs, set })
    }

    /// True where one of them matches all of `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.set.is_match(text)
    }

    /// The globs themselves, for a set over many patterns.
    pub(super) fn globs(&self) -> &[Glob] {
        &self.globs
    }
}

/// A glob over names, in which a slash is a character like any other.
fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(&over_names(text)).literal_separator(false).backslash_escape(true).empty_alternates(true).build()
}

/// The glob without what it would mean for paths, which names are not. Each run of stars is one: between slashes a double star would
/// mean directories. A dot at the end is a class: it would be looked for in file names, and `..` is none.
fn over_names(text: &str) -> String {
    let (mut out, mut last, mut in_class, mut escaped) = (String::with_capacity(text.len()), None, false, false);
    let mut dot = None;
    for character in text.chars() {
        let star = character == '*' && !in_class && !escaped;
        dot = (character == '.' && !in_class).then_some(out.len() - usize::from(escaped));
        if !(star && last == Some('*')) {
            out.push(character);
        }
        last = star.then_some('*');
        in_class = if in_class { character != ']' } else { character == '[' && !escaped };
        escaped = character == '\\' && !escaped && !in_class;
    }
    if let Some(at) = dot {
        out.truncate(at);
        out.push_str("[.]");
    }
    out
}

/// One set over many globs.
pub(super) fn union<'a>(globs: impl IntoIterator<Item = &'a Glob>) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSet::builder();
    for glob in globs {
        builder.add(glob.clone());
    }
    builder.build()
}

/// What a route or a destination takes; what is not written matches everything.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// `message_type`.
    pub message_type: Option<Pattern>,
    /// `message_name`.
    pub message_name: Option<Pattern>,
    /// `source`: the event's own source (`metadata.source`, a CloudEvent's `source`), else the name of the source it was read from.
    pub source: Option<Pattern>,
    /// `headers`: all must be there and match.
    pub headers: Vec<(Arc<str>, Pattern)>,
}

impl Matcher {
    /// Looks at type and name.
    pub(super) fn names(&self, message: &Message) -> bool {
        self.message_type.as_ref().is_none_or(|pattern| pattern.is_match(message.message_type()))
            && self.message_name.as_ref().is_none_or(|pattern| pattern.is_match(message.name()))
    }

    /// Looks at all but type and name, which [`super::Router::candidates`] has looked at.
    pub(super) fn takes(&self, message: &Message, source: &str) -> bool {
        let by_source = self.source.as_ref().is_none_or(|pattern| match message.metadata("source") {
            Some(own) => pattern.is_match(&own),
            None => pattern.is_match(source),
        });
        by_source
            && self.headers.iter().all(|(name, pattern)| {
                let value = message.raw().carrier.header(name).and_then(HeaderValue::to_text);
                value.is_some_and(|value| pattern.is_match(&value))
            })
    }
}
