//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` in the texts of a tree that was parsed already, so that a value can
//! never change the tree. `$x` without a brace is left alone: it is jq.

use std::{fmt::Write, ops::Range};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::environment::{Environment, Variable};
use crate::written::{Node, Problems, Span, Value, scheme_of};

/// Defaults inside defaults: `${A:-${B:-x}}`.
const NESTING_MAX: usize = 4;

/// RFC 3986 section 2.3: what a URL may hold anywhere without a meaning.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A host may bring its port, an address in brackets, and its neighbours in a cluster.
const RESERVED_IN_HOST: &AsciiSet = &RESERVED.remove(b':').remove(b'[').remove(b']').remove(b',');

/// The same tree with every variable put in. What is missing is a fault, and its value spoiled.
pub(super) fn put_in(node: Node, environment: &Environment, faults: &mut Problems) -> Node {
    let (path, at) = (node.path().to_owned(), node.at().clone());
    match node.value() {
        Value::Str(text) if text.contains('$') => {
            let mut filler = Filler { environment, at: &at, url: url_authority(text), faults };
            match filler.fill(text, 0) {
                // A text in which only `$$` stood stays text; one that held a variable may turn out to be a number.
                Some(Filled { text, variables: false }) => Node::new(path, at, Value::Str(text)),
                Some(Filled { text, .. }) => Node::scalar(path, at, text),
                None => {
                    faults.spoil(&at);
                    Node::new(path, at, Value::Str(String::new()))
                }
            }
        }
        Value::List(_) | Value::Map(_) => match node.into_value() {
            Value::List(items) => {
                Node::new(path, at, Value::List(items.into_iter().map(|item| put_in(item, environment, faults)).collect()))
            }
            Value::Map(entries) => {
                let filled = entries.into_iter().map(|(key, (place, node))| (key, (place, put_in(node, environment, faults))));
                Node::new(path, at, Value::Map(filled.collect()))
            }
            scalar => Node::new(path, at, scalar),
        },
        _ => node,
    }
}

struct Filled {
    text: String,
    variables: bool,
}

struct Filler<'a> {
    environment: &'a Environment,
    at: &'a Span,
    /// Where a URL's authority stands in the text, if the text is one.
    url: Option<Authority>,
    faults: &'a mut Problems,
}

/// Byte ranges of a URL's text.
struct Authority {
    /// Between `://` and the next `/`, `?` or `#` outside of a variable.
    whole: Range<usize>,
    /// The last `@` in it, where credentials end.
    credentials_end: Option<usize>,
}

