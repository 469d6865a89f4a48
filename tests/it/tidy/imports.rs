//! Who may import whom. `ARCHITECTURE.md` explains the table; this one is held.

use super::sources::{File, code, files};
use rialto::broker::KINDS;

/// A stage, and the stages whose names may stand in it.
const TABLE: &[(&str, &[&str])] = &[
    ("envelope", &["outcome"]),
    ("route", &["envelope", "outcome", "written"]),
    ("intake", &["envelope", "outcome", "telemetry"]),
    ("journal", &["envelope", "route", "intake", "outcome", "telemetry"]),
    ("broker", &["envelope", "intake", "listen", "live", "outcome", "report", "written", "telemetry"]),
    ("live", &["envelope", "intake", "outcome", "telemetry"]),
    ("listen", &["telemetry"]),
    ("gateway", &["envelope", "intake", "listen", "live", "outcome", "telemetry"]),
    ("pipeline", &["envelope", "route", "intake", "journal", "deliver", "broker", "outcome", "report", "telemetry"]),
    ("deliver", &["envelope", "route", "journal", "broker", "outcome", "report", "telemetry"]),
    ("report", &["outcome"]),
    ("config", &["envelope", "route", "broker", "gateway", "listen", "written", "telemetry"]),
    ("admin", &["telemetry"]),
    ("telemetry", &["outcome"]),
    ("outcome", &[]),
    ("written", &[]),
    ("shutdown", &[]),
];

/// The wiring and the commands know everybody.
const KNOWS_ALL: &[&str] = &["bridge", "cli", "embed", "lib", "main", "testkit"];

/// What the table forbids and a reason allows: the file, the stage it names, the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/deliver/tests.rs", "intake", "a worker is tested with real tickets: what they settle is the point"),
    ("src/deliver/tests.rs", "written", "its lanes have addresses, and an address is a template"),
];

/// Stages without a clock, dice, tasks, files or a log: given the same values they answer the same.
const PURE: &[&str] = &["src/envelope/", "src/route/", "src/deliver/policy.rs", "src/deliver/breaker.rs", "src/deliver/pace.rs"];

/// What a pure stage never says.
const IMPURE: &[&str] =
    &["tokio::", "async ", "Instant::now", "SystemTime", "fastrand::", "std::fs", "std::env", "std::net", "tracing::"];

/// Words that belong to one folder: the client libraries to their broker, tasks and sockets to those who run.
const AT_HOME: &[(&str, &[&str])] = &[
    ("lapin::", &["src/broker/amqp/"]),
    ("redis::", &["src/broker/"]),
    ("axum::", &["src/admin/"]),
    ("clap::", &["src/cli/"]),
    ("anyhow", &["src/cli/", "src/main.rs"]),
    ("prometheus_client::", &["src/telemetry/"]),
];

fn stage(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The paths below `crate::` that a text names, groups taken apart: `crate::{a::b, c::{d}}` is `a::b`, `c::d`.
fn named(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, root) in code.match_indices("crate::") {
        if !code[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '$') {
            expand(&code[at + root.len()..], &[], &mut found);
        }
    }
    found
}

/// Reads one tree of a `use` and answers what follows it.
fn expand<'a>(text: &'a str, above: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => rest = expand(rest, above, found),
            }
        }
    }
    let length = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '*')).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let path: Vec<String> = above.iter().cloned().chain([name.to_owned()]).collect();
    match rest.strip_prefix("::") {
        Some(rest) if rest.starts_with(|letter: char| letter.is_alphanumeric() || "_{*".contains(letter)) => {
            expand(rest, &path, found)
        }
        _ => {
            found.push(path);
            // `as another`, or a letter that ends the path.
            let end = rest.find([',', '}', ';', '(', ')', '<', '\n']).unwrap_or(rest.len());
            let skipped = if rest[..end].trim_start().starts_with("as ") { end } else { 0 };
            let rest = &rest[skipped..];
            if rest.starts_with([',', '}']) || rest.is_empty() {
                rest
            } else {
                &rest[rest.chars().next().map_or(0, char::len_utf8)..]
            }
        }
    }
}

