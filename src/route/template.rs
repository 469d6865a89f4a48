//! Templates: `app:{message_type}:{payload.user.id|'nobody'}`.
//!
//! Single braces hold a word, or several with `|` between them, of which the first that has a value counts; a text in single quotes
//! always has one (`''` inside it is a quote). `{{` is a brace. Compiled once; rendering allocates nothing but what the buffer grows by.

use std::fmt;

use super::{
    SourceContext,
    word::{Context, Word},
};
use crate::{
    envelope::Rejection,
    outcome::Reason,
    written::{AddressRule, Problems, TemplateText},
};

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    pieces: Box<[Piece]>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// The template's own text.
    Text(Box<str>),
    /// Braces: alternatives in order.
    Value { written: Box<str>, alternatives: Box<[Alternative]> },
}

#[derive(Debug, Clone)]
enum Alternative {
    Word(Word),
    Text(Box<str>),
}

/// What is wrong with a template's text, and how to mend it.
struct Fault {
    message: String,
    hint: Option<String>,
}

impl Template {
    /// Compiles it; `None` after a fault was added.
    pub fn compile(written: &TemplateText, faults: &mut Problems) -> Option<Self> {
        match parse(&written.text) {
            Ok(pieces) => Some(Self { pieces }),
            Err(fault) => {
                let problem = faults.fault(&written.at, fault.message);
                if let Some(hint) = fault.hint {
                    problem.hint(hint);
                }
                None
            }
        }
    }

    /// True where it holds no braces: every message renders to the same text.
    pub fn is_fixed(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// True where a message has no say in it: only fixed text and words of the configuration. A dead letter's address must be
    /// such a one, for it must exist for any message at all.
    pub fn is_constant(&self) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Value { alternatives, .. } => match alternatives.first() {
                Some(Alternative::Word(word)) => word.is_constant(),
                Some(Alternative::Text(_)) | None => true,
            },
        })
    }

    /// Its text where it [is constant](Self::is_constant).
    pub fn constant(&self, source: &SourceContext) -> Option<String> {
        let mut out = String::new();
        for piece in &self.pieces {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Value { alternatives, .. } => match alternatives.first()? {
                    Alternative::Word(word) => word.constant(source)?,
                    Alternative::Text(text) => text,
                },
            });
        }
        Some(out)
    }

    /// The pattern that its addresses have: its own text with `*` for each value. `rialto tap` listens to it.
    pub fn pattern(&self) -> String {
        self.pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "*" }).collect()
    }

    /// Appends the text for one message. With a `rule` it is an address: a value that the rule forbids, or a whole that is too long,
    /// is a rejection. A value that is missing without a fallback is one always. `out` is then as it was.
    pub fn render(&self, context: &Context<'_>, rule: Option<&AddressRule>, out: &mut String) -> Result<(), Rejection> {
        let start = out.len();
        let rendered = self.append(context, rule, out).and_then(|()| fits(&out[start..], rule));
        rendered.map_err(|misfit| {
            out.truncate(start);
            Rejection::new(Reason::Address, misfit.to_string())
        })
    }

    /// Appends the text for one message, which is no address; false where a value is missing, and `out` is then as it was.
    pub fn render_known(&self, context: &Context<'_>, out: &mut String) -> bool {
        let start = out.len();
        let known = self.append(context, None, out).is_ok();
        if !known {
            out.truncate(start);
        }
        known
    }

    fn append<'t>(&'t self, context: &Context<'_>, rule: Option<&AddressRule>, out: &mut String) -> Result<(), Misfit<'t>> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { written, alternatives } => append_value(written, alternatives, context, rule, out)?,
            }
        }
        Ok(())
    }
}

