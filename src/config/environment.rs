//! The environment as a value, so that a decision about it can be tested.

use std::{collections::BTreeMap, env, ffi::OsString, fmt};

/// Variables by name. It prints their names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable<'a> {
    Unset,
    NotUnicode,
    Is(&'a str),
}

impl Environment {
    /// That of this process. A name that is not Unicode cannot be asked for, and is left out.
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { variables: env::vars_os().filter_map(named).collect() }
    }

    pub(super) fn get(&self, name: &str) -> Variable<'_> {
        match self.variables.get(name).map(|value| value.to_str()) {
            None => Variable::Unset,
            Some(None) => Variable::NotUnicode,
            Some(Some(value)) => Variable::Is(value),
        }
    }

    /// Name and value of all variables that begin so.
    pub(super) fn beginning<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let from = self.variables.range(prefix.to_owned()..);
        from.take_while(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (name.as_str(), value.to_str()))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