/// What a file names against the table.
fn trespasses(file: &File) -> Vec<String> {
    let home = stage(&file.path);
    let Some((_, allowed)) = TABLE.iter().find(|(stage, _)| *stage == home) else { return Vec::new() };
    let mut wrong = Vec::new();
    for path in named(&code(&file.text)) {
        let constant = path[0].chars().all(|letter| letter.is_uppercase() || letter == '_');
        if !constant && path[0] != home && !allowed.contains(&path[0].as_str()) {
            wrong.push(path[0].clone());
        }
        let kind = path.get(1).filter(|part| path[0] == "broker" && KINDS.iter().any(|kind| kind.name == **part));
        if let Some(kind) = kind.filter(|kind| !file.path.starts_with(&format!("src/broker/{kind}/"))) {
            wrong.push(format!("broker::{kind}"));
        }
    }
    wrong.dedup();
    wrong
}

#[test]
fn every_stage_is_in_the_table() {
    for file in files("src", &[".rs"]) {
        let stage = stage(&file.path);
        let known = KNOWS_ALL.contains(&stage) || TABLE.iter().any(|(known, _)| *known == stage);
        assert!(known, "{}: which stages may `{stage}` import? Say so in the table, and why in ARCHITECTURE.md", file.path);
    }
}

#[test]
fn a_stage_imports_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for file in files("src", &[".rs"]) {
        for trespass in trespasses(&file) {
            match EXCEPTIONS.iter().position(|(path, stage, _)| *path == file.path && *stage == trespass) {
                Some(exception) => used[exception] = true,
                None => wrong.push(format!("{} imports {trespass}", file.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for ((path, stage, _), used) in EXCEPTIONS.iter().zip(used) {
        assert!(used, "the exception for {path} and {stage} is not needed any more");
    }
}

#[test]
fn nobody_climbs_out_of_a_stage() {
    for file in files("src", &[".rs"]) {
        let inside = file.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        let depth = inside.split('/').count() - 1;
        let climb = "super::".repeat(depth);
        assert!(
            KNOWS_ALL.contains(&stage(&file.path)) || !code(&file.text).contains(&climb),
            "{} reaches past its stage with `{climb}`: write `crate::`, so that the table is held",
            file.path
        );
    }
}

#[test]
fn pure_stages_have_no_clock_dice_tasks_or_files() {
    for file in PURE.iter().flat_map(|place| files(place, &[".rs"])) {
        let code = code(&file.text);
        let shipped = if file.path.ends_with("tests.rs") { "" } else { code.split("#[cfg(test)]\nmod tests {").next().unwrap() };
        for word in IMPURE {
            assert!(!shipped.contains(word), "{} says `{word}`, and is pure: take it as an argument", file.path);
        }
    }
}

#[test]
fn a_library_stays_behind_the_stage_that_wraps_it() {
    for file in files("src", &[".rs"]) {
        let code = code(&file.text);
        for (word, homes) in AT_HOME.iter().filter(|(_, homes)| !homes.iter().any(|home| file.path.starts_with(home))) {
            // `broker::redis::…` is a module of ours.
            let foreign = code
                .match_indices(word)
                .any(|(at, _)| !code[..at].ends_with(|last: char| last.is_alphanumeric() || "_:".contains(last)));
            assert!(!foreign, "{} says `{word}`, which belongs to {homes:?}", file.path);
        }
    }
}

#[test]
fn the_reader_of_imports_sees_through_groups() {
    let code = "use crate::{VERSION, a::{self, b::C}, d as e,\n f::*};\nlet x = crate::g::h::<crate::i::J>(); pub(crate) fn k() {}";
    let paths: Vec<String> = named(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["VERSION", "a::self", "a::b::C", "d", "f::*", "g::h", "i::J"]);
}
