//! Files a reader finds: short, named for what they hold, each saying in its head what it is for.

use std::{collections::BTreeSet, fs};

use super::sources::{files, root};
use rialto::broker::KINDS;

/// A longer file wants to be two.
const LINES_MAX: usize = 400;

/// Names that say nothing of what is inside.
const NAMELESS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "types", "shared", "manager"];

/// Files that every kind of broker has, so that who knows one folder knows all. Sources are named for what they read.
const KIND_FILES: &[&str] = &["mod.rs", "settings.rs"];
/// Those of a kind that can be read from, that can be published to, and that is reached over a network.
const SOURCE_FILES: &[&str] = &["origin.rs"];
const PUBLISHER_FILES: &[&str] = &["target.rs", "publisher.rs"];
const NETWORK_FILES: &[&str] = &["probe.rs"];
/// A kind that can be both can be listened to.
const BOTH_FILES: &[&str] = &["tap.rs"];

/// Words that promise work instead of doing it.
fn promises() -> [String; 4] {
    [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["HA", "CK"]].map(|halves| halves.concat())
}

#[test]
fn no_file_is_longer_than_a_reader_keeps_in_mind() {
    for file in files("src", &[".rs"]).iter().chain(&files("tests", &[".rs", ".py"])).chain(&files("benches", &[".rs"])) {
        let lines = file.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, and {LINES_MAX} are enough: it wants to be two", file.path);
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for file in files("src", &[".rs"]).iter().chain(&files("tests", &[".rs"])).chain(&files("benches", &[".rs"])) {
        // A folder of unit tests says it once, in its `mod.rs`.
        if file.path.starts_with("src/") && file.path.contains("/tests/") && !file.path.ends_with("/mod.rs") {
            continue;
        }
        assert!(file.text.starts_with("//! "), "{} does not begin with `//!` and what it is for", file.path);
    }
}

#[test]
fn no_name_says_nothing() {
    for file in files("src", &[".rs"]).iter().chain(&files("tests", &[".rs", ".py"])) {
        for part in file.path.split('/') {
            let name = part.split('.').next().unwrap();
            assert!(!NAMELESS.contains(&name), "{}: `{name}` names nothing; what is inside?", file.path);
        }
    }
}

#[test]
fn no_comment_promises_work() {
    for place in ["src", "tests", "benches", "config", "docs", "deploy"] {
        for file in files(place, &[""]) {
            let words: BTreeSet<&str> = file.text.split(|letter: char| !letter.is_alphanumeric()).collect();
            for promise in promises() {
                assert!(
                    !words.contains(promise.as_str()),
                    "{} says {promise}: do it, or say in the issue what is missing",
                    file.path
                );
            }
        }
    }
}

#[test]
fn every_folder_of_a_broker_is_a_kind_with_the_same_files() {
    let folders: BTreeSet<String> = fs::read_dir(root().join("src/broker"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        // Beside a file of its name a folder holds that file's tests.
        .filter(|name| !root().join(format!("src/broker/{name}.rs")).exists())
        .collect();
    let kinds: BTreeSet<String> = KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(folders, kinds, "the folders of src/broker (left) are the kinds in KINDS (right)");
    for kind in KINDS {
        let promises = &kind.promises;
        let due = [
            (KIND_FILES, true),
            (SOURCE_FILES, promises.source),
            (PUBLISHER_FILES, promises.publisher),
            (NETWORK_FILES, promises.network),
            (BOTH_FILES, promises.network && promises.source && promises.publisher),
        ];
        for file in due.iter().filter(|(_, due)| *due).flat_map(|(files, _)| *files) {
            let folder = root().join("src/broker").join(kind.name);
            assert!(folder.join(file).is_file(), "src/broker/{} has no {file}, as the others have", kind.name);
        }
    }
}

#[test]
fn no_two_kinds_share_a_scheme() {
    let schemes: Vec<&str> = KINDS.iter().flat_map(|kind| kind.schemes).copied().collect();
    let distinct: BTreeSet<&str> = schemes.iter().copied().collect();
    assert_eq!(schemes.len(), distinct.len(), "{schemes:?}");
}
