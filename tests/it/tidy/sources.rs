//! The files of the repository, and Rust without its comments and literals.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file, by its path from the root.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// The root of the repository.
pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `place` whose name ends in one of `endings`, in order. `place` must hold some: a test of nothing proves nothing.
pub(super) fn files(place: &str, endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root().join(place), endings, &mut found);
    assert!(!found.is_empty(), "no {endings:?} under {place:?}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(place: &Path, endings: &[&str], found: &mut Vec<File>) {
    if place.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !["target", "__pycache__", ".git"].contains(&name) {
                collect(&path, endings, found);
            }
        }
    } else if endings.iter().any(|ending| place.to_str().unwrap().ends_with(ending)) {
        let path = place.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        found.push(File { path, text: fs::read_to_string(place).unwrap() });
    }
}

/// Rust with comments and literals blanked out; what is left stands on the line where it stood.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let inside_a_name = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let skipped = comment(rest).or_else(|| literal(rest, inside_a_name));
        if let Some(length) = skipped {
            code.push(' ');
            code.extend(rest[..length].chars().filter(|letter| *letter == '\n'));
            rest = &rest[length..];
        } else {
            code.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    code
}

/// The length of the comment that begins here.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    // Block comments may nest, which this house has no use for.
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |end| end + 2))
}

/// The length of the text or character literal that begins here. A lifetime is none.
fn literal(text: &str, inside_a_name: bool) -> Option<usize> {
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r')).filter(|_| !inside_a_name);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = text.len() - raw.len() + hashes + 1;
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
    }
    if text.starts_with('"') {
        return Some(closed(text, '"'));
    }
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    (first == '\\' || inside[first.len_utf8()..].starts_with('\'')).then(|| closed(text, '\''))
}

/// The length up to the closing quote, past escaped ones.
fn closed(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else() {
    let blanked = code("a(\"b // \\\" c\"); 'd: x; '\\''; br#\"e\"f\"#; r#type; g /* h */ 'i'; // j\nk");
    let left: String = blanked.chars().filter(|letter| !letter.is_whitespace()).collect();
    assert_eq!(left, "a();'d:x;;;r#type;g;k");
    assert_eq!(blanked.lines().count(), 2);
}
