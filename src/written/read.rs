//! Reading values out of nodes: each wrong one is a fault that says what was expected.

use std::{net::SocketAddr, path::PathBuf};

use indexmap::IndexMap;

use super::{
    Node, Problems, Value,
    keys::{quoted, suggestion},
};

/// What a field can be read as. A value of the wrong type is a fault that says what was expected.
pub trait FromNode: Sized {
    /// Reads it; `None` after a fault was added.
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self>;
}

impl Node {
    /// Adds a fault: "`prefetch` is text, where a whole number is expected". Always answers `None`, to end a reader with.
    pub fn expected<T>(&self, what: &str, hint: Option<&str>, faults: &mut Problems) -> Option<T> {
        let problem = faults.fault(self.at(), format!("`{}` is {}, where {what} is expected", self.name(), self.value().noun()));
        if let Some(hint) = hint {
            problem.hint(hint);
        }
        None
    }

    /// This value out of a closed set of names; another name is a fault that suggests the nearest.
    pub fn one_of<T: Copy>(&self, names: &[(&'static str, T)], faults: &mut Problems) -> Option<T> {
        let allowed: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let Some(text) = self.text() else {
            return self.expected(&format!("one of {}", quoted(&allowed)), None, faults);
        };
        if let Some((_, value)) = names.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let mut problem = faults.fault(self.at(), format!("`{}` cannot be `{text}`", self.name()));
        if let Some(hint) = suggestion(text, allowed.into_iter()) {
            problem = problem.hint(hint);
        }
        let _ = problem;
        None
    }

    /// Whether a template in braces was left unquoted, so that YAML made a map of it: `[live/app:{message_id}]`, `{a|b}`.
    pub fn looks_like_template(&self) -> bool {
        self.is_map() && self.written().all(|(_, _, node)| *node.value() == Value::Null || node.looks_like_template())
    }

    fn not_text<T>(&self, faults: &mut Problems) -> Option<T> {
        let written = faults.text_at(self.at()).map(|text| text.trim_end().to_owned());
        let hint = match self.value() {
            Value::Null => {
                Some(format!("quote it: YAML reads a bare `#`, `~` or `null` as nothing; write `{}: \"…\"`", self.name()))
            }
            Value::Map(_) if self.looks_like_template() => Some(match written {
                Some(written) if !written.is_empty() && !written.contains(['\n', '"']) => {
                    format!("quote it: YAML reads braces as a map; write \"{written}\"")
                }
                _ => "quote it: YAML reads braces as a map".to_owned(),
            }),
            _ => None,
        };
        self.expected("text", hint.as_deref(), faults)
    }
}

impl FromNode for String {
    /// A number or bool is taken as it is written: `name: 0123` is "0123".
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None => node.not_text(faults),
        }
    }
}

impl FromNode for PathBuf {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        String::from_node(node, faults).map(Self::from)
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        let hint = match node.value() {
            Value::Bool(value) => return Some(*value),
            Value::Str(text) => match text.to_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => Some("write `true`"),
                "no" | "off" | "n" | "false" => Some("write `false`"),
                _ => None,
            },
            _ => None,
        };
        node.expected("`true` or `false`", hint, faults)
    }
}

impl FromNode for f64 {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        match node.value() {
            Value::Int(value) => Some(*value as Self),
            Value::Float(value) if value.is_finite() => Some(*value),
            _ => node.expected("a number", None, faults),
        }
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl FromNode for $number {
            fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
                let Value::Int(value) = *node.value() else {
                    let plain = node.text().map(|text| text.replace(['_', '\''], "")).filter(|text| text.parse::<Self>().is_ok());
                    let hint = plain.map(|plain| format!("write `{plain}`"));
                    return node.expected("a whole number", hint.as_deref(), faults);
                };
                let fitting = Self::try_from(value).ok();
                if fitting.is_none() {
                    // No whole number that YAML holds is too large for 64 bits.
                    let range = if Self::BITS == u64::BITS { "0 or more".to_owned() } else { format!("from {} to {}", Self::MIN, Self::MAX) };
                    faults.fault(node.at(), format!("`{}` must be {range}", node.name()));
                }
                fitting
            }
        }
    )*};
}
whole_numbers!(u8, u16, u32, u64, usize, i32, i64);

impl FromNode for SocketAddr {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        let text = String::from_node(node, faults)?;
        let address = text.parse().ok();
        if address.is_none() {
            faults
                .fault(node.at(), format!("`{}` is no address to listen on", node.name()))
                .hint("write IP:PORT, as `127.0.0.1:4290`");
        }
        address
    }
}

/// One or many: a value that is no list counts as a list of one. Every item is read, so that every fault is found.
impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        let items: Vec<Option<T>> = node.items().iter().map(|item| T::from_node(item, faults)).collect();
        items.into_iter().collect()
    }
}

/// A map whose keys are names that users choose: headers, arguments.
impl<T: FromNode> FromNode for IndexMap<String, T> {
    fn from_node(node: &Node, faults: &mut Problems) -> Option<Self> {
        if !node.expect_map(faults) {
            return None;
        }
        let entries: Vec<Option<(String, T)>> =
            node.entries().map(|(key, _, value)| Some((key.to_owned(), T::from_node(value, faults)?))).collect();
        entries.into_iter().collect()
    }
}
