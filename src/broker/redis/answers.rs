//! What Redis' answers mean: the one place where its error words are judged.

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::{
    broker::{OpenError, SourceError},
    outcome::{LinkDown, Outcome, Proof, Reason, Refusal},
};

/// What an error answer says about the command and about the connection it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Not now: nothing was written, the same connection may take it later.
    Later,
    /// Not here: another server is in charge now; nothing was written, the link must find that server.
    Elsewhere,
    /// The connection is not (or no more) logged in.
    Login,
    /// The user may not do this.
    Forbidden,
    /// This command is wrong on this key.
    Refused,
}

/// Judges the first word of an error. <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>: by convention,
/// not by any list, so an unknown word is a refusal of that one command.
pub(super) fn meaning(code: &str) -> Meaning {
    match code {
        // NOREPLICAS: `min-replicas-to-write` is not met. ASK: the slot is on its way; it settles within the migration.
        "OOM" | "LOADING" | "BUSY" | "MISCONF" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "NOREPLICAS" | "ASK" => Meaning::Later,
        "READONLY" | "MOVED" => Meaning::Elsewhere,
        "NOAUTH" | "WRONGPASS" => Meaning::Login,
        "NOPERM" => Meaning::Forbidden,
        _ => Meaning::Refused,
    }
}

/// An error answer as Redis spelled it.
pub(super) fn words(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// How one command of a publisher went.
#[derive(Debug)]
pub(super) enum Answer {
    /// It did what it should.
    Done(Proof),
    /// It did not; the link goes on.
    Failed(Outcome),
    /// It did not, and the link must be opened anew, towards the server that is in charge now.
    Moved(Outcome, LinkDown),
    /// The link is worth nothing: nobody is logged in.
    Ended(LinkDown),
}

/// Judges the reply to `PUBLISH`, `SPUBLISH` (a number) or `XADD` (an id).
pub(super) fn answer(value: &Value) -> Answer {
    match value {
        Value::Int(receivers) => Answer::Done(Proof::Receivers(u64::try_from(*receivers).unwrap_or(0))),
        Value::BulkString(_) | Value::SimpleString(_) => Answer::Done(Proof::Confirmed),
        Value::ServerError(error) => error_answer(error),
        // XADD answers nil only to NOMKSTREAM, which is never sent; anything else is no reply of these commands.
        other => Answer::Ended(LinkDown::new(Reason::Link, format_args!("an answer of the wrong kind: {}", kind_of(other)))),
    }
}

fn error_answer(error: &ServerError) -> Answer {
    let detail = words(error);
    match meaning(error.code()) {
        Meaning::Later => Answer::Failed(Outcome::Throttled { after: None, detail }),
        Meaning::Elsewhere => {
            let down = LinkDown::new(Reason::Throttled, &detail);
            Answer::Moved(Outcome::Throttled { after: None, detail }, down)
        }
        Meaning::Login => Answer::Ended(LinkDown::new(Reason::Unauthenticated, detail)),
        Meaning::Forbidden => Answer::Failed(Outcome::Refused(Refusal { reason: Reason::Forbidden, detail })),
        Meaning::Refused => Answer::Failed(Outcome::Refused(Refusal { reason: Reason::Refused, detail })),
    }
}

/// A client error: the connection broke, fell silent, or speaks something else.
pub(super) fn link_down(error: &RedisError) -> LinkDown {
    LinkDown::new(reason(error), error)
}

/// The same, for a source.
pub(super) fn source_error(error: &RedisError) -> SourceError {
    SourceError { reason: reason(error), detail: error.to_string() }
}

fn reason(error: &RedisError) -> Reason {
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => Reason::Timeout,
        ErrorKind::AuthenticationFailed => Reason::Unauthenticated,
        _ => error.code().map_or(Reason::Link, reason_of_code),
    }
}

/// The reason for which a source or an opening fails when a command of its own gets this error word.
pub(super) fn reason_of_code(code: &str) -> Reason {
    match meaning(code) {
        Meaning::Later | Meaning::Elsewhere => Reason::Throttled,
        Meaning::Login => Reason::Unauthenticated,
        Meaning::Forbidden => Reason::Forbidden,
        Meaning::Refused if code == "DENIED" => Reason::Forbidden,
        Meaning::Refused => Reason::Refused,
    }
}

/// An error answer to a command that belongs to opening: `what` was asked of `whom`.
pub(super) fn open_error(error: &ServerError, what: &str, whom: &str) -> OpenError {
    let words = words(error);
    // The one error without a word of its own that is a matter of patience.
    let reason = if words.contains("max number of clients") { Reason::Throttled } else { reason_of_code(error.code()) };
    OpenError { reason, detail: format!("{whom} answered {what} with: {words}") }
}

/// The kind of a reply, without its content, for errors.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::VerbatimString { .. } => "a string",
        Value::Okay => "OK",
        Value::Array(_) | Value::Set(_) => "a list",
        Value::Map(_) => "a map",
        Value::Push { .. } => "a push",
        Value::ServerError(_) => "an error",
        _ => "another type",
    }
}
