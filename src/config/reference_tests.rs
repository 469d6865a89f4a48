//! `config/reference.yaml` and the schema name exactly the keys that are asked for; the examples are sound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value as Json;

use super::{Sources, load, plan, render, schema};
use crate::written::{Node, Value};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// What stands, is asked for and is described at one level of the configuration, names that users choose left open.
#[derive(Debug, Default)]
struct Level {
    written: BTreeSet<String>,
    asked: BTreeSet<String>,
    later: BTreeSet<String>,
    described: BTreeSet<String>,
}

/// The reference with its secret files put where they can be read, and what a plan asked of it.
fn reference() -> (String, Node) {
    let secrets = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(format!("{CONFIG}/reference.yaml")).unwrap();
    let folder = secrets.path().to_str().unwrap().to_owned();
    let placed = text.replace("/run/secrets", &folder);
    for path in placed.split_whitespace().filter(|word| word.starts_with(&folder)) {
        fs::write(path, "redis://127.0.0.1:6379\n").unwrap();
    }
    let file = secrets.path().join("reference.yaml");
    fs::write(&file, &placed).unwrap();
    let loaded = load(&Sources { files: vec![file], ..Sources::default() }).unwrap();
    let (plan, faults) = plan(&loaded);
    assert!(plan.is_some(), "{}", render(&faults, false));
    (text, loaded.root)
}

/// Levels of one grammar count as one: a dead letter, `defaults` and `default_to` are destinations with fewer keys, `event` may
/// stand on a source or a route, and tokens under any broker.
fn of_grammar(level: &str) -> String {
    for destination in ["routes[].to[]", "routes[].dead_letter", "sources.*.dead_letter", "defaults", "default_to", "default_to[]"]
    {
        if level.trim_start_matches('.') == destination {
            return ".(destination)".to_owned();
        }
    }
    // Tokens are read by one reader, whatever kind of broker they are for.
    for block in ["oauth", "entra"] {
        if level.starts_with(".brokers.") && level.ends_with(&format!(".{block}")) {
            return format!(".brokers.*.({block})");
        }
    }
    if level.ends_with(").tls") {
        return ".brokers.*.amqp.tls".to_owned();
    }
    // Tokens are written the same for every kind of broker that takes them.
    for block in [".oauth", ".entra"] {
        if let Some((_, within)) = level.split_once(block).filter(|_| level.starts_with(".brokers.")) {
            return format!(".(token){block}{within}");
        }
    }
    level.replace(".routes[].event", ".sources.*.event").replace(".routes[].match", ".(destination).match")
}

/// `routes[0].to[1]` is one of many of the same level: `routes[].to[]`.
fn collect(node: &Node, level: &str, schemas: &[&Json], root: &Json, levels: &mut BTreeMap<String, Level>) {
    let objects: Vec<&Json> = schemas.iter().flat_map(|schema| choices(schema, root)).collect();
    match node.value() {
        Value::List(items) => {
            let schemas: Vec<&Json> = objects.iter().filter_map(|schema| schema.get("items")).collect();
            for item in items {
                collect(item, &of_grammar(&format!("{level}[]")), &schemas, root, levels);
            }
        }
        Value::Map(_) => {
            let asked = node.asked();
            if let Some(asked) = &asked {
                let known = levels.entry(level.to_owned()).or_default();
                known.asked.extend(asked.iter().cloned());
                known.later.extend(node.asked_later().into_iter().map(str::to_owned));
                known.written.extend(node.written().map(|(key, ..)| key.to_owned()));
                let properties = objects.iter().filter_map(|schema| schema.get("properties")?.as_object());
                known.described.extend(properties.flat_map(|properties| properties.keys().cloned()));
            }
            for (key, _, child) in node.written() {
                let schemas: Vec<&Json> = objects
                    .iter()
                    .filter_map(|schema| {
                        schema.get("properties").and_then(|known| known.get(key)).or(schema.get("additionalProperties"))
                    })
                    .collect();
                let name = if asked.is_some() { key } else { "*" };
                collect(child, &of_grammar(&format!("{level}.{name}")), &schemas, root, levels);
            }
        }
        _ => {}
    }
}

/// The schemas that one may stand for: through `$ref`, `anyOf`, `allOf`.
fn choices<'a>(schema: &'a Json, root: &'a Json) -> Vec<&'a Json> {
    if let Some(path) = schema.get("$ref").and_then(Json::as_str) {
        return choices(root.pointer(path.trim_start_matches('#')).unwrap(), root);
    }
    let inner = ["anyOf", "allOf"].iter().filter_map(|key| schema.get(*key)?.as_array()).flatten();
    let mut all: Vec<&Json> = inner.flat_map(|schema| choices(schema, root)).collect();
    all.push(schema);
    all
}

fn levels() -> (String, BTreeMap<String, Level>) {
    let (text, root) = reference();
    let schema = schema();
    let mut levels = BTreeMap::new();
    collect(&root, "", &[&schema], &schema, &mut levels);
    (text, levels)
}

fn difference(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Vec<String> {
    one.difference(other).cloned().collect()
}

#[test]
fn the_reference_names_every_key_that_is_asked_for() {
    let (text, levels) = levels();
    for (name, level) in &levels {
        let built = level.asked.difference(&level.later).cloned().collect();
        assert_eq!(difference(&built, &level.written), [""; 0], "missing under `{name}` in config/reference.yaml");
        for key in level.later.difference(&level.written) {
            assert!(text.contains(&format!("# {key}: ")), "`{key}` (later) is missing under `{name}` in config/reference.yaml");
        }
    }
}

#[test]
fn every_key_of_the_reference_is_explained() {
    let (text, levels) = levels();
    let lines: Vec<&str> = text.lines().collect();
    // Once is enough: kinds share `tls`, routes and destinations share `match`.
    let explained = |key: &str| {
        lines.iter().enumerate().any(|(number, line)| {
            let written = line.split(['{', ' ', '#']).any(|word| word.strip_suffix(':') == Some(key));
            written && (line.contains(" # ") || number > 0 && lines[number - 1].starts_with("# "))
        })
    };
    for (name, level) in &levels {
        for key in &level.written {
            assert!(explained(key), "`{key}` under `{name}` has no comment");
        }
    }
}

#[test]
fn the_schema_describes_exactly_the_keys_that_are_asked_for() {
    for (name, level) in levels().1 {
        // Keys of later features are refused: an editor does not offer them.
        let mut built: BTreeSet<String> = level.asked.difference(&level.later).cloned().collect();
        built.extend(level.written.iter().cloned());
        assert_eq!(difference(&level.described, &built), [""; 0], "described under `{name}`, but never asked for");
        assert_eq!(difference(&built, &level.described), [""; 0], "asked for under `{name}`, but not in the schema");
    }
}

#[test]
fn the_examples_are_sound() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(CONFIG).join("examples")).unwrap() {
        let environment = [("RABBIT_PASSWORD", "p")].into_iter().collect();
        let loaded = load(&Sources { files: vec![entry.unwrap().path()], environment, ..Sources::default() }).unwrap();
        let (plan, faults) = plan(&loaded);
        assert!(plan.is_some(), "{}", render(&faults, false));
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn the_schema_is_draft_07_and_closed() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["patternProperties"], serde_json::json!({ "^x-": true }));
    assert!(!schema.to_string().contains("\"null\""), "null is no value for a key");
}