fn append_value<'t>(
    written: &'t str,
    alternatives: &[Alternative],
    context: &Context<'_>,
    rule: Option<&AddressRule>,
    out: &mut String,
) -> Result<(), Misfit<'t>> {
    for alternative in alternatives {
        match alternative {
            Alternative::Text(text) => {
                out.push_str(text);
                return Ok(());
            }
            Alternative::Word(word) => {
                let Some(value) = word.value(context) else { continue };
                let start = out.len();
                match rule.and_then(|rule| rule.encode) {
                    Some(encode) => encode(&value, out).map_err(|why| Misfit::Unfit { written, why })?,
                    None => out.push_str(&value),
                }
                if let Some(rule) = rule
                    && let Some(character) = out[start..].chars().find(|&character| (rule.forbidden)(character))
                {
                    return Err(Misfit::Forbidden { written, character, rule: rule.name });
                }
                return Ok(());
            }
        }
    }
    Err(Misfit::Missing { written })
}

fn fits(address: &str, rule: Option<&AddressRule>) -> Result<(), Misfit<'static>> {
    match rule {
        Some(rule) if address.len() > rule.bytes_max => {
            Err(Misfit::TooLong { bytes: address.len(), bytes_max: rule.bytes_max, rule: rule.name })
        }
        _ => Ok(()),
    }
}

/// Why a template has no text for a message.
#[derive(Debug)]
enum Misfit<'t> {
    Missing { written: &'t str },
    Forbidden { written: &'t str, character: char, rule: &'static str },
    Unfit { written: &'t str, why: &'static str },
    TooLong { bytes: usize, bytes_max: usize, rule: &'static str },
}

impl fmt::Display for Misfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { written } => write!(f, "`{{{written}}}` has no value in this message"),
            Self::Forbidden { written, character, rule } => {
                write!(f, "the value of `{{{written}}}` holds {character:?}, which may not come into {rule}")
            }
            Self::Unfit { written, why } => write!(f, "the value of `{{{written}}}` {why}"),
            Self::TooLong { bytes, bytes_max, rule } => write!(f, "{bytes} bytes are too long for {rule}, which takes {bytes_max}"),
        }
    }
}

fn parse(text: &str) -> Result<Box<[Piece]>, Fault> {
    let (mut pieces, mut fixed, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('{') {
        fixed.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            fixed.push('{');
            rest = after;
            continue;
        }
        if !fixed.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut fixed).into()));
        }
        let inside = braces(rest).ok_or_else(|| Fault {
            message: format!("`{{` is never closed in `{text}`"),
            hint: Some("write `{{` for a brace that is none of a template".to_owned()),
        })?;
        pieces.push(Piece::Value { written: inside.into(), alternatives: alternatives(inside)? });
        rest = &rest[inside.len() + 1..];
    }
    fixed.push_str(rest);
    if !fixed.is_empty() {
        pieces.push(Piece::Text(fixed.into()));
    }
    Ok(pieces.into())
}

/// What stands before the brace that closes; a brace in quotes does not close.
fn braces(text: &str) -> Option<&str> {
    let mut quoted = false;
    let end = text.find(|character| {
        quoted ^= character == '\'';
        character == '}' && !quoted
    })?;
    Some(&text[..end])
}

/// The alternatives between braces.
fn alternatives(inside: &str) -> Result<Box<[Alternative]>, Fault> {
    let mut quoted = false;
    let parts = inside.split(|character| {
        quoted ^= character == '\'';
        character == '|' && !quoted
    });
    parts.map(|part| alternative(part.trim(), inside)).collect()
}

fn alternative(part: &str, inside: &str) -> Result<Alternative, Fault> {
    let fault = |message: String, hint| Err(Fault { message, hint });
    if part.is_empty() {
        return fault(format!("`{{{inside}}}` holds an empty word"), None);
    }
    if let Some(open) = part.strip_prefix('\'') {
        return match open.strip_suffix('\'') {
            Some(text) if text.replace("''", "").contains('\'') => fault(format!("a quote in {part} must be doubled"), None),
            Some(text) => Ok(Alternative::Text(text.replace("''", "'").into())),
            None => fault(format!("the quote in `{{{inside}}}` is never closed"), None),
        };
    }
    Word::parse(part).map(Alternative::Word).or_else(|nearest| {
        fault(format!("unknown word `{part}` in a template"), nearest.map(|word| format!("did you mean `{word}`?")))
    })
}
