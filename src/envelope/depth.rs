//! A bound on nesting. Readers further down (jq, and every subscriber's JSON library) recurse or allocate per level, so a body that
//! nests deeper than they allow is refused at the door.

/// Levels of arrays and objects a body may nest: what `serde_json` and most JSON libraries allow.
pub(crate) const DEPTH_MAX: usize = 128;

/// True where `json`, which must be valid JSON, nests deeper than [`DEPTH_MAX`].
///
/// Nearly every body has fewer opening brackets than that in all, which a vectorised search tells at a few dozen nanoseconds a
/// kilobyte; only the others are walked.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    memchr::memchr2_iter(b'{', b'[', json).nth(DEPTH_MAX).is_some() && depth(json) > DEPTH_MAX
}

/// The deepest nesting of valid JSON.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(&byte) = json.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = string_end(json, at),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The index of the quote that closes the string opened at `at`; the length of `json` where there is none.
pub(crate) fn string_end(json: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(step) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += step;
        if json[at] == b'"' {
            return at;
        }
        at += 2;
    }
    json.len()
}
