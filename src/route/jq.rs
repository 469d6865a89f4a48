//! `when:` and `transform:`, programs in jq, run by jaq. Compiled once; a tree is built only for a route that has one.
//!
//! A program sees the extended envelope: `.message_type`, `.message_name`, `.message_id`, `.payload`, `.metadata`, `.headers`. It
//! reaches nothing else: `env`, `$ENV`, `input`, modules, `halt` and the filters that print are not there. `now` is the moment in
//! which the message was first seen, so that a program answers the same for the same message.
//!
//! A payload that a transform leaves alone keeps its bytes. One that it changes is written anew: compact, integers of any size and
//! decimals that were only passed on as they were spelled (but `-0` as `0`), of a repeated key the last value.
//!
//! A run has an [`Allowance`] of steps, and is given up, as a rejection, once it has used it.

mod allowance;
mod metered;

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use jaq_core::{
    Compiler, Ctx, DataT, Exn, Filter, Lut, Vars, compile,
    data::HasLut,
    load::{
        self, Arena, File, Loader,
        parse::{Def, Term},
    },
    native,
};
use jaq_json::Val;

pub(crate) use self::allowance::STACK_BYTES;
use self::{
    allowance::{Allowance, within},
    metered::{metered, metered_def},
};
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

/// What a program runs with: its own definitions, the time of the message, what the run may cost.
struct Seen;

#[derive(Clone, Copy)]
struct SeenBy<'a> {
    lut: &'a Lut<Seen>,
    now: f64,
    allowance: &'a Allowance,
}

impl DataT for Seen {
    type V<'a> = Val;
    type Data<'a> = SeenBy<'a>;
}

impl<'a> HasLut<'a, Seen> for SeenBy<'a> {
    /// Asked for before every term that is run.
    fn lut(&self) -> &'a Lut<Seen> {
        self.allowance.step();
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
        self.run("when", seen, |_, answers, _| match answers.next() {
            None => Ok(false),
            Some(Ok(value)) => Ok(!matches!(value, Val::Null | Val::Bool(false))),
            Some(Err(error)) => Err(rejection(format!("`when` failed: {error}"))),
        })
    }

    /// As `transform`: the payload, type and name of what it answers; two answers or an error are a rejection.
    pub(super) fn transform(&self, seen: &Tree<'_>) -> Result<Transformed, Rejection> {
        let rewrite = self.run("transform", seen, |input, answers, allowance| {
            let Some(first) = answers.next() else { return Ok(None) };
            let answer = first.map_err(|error| rejection(format!("`transform` failed: {error}")))?;
            match answers.next() {
                None => {}
                Some(Ok(_)) => return Err(rejection("`transform` answered more than one value")),
                Some(Err(error)) => return Err(rejection(format!("`transform` failed: {error}"))),
            }
            Ok(Some(Rewrite {
                message_type: tree::changed_text(input, &answer, "message_type")?,
                name: tree::changed_text(input, &answer, "message_name")?,
                payload: tree::changed_payload(input, &answer, |payload| allowance.looked_at(payload))?.map(Bytes::from),
                id: None,
            }))
        })?;
        Ok(match rewrite {
            None => Transformed::Filtered,
            Some(rewrite) if rewrite.is_empty() => Transformed::Unchanged,
            Some(rewrite) => Transformed::Changed(Arc::new(seen.message.rewritten(rewrite))),
        })
    }

    /// Runs the program on `seen`, whose value and answers `read` gets; a run that is over its allowance is a rejection.
    fn run<T>(
        &self,
        place: &str,
        seen: &Tree<'_>,
        read: impl FnOnce(&Val, &mut dyn Iterator<Item = Result<Val, String>>, &Allowance) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        let input = seen.value()?;
        let ended = within(|allowance| {
            let data = SeenBy { lut: &self.filter.lut, now: seen.message.received_ms() as f64 / 1000.0, allowance };
            let answers = self.filter.id.run((Ctx::<Seen>::new(data, Vars::new([])), input.clone()));
            read(input, &mut answers.map(|answer| answer.map_err(said)), allowance)
        });
        ended.unwrap_or_else(|overrun| Err(rejection(format!("`{place}` was given up: {}", overrun.sentence()))))
    }
}

impl fmt::Debug for Jq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jq").field(&self.text).finish()
    }
}

/// Bytes of an error that are worth reading; it may hold the whole message.
const ERROR_MAX: usize = 1024;

/// An error in a program's own words, as far as they are worth reading.
fn said(exception: Exn<'_, Val>) -> String {
    let Ok(error) = exception.get_err() else { return "it broke out of nothing".to_owned() };
    let mut said = Said(String::new());
    if write!(said, "{error}").is_err() {
        said.0.push('…');
    }
    said.0
}

/// Takes the beginning of a text and then refuses, which ends its writing.
struct Said(String);

impl Write for Said {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = ERROR_MAX.saturating_sub(self.0.len());
        let end = (0..=text.len().min(room)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        self.0.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

pub(super) fn rejection(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::Transform, detail)
}

/// The name of the program among its own library, where it is rewritten with it.
const PROGRAM: &str = "__rialto_program";

fn compiled(text: &str) -> Result<Filter<Seen>, Vec<String>> {
    let term = parsed(text)?;
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let mut library: Vec<Def<&str>> = vec![metered::range()];
    for def in defs.filter(|def| !OFF.contains(&def.name)) {
        library.push(metered_def(def));
    }
    library.push(Def { name: PROGRAM, args: Vec::new(), body: metered(term) });
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let funs = funs.filter(|(name, ..)| !OFF.contains(name)).map(metered::renamed).chain(metered::funs());
    let now: native::Fun<Seen> = native::run(("now", native::v(0), |cv| native::bome(Ok(Val::from(cv.0.data().now)))));
    let arena = Arena::default();
    let modules = Loader::new(library).load(&arena, File { code: PROGRAM, path: () }).map_err(load_errors)?;
    Compiler::<&str, Seen>::default().with_funs(funs.chain([now])).compile(modules).map_err(compile_errors)
}

/// The program's term. What is wrong with a text only the loader says, which gives no term away.
fn parsed(text: &str) -> Result<Term<&str>, Vec<String>> {
    Loader::new([]).load(&Arena::default(), File { code: text, path: () }).map_err(load_errors)?;
    load::parse(text, |parser| parser.term()).ok_or_else(|| vec!["not a jq program: it must be one term".to_owned()])
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
