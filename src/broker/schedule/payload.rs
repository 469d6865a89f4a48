//! `payload`: a tree of YAML whose texts are templates. Each tick makes JSON of it; a value can never break the JSON.

use std::borrow::Cow;

use crate::{
    envelope::rfc3339,
    written::{Node, Problems, Value, suggestion},
};

/// A compiled payload.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    /// `null`, `true`, a number: JSON as it stands.
    Fixed(Box<str>),
    Text(Box<[Piece]>),
    List(Box<[Payload]>),
    Map(Box<[(Box<str>, Payload)]>),
}

/// A part of a text.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(Box<str>),
    Word(Word),
}

/// What may stand in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Time,
    Name,
    Instance,
    Source,
}

const WORDS: [(&str, Word); 4] =
    [("time", Word::Time), ("name", Word::Name), ("instance", Word::Instance), ("source", Word::Source)];

/// What the words stand for at one tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick<'a> {
    /// The time that was due, in milliseconds since the Unix epoch.
    pub(super) time: i64,
    /// Of the bridge.
    pub(super) name: &'a str,
    /// Of this process.
    pub(super) instance: &'a str,
    /// The source's name.
    pub(super) source: &'a str,
}

impl Payload {
    /// `{"time":"…"}`: what a schedule without a payload sends.
    pub(super) fn time() -> Self {
        Self::Map([("time".into(), Self::Text([Piece::Word(Word::Time)].into()))].into())
    }

    /// Compiles what stands under `payload`.
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        Some(match node.value() {
            Value::Null => Self::Fixed("null".into()),
            Value::Bool(truth) => Self::Fixed(truth.to_string().into()),
            Value::Int(number) => Self::Fixed(number.to_string().into()),
            Value::Float(number) => {
                let written = node.text().filter(|text| serde_json::from_str::<serde_json::Number>(text).is_ok());
                let number = || serde_json::Number::from_f64(*number).map(|number| number.to_string());
                let Some(number) = written.map(str::to_owned).or_else(number) else {
                    faults.fault(node.at(), "JSON has no such number");
                    return None;
                };
                Self::Fixed(number.into())
            }
            Value::Str(text) => Self::Text(pieces(text, node, faults)?),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| Self::read(item, faults)).collect();
                Self::List(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(_) => {
                let entries: Vec<_> =
                    node.entries().map(|(key, _, value)| Some((key.into(), Self::read(value, faults)?))).collect();
                Self::Map(entries.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    /// The JSON of one tick.
    pub(super) fn render(&self, tick: &Tick<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(tick, &mut out);
        out
    }

    fn write(&self, tick: &Tick<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(json) => out.extend_from_slice(json.as_bytes()),
            Self::Text(pieces) => {
                let text: String = pieces.iter().map(|piece| piece.text(tick)).collect();
                quote(&text, out);
            }
            Self::List(items) => {
                out.push(b'[');
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    item.write(tick, out);
                }
                out.push(b']');
            }
            Self::Map(entries) => {
                out.push(b'{');
                for (nth, (key, value)) in entries.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    quote(key, out);
                    out.push(b':');
                    value.write(tick, out);
                }
                out.push(b'}');
            }
        }
    }
}

/// A JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is always JSON, and memory takes it");
}

impl Piece {
    fn text<'a>(&'a self, tick: &Tick<'a>) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Word(Word::Time) => Cow::Owned(rfc3339(tick.time)),
            Self::Word(Word::Name) => Cow::Borrowed(tick.name),
            Self::Word(Word::Instance) => Cow::Borrowed(tick.instance),
            Self::Word(Word::Source) => Cow::Borrowed(tick.source),
        }
    }
}

/// Takes a text apart at its braces; `{{` and `}}` are braces.
fn pieces(text: &str, node: &Node, faults: &mut Problems) -> Option<Box<[Piece]>> {
    let mut pieces = Vec::new();
    let mut fixed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        fixed.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            fixed.push_str(brace);
            rest = after;
            continue;
        }
        let word = (brace == "{").then(|| after.split_once('}')).flatten();
        let Some((word, after)) = word else {
            faults
                .fault(node.at(), format!("a `{brace}` stands alone in `{text}`"))
                .hint("`{{` and `}}` are braces in a text; a JSON object is a YAML map without quotes around it");
            return None;
        };
        let Some((_, known)) = WORDS.iter().find(|(name, _)| *name == word) else {
            let names = WORDS.iter().map(|(name, _)| *name);
            let hint = suggestion(word, names).unwrap_or_else(|| "`{{` and `}}` are braces in a text".to_owned());
            faults.fault(node.at(), format!("a schedule's payload has no `{{{word}}}`")).hint(hint);
            return None;
        };
        if !fixed.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut fixed).into()));
        }
        pieces.push(Piece::Word(*known));
        rest = after;
    }
    fixed.push_str(rest);
    if !fixed.is_empty() {
        pieces.push(Piece::Text(fixed.into()));
    }
    Some(pieces.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::written::parse;

    fn read(yaml: &str) -> (Option<Payload>, Vec<String>) {
        let mut faults = Problems::default();
        let node = parse("test.yaml", yaml, &mut faults).unwrap();
        let payload = Payload::read(&node, &mut faults);
        (payload, faults.iter().map(|fault| fault.message.clone()).collect())
    }

    fn render(yaml: &str, instance: &str) -> String {
        let (payload, faults) = read(yaml);
        assert!(faults.is_empty(), "{faults:?}");
        let tick = Tick { time: 1_678_181_162_588, name: "rialto", instance, source: "beat" };
        String::from_utf8(payload.unwrap().render(&tick)).unwrap()
    }

    #[test]
    fn yaml_becomes_json_with_its_words_put_in() {
        let cases = [
            (
                "{ at: '{time}', of: ['{instance}', 1, 2.50, true, ~] }",
                r#"{"at":"2023-03-07T09:26:02.588Z","of":["a",1,2.50,true,null]}"#,
            ),
            ("'{source} of {name}: {{{instance}}}'", r#""beat of rialto: {a}""#),
            ("17", "17"),
            ("0x1F", "31"),
            (".5", "0.5"),
            ("'{{}}'", r#""{}""#),
            ("{}", "{}"),
            ("{ 'a\"b': '\\' }", r#"{"a\"b":"\\"}"#),
        ];
        for (yaml, json) in cases {
            assert_eq!(render(yaml, "a"), json, "{yaml}");
        }
        let tick = Tick { time: 0, name: "", instance: "", source: "" };
        assert_eq!(Payload::time().render(&tick), br#"{"time":"1970-01-01T00:00:00Z"}"#);
    }

    #[test]
    fn what_is_no_template_is_a_fault() {
        for (yaml, fault) in [
            ("'{tiem}'", "a schedule's payload has no `{tiem}`"),
            ("'{\"a\":1}'", "a schedule's payload has no `{\"a\":1}`"),
            ("'a { b'", "a `{` stands alone in `a { b`"),
            ("'}'", "a `}` stands alone in `}`"),
            (".inf", "JSON has no such number"),
        ] {
            let (payload, faults) = read(yaml);
            assert!(payload.is_none() && faults == [fault], "{yaml}: {faults:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_json(instance in any::<String>()) {
            let json = render("{ '{time}': ['{instance}', '<{instance}>'] }", &instance);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(value["{time}"][0].as_str(), Some(&*instance));
            prop_assert_eq!(value["{time}"][1].as_str(), Some(&*format!("<{instance}>")));
        }
    }
}
