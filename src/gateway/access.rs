//! What a client may hear and publish.

use crate::{
    listen::Grant,
    live::hub::{Topic, matches},
};

/// Whether a client with `grant` may use a topic: `None` where the door asks nobody, so that everything is allowed.
///
/// A channel must match one of the token's patterns. A pattern must be one of them, or be written below one that is a plain text and a
/// star: whether one glob lies within another is not asked further, and what is not seen to be allowed is refused.
pub(super) fn may_use(grant: Option<&Grant>, topic: &Topic) -> bool {
    let Some(grant) = grant.filter(|grant| !grant.patterns.is_empty()) else { return true };
    grant.patterns.iter().any(|allowed| match topic {
        Topic::Channel(name) => matches(allowed, name),
        Topic::Pattern(glob) => glob == &**allowed || lies_within(glob, allowed),
    })
}

/// Whether all that `glob` matches begins with the text before the star of `allowed`.
fn lies_within(glob: &[u8], allowed: &[u8]) -> bool {
    let Some((b'*', text)) = allowed.split_last() else { return false };
    let is_special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    !text.iter().any(is_special) && glob.starts_with(text) && glob.len() > text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reaches_what_its_patterns_allow_and_nothing_beside() {
        let grant = Grant { patterns: vec![b"app:*".as_slice().into(), b"exact?".as_slice().into()] };
        let channel = |name: &str| may_use(Some(&grant), &Topic::Channel(name.to_owned().into()));
        let pattern = |glob: &str| may_use(Some(&grant), &Topic::Pattern(glob.to_owned().into()));
        assert!(channel("app:x") && channel("app:") && channel("exact1"));
        assert!(!channel("apple") && !channel("") && !channel("exact12"));
        assert!(pattern("app:*") && pattern("app:a?[b]") && pattern("exact?"));
        assert!(!pattern("*") && !pattern("app*") && !pattern("a?p:*") && !pattern("exact*") && !pattern("app:"));
        assert!(may_use(None, &Topic::Pattern("*".into())));
        assert!(may_use(Some(&Grant { patterns: Vec::new() }), &Topic::Pattern("*".into())));
    }
}