impl Filler<'_> {
    /// `None` after a fault; the faults of all variables of the text are found.
    fn fill(&mut self, text: &str, depth: usize) -> Option<Filled> {
        let mut filled = Some(Filled { text: String::with_capacity(text.len()), variables: false });
        let mut rest = 0;
        while let Some(dollar) = text[rest..].find('$').map(|at| rest + at) {
            let before = &text[rest..dollar];
            let (value, end) = match text.as_bytes().get(dollar + 1) {
                Some(b'$') => (Some("$".to_owned()), dollar + 2),
                Some(b'{') => {
                    let end = closing(text, dollar + 2);
                    let value = match end {
                        Some(end) => self.variable(&text[dollar + 2..end], dollar, depth),
                        None => self.fault("${", "`${` is not closed", Some("`$$` stands for a plain `$`")),
                    };
                    if let (Some(filled), 0) = (&mut filled, depth) {
                        filled.variables = true;
                    }
                    (value, end.map_or(text.len(), |end| end + 1))
                }
                _ => (Some("$".to_owned()), dollar + 1),
            };
            filled = filled.zip(value).map(|(mut filled, value)| {
                _ = write!(filled.text, "{before}{value}");
                filled
            });
            rest = end;
        }
        if let Some(filled) = &mut filled {
            filled.text.push_str(&text[rest..]);
        }
        filled
    }

    /// What stands between the braces at byte `dollar` of the text.
    fn variable(&mut self, written: &str, dollar: usize, depth: usize) -> Option<String> {
        let split = written.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(written.len());
        let (name, rule) = written.split_at(split);
        let needle = format!("${{{name}");
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let hint = "a variable's name is letters, digits and `_`; `$$` stands for a plain `$`";
            return self.fault(&needle, "this names no variable", Some(hint));
        }
        let value = match self.environment.get(name) {
            Variable::Is(value) => Some(value),
            Variable::Unset => None,
            Variable::NotUnicode => return self.fault(&needle, &format!("the variable `{name}` is not Unicode"), None),
        };
        let full = value.filter(|value| !value.is_empty());
        if let Some(default) = rule.strip_prefix(":-") {
            return match full {
                Some(value) => Some(self.encoded(value, dollar, depth)),
                None if depth == NESTING_MAX => self.fault(&needle, "defaults stand too deep in each other", None),
                None => self.fill(default, depth + 1).map(|default| self.encoded(&default.text, dollar, depth)),
            };
        }
        if let Some(message) = rule.strip_prefix(":?") {
            let message = if message.is_empty() { "it is not set" } else { message };
            return match full {
                Some(value) => Some(self.encoded(value, dollar, depth)),
                None => self.fault(&needle, &format!("the variable `{name}` is needed: {message}"), None),
            };
        }
        if !rule.is_empty() {
            let known = format!("there are `${{{name}}}`, `${{{name}:-default}}` and `${{{name}:?message}}`");
            return self.fault(&needle, "this is no way to write a variable", Some(&known));
        }
        if let Some(value) = value {
            return Some(self.encoded(value, dollar, depth));
        }
        let hint = format!("set it, or write `${{{name}:-default}}`");
        self.fault(&needle, &format!("the variable `{name}` is not set"), Some(&hint))
    }

    /// Inside a URL a value is percent-encoded, so that a password may hold any character.
    fn encoded(&self, value: &str, dollar: usize, depth: usize) -> String {
        let Some(authority) = self.url.as_ref().filter(|_| depth == 0) else { return value.to_owned() };
        let in_host = authority.whole.contains(&dollar) && authority.credentials_end.is_none_or(|end| dollar > end);
        utf8_percent_encode(value, if in_host { RESERVED_IN_HOST } else { RESERVED }).to_string()
    }

    /// Points at the variable itself where the file spells it as the text does.
    fn fault<T>(&mut self, needle: &str, message: &str, hint: Option<&str>) -> Option<T> {
        let mut at = self.at.clone();
        if let Some((lead, length)) = self.faults.text_at(&at).and_then(|text| found(text, needle)) {
            at.column += lead.chars().count();
            at.bytes = at.bytes.start + lead.len()..at.bytes.start + lead.len() + length;
        }
        let problem = self.faults.fault(&at, message);
        if let Some(hint) = hint {
            problem.hint(hint);
        }
        None
    }
}

/// What stands before the needle, and how long the variable is, on the first line of a text.
fn found<'a>(text: &'a str, needle: &str) -> Option<(&'a str, usize)> {
    let line = text.lines().next()?;
    let start = line.find(needle)?;
    let length = line[start..].find('}').map_or(needle.len(), |end| end + 1);
    Some((&line[..start], length))
}

/// The brace that closes the one before `from`.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut open = 1;
    for (at, c) in text[from..].char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(from + at);
        }
    }
    None
}

/// Where the authority of a URL stands, if the text begins as one.
fn url_authority(text: &str) -> Option<Authority> {
    let start = scheme_of(text)?.len() + "://".len();
    let (mut open, mut end, mut credentials_end) = (0_usize, text.len(), None);
    for (at, c) in text[start..].char_indices() {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            '@' if open == 0 => credentials_end = Some(start + at),
            '/' | '?' | '#' if open == 0 => {
                end = start + at;
                break;
            }
            _ => {}
        }
    }
    Some(Authority { whole: start..end, credentials_end })
}
