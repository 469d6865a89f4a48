//! Globs as Redis matches them (`stringmatchlen`), byte by byte: `*`, `?`, `[abc]`, `[^a]`, `[a-z]` and `\` before a byte that is meant
//! as it is.
//!
//! Its corners are kept, because who writes a pattern has tried it on Redis: nothing but the empty glob matches the empty channel, a
//! set that is never closed reaches to the end, a `\` at the end is itself, a range may be written from its end, and the ends of a
//! range are signed bytes, as `char` is on x86-64. What is not kept is its recursion: a glob of many stars takes no longer than the
//! product of both lengths.

/// Whether `glob` matches the whole of `text`.
pub fn matches(glob: &[u8], text: &[u8]) -> bool {
    if text.is_empty() { glob.is_empty() } else { matches_rest(glob, text) }
}

/// The bytes that everything a glob matches begins with, and where the glob goes on after them.
pub(super) fn literal_prefix(glob: &[u8]) -> (Vec<u8>, usize) {
    let (mut prefix, mut at) = (Vec::new(), 0);
    while let Some(letter) = glob.get(at) {
        match letter {
            b'*' | b'?' | b'[' => break,
            b'\\' if at + 1 < glob.len() => {
                prefix.push(glob[at + 1]);
                at += 2;
            }
            other => {
                prefix.push(*other);
                at += 1;
            }
        }
    }
    (prefix, at)
}

/// The same for what is left of a glob and a text whose beginnings match: here a star matches nothing, too.
pub(super) fn matches_rest(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last `*` stands, and how far the text had been read there: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if glob.get(at) == Some(&b'*') {
            at += 1;
            if at == glob.len() {
                return true;
            }
            star = Some((at, read));
            continue;
        }
        if let Some(next) = one(glob, at, text[read]) {
            at = next;
            read += 1;
        } else {
            let Some((after, from)) = star else { return false };
            star = Some((after, from + 1));
            (at, read) = (after, from + 1);
        }
    }
    glob[at..].iter().all(|letter| *letter == b'*')
}

/// Where the glob goes on after its part at `at` matched `letter`; `None` where it does not match, or the glob is at its end.
fn one(glob: &[u8], at: usize, letter: u8) -> Option<usize> {
    match *glob.get(at)? {
        b'?' => Some(at + 1),
        b'[' => set(glob, at + 1, letter),
        b'\\' if at + 1 < glob.len() => (glob[at + 1] == letter).then_some(at + 2),
        other => (other == letter).then_some(at + 1),
    }
}

/// A set from after its `[`; one that is never closed reaches to the end.
fn set(glob: &[u8], mut at: usize, letter: u8) -> Option<usize> {
    let negated = glob.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match glob.get(at) {
            None => return (found != negated).then_some(at),
            Some(b'\\') if at + 1 < glob.len() => {
                found |= glob[at + 1] == letter;
                at += 2;
            }
            Some(b']') => return (found != negated).then_some(at + 1),
            Some(low) if glob.len() >= at + 3 && glob[at + 1] == b'-' => {
                let (low, high) = (low.cast_signed(), glob[at + 2].cast_signed());
                found |= (low.min(high)..=low.max(high)).contains(&letter.cast_signed());
                at += 3;
            }
            Some(other) => {
                found |= *other == letter;
                at += 1;
            }
        }
    }
}
