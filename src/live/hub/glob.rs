//! Globs as Redis matches them, byte by byte: `*`, `?`, `[abc]`, `[^a]`, `[a-z]` and `\` before a letter that is meant as it is.

/// Whether `glob` matches the whole of `text`.
pub fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last `*` stands, and how far the text had been read there: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if glob.get(at) == Some(&b'*') {
            star = Some((at + 1, read));
            at += 1;
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
            Some(b']') => return (found != negated).then_some(at + 1),
            Some(b'\\') if at + 1 < glob.len() => {
                found |= glob[at + 1] == letter;
                at += 2;
            }
            Some(&low) if glob.len() >= at + 3 && glob[at + 1] == b'-' => {
                let high = glob[at + 2];
                found |= (low.min(high)..=low.max(high)).contains(&letter);
                at += 3;
            }
            Some(other) => {
                found |= *other == letter;
                at += 1;
            }
        }
    }
}
