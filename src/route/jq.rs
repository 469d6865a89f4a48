//! `when:` and `transform:`, programs in jq, run by jaq. Compiled once; a tree is built only for a route that has one.
//!
//! A program sees the extended envelope: `.message_type`, `.message_name`, `.message_id`, `.payload`, `.metadata`, `.headers`. It
//! reaches nothing else: `env`, `$ENV`, `input`, modules, `halt` and the filters that print are not there. `now` is the moment in
//! which the message was first seen, so that a program answers the same for the same message.
//!
//! A payload that a transform leaves alone keeps its bytes. One that it changes is written anew: compact, integers of any size and
//! decimals that were only passed on as they were spelled (but `-0` as `0`), of a repeated key the last value.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use jaq_core::{
    Compiler, Ctx, DataT, Exn, Filter, Lut, Vars, compile,
    data::HasLut,
    load::{self, Arena, File, Loader, parse::Def},
    native,
};
use jaq_json::Val;

use super::tree::{self, Tree};
use crate::{
    envelope::{Message, Rejection, Rewrite},
    outcome::Reason,
    written::{Problems, Span},
};

/// A compiled program.
#[derive(Clone)]
pub struct Jq {
    text: Arc<str>,
    filter: Arc<Filter<Seen>>,
}

/// What a transform made of a message.
#[derive(Debug)]
pub(super) enum Transformed {
    /// It answered nothing.
    Filtered,
    /// It answered the envelope as it was.
    Unchanged,
    /// It answered another one.
    Changed(Arc<Message>),
}

/// What a program runs with: its own definitions and the time of the message.
struct Seen;

#[derive(Clone, Copy)]
struct SeenBy<'a> {
    lut: &'a Lut<Seen>,
    now: f64,
}

impl DataT for Seen {
    type V<'a> = Val;
    type Data<'a> = SeenBy<'a>;
}

impl<'a> HasLut<'a, Seen> for SeenBy<'a> {
    fn lut(&self) -> &'a Lut<Seen> {
        self.lut
    }
}

/// Filters of the standard library that reach out of the message: the environment, the clock, the terminal, the process.
const OFF: [&str; 11] =
    ["env", "now", "halt", "halt_error", "debug", "debug_empty", "stderr", "stderr_empty", "localtime", "strflocaltime", "input"];

impl Jq {
    /// Compiles a program that stands at `at`; `None` after a fault was added.
    pub fn compile(text: &str, at: &Span, faults: &mut Problems) -> Option<Self> {
        match compiled(text) {
            Ok(filter) => Some(Self { text: text.into(), filter: Arc::new(filter) }),
            Err(errors) => {
                for error in errors {
                    faults.fault(at, error);
                }
                None
            }
        }
    }

    /// As `when`: true unless it answers false, null or nothing. Of several answers the first counts.
    pub(super) fn holds(&self, seen: &Tree<'_>) -> Result<bool, Rejection> {
        match self.answers(seen.message, seen.value()?.clone()).next() {
            None => Ok(false),
            Some(Ok(value)) => Ok(!matches!(value, Val::Null | Val::Bool(false))),
            Some(Err(error)) => Err(rejection(format!("`when` failed: {error}"))),
        }
    }

    /// As `transform`: the payload, type and name of what it answers; two answers or an error are a rejection.
    pub(super) fn transform(&self, seen: &Tree<'_>) -> Result<Transformed, Rejection> {
        let input = seen.value()?;
        let mut answers = self.answers(seen.message, input.clone());
        let Some(first) = answers.next() else { return Ok(Transformed::Filtered) };
        let answer = first.map_err(|error| rejection(format!("`transform` failed: {error}")))?;
        match answers.next() {
            None => {}
            Some(Ok(_)) => return Err(rejection("`transform` answered more than one value")),
            Some(Err(error)) => return Err(rejection(format!("`transform` failed: {error}"))),
        }
        let rewrite = Rewrite {
            message_type: tree::changed_text(input, &answer, "message_type")?,
            name: tree::changed_text(input, &answer, "message_name")?,
            payload: tree::changed_payload(input, &answer)?.map(Bytes::from),
            id: None,
        };
        Ok(if rewrite.is_empty() {
            Transformed::Unchanged
        } else {
            Transformed::Changed(Arc::new(seen.message.rewritten(rewrite)))
        })
    }

    fn answers(&self, message: &Message, input: Val) -> impl Iterator<Item = Result<Val, String>> {
        let data = SeenBy { lut: &self.filter.lut, now: message.received_ms() as f64 / 1000.0 };
        self.filter.id.run((Ctx::<Seen>::new(data, Vars::new([])), input)).map(|answer| answer.map_err(said))
    }
}

impl fmt::Debug for Jq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jq").field(&self.text).finish()
    }
}

/// An error in a program's own words.
fn said(exception: Exn<'_, Val>) -> String {
    exception.get_err().map_or_else(|_| "it broke out of nothing".to_owned(), |error| error.to_string())
}

pub(super) fn rejection(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Transform, detail)
}

fn compiled(text: &str) -> Result<Filter<Seen>, Vec<String>> {
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let defs = defs.filter(|def: &Def<&str>| !OFF.contains(&def.name));
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let funs = funs.filter(|(name, ..)| !OFF.contains(name));
    let now: native::Fun<Seen> = native::run(("now", native::v(0), |cv| native::bome(Ok(Val::from(cv.0.data().now)))));
    let arena = Arena::default();
    let modules = Loader::new(defs).load(&arena, File { code: text, path: () }).map_err(load_errors)?;
    Compiler::<&str, Seen>::default().with_funs(funs.chain([now])).compile(modules).map_err(compile_errors)
}

fn load_errors(errors: load::Errors<&str, ()>) -> Vec<String> {
    let of = |error: load::Error<&str>| match error {
        load::Error::Io(errors) => errors.into_iter().map(|(_, error)| format!("jq: {error}")).collect(),
        load::Error::Lex(errors) => errors.into_iter().map(|(expected, at)| wanted(expected.as_str(), at)).collect(),
        load::Error::Parse(errors) => errors.into_iter().map(|(expected, at)| wanted(expected.as_str(), at)).collect::<Vec<_>>(),
    };
    errors.into_iter().flat_map(|(_, error)| of(error)).collect()
}

fn wanted(expected: &str, at: &str) -> String {
    let found = at.split_whitespace().next().map_or_else(|| "its end".to_owned(), |word| format!("`{word}`"));
    format!("not a jq program: expected {expected}, found {found}")
}

fn compile_errors(errors: compile::Errors<&str, ()>) -> Vec<String> {
    let of = |(name, undefined): compile::Error<&str>| {
        let off = OFF.contains(&name) || matches!(name, "$ENV" | "inputs");
        let why = if off { ": a route sees its message and nothing else" } else { "" };
        match undefined {
            compile::Undefined::Filter(arity) => format!("jq has no `{name}/{arity}` here{why}"),
            other => format!("jq has no {} `{name}` here{why}", other.as_str()),
        }
    };
    errors.into_iter().flat_map(|(_, errors)| errors).map(of).collect()
}
