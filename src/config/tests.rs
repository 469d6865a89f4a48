//! Layers, variables, faults and what they show.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Environment, Loaded, Sources, load, mask::mask, render, show, show_json};
use crate::written::{FromNode, Node, Problems, Value};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Loads texts as the files of one directory, and answers the faults with the directory's name taken out.
fn load_with(files: &[(&str, &str)], environment: &[(&str, &str)], sets: &[&str]) -> (Option<Loaded>, String) {
    let folder = folder(files);
    let sources = Sources {
        files: vec![folder.path().to_owned()],
        embedded: None,
        texts: Vec::new(),
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        environment: environment.iter().copied().collect(),
    };
    let (loaded, faults) = match load(&sources) {
        Ok(loaded) => {
            let faults = loaded.faults.clone();
            (Some(loaded), faults)
        }
        Err(faults) => (None, faults),
    };
    let prefix = format!("{}/", folder.path().display());
    (loaded, render(&faults, false).replace(&prefix, ""))
}

fn good(files: &[(&str, &str)], environment: &[(&str, &str)], sets: &[&str]) -> Node {
    let (loaded, faults) = load_with(files, environment, sets);
    assert_eq!(faults, "");
    loaded.unwrap().root
}

fn bad(files: &[(&str, &str)], environment: &[(&str, &str)], sets: &[&str]) -> String {
    let (_, faults) = load_with(files, environment, sets);
    assert_ne!(faults, "", "no fault");
    faults
}

fn one(text: &str, environment: &[(&str, &str)]) -> Node {
    good(&[("rialto.yaml", text)], environment, &[])
}

fn text_of<'a>(root: &'a Node, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(root, Node::peek)?.text()
}

#[test]
fn maps_keep_their_order_and_place_through_the_layers() {
    let root = one("brokers:\n  long: { amqp: { url: a } }\n  short: b\n", &[]);
    let brokers = root.peek("brokers").unwrap();
    assert_eq!(
        brokers.written().map(|(name, at, _)| (name, at.line, at.column)).collect::<Vec<_>>(),
        [("long", 2, 3), ("short", 3, 3)]
    );
    let long = brokers.peek("long").unwrap();
    assert_eq!(long.key_at("amqp").map(|at| (at.line, at.column)), Some((2, 11)));
    assert_eq!((long.at().line, long.at().column), (2, 9));
}

#[test]
fn files_merge_in_byte_order_and_routes_append() {
    let files = [
        ("b.yml", "log: { level: debug }\nroutes: [{ from: mq/b }]\nbrokers: { live: redis://l }\n"),
        ("a.yaml", "log:\n  level: info\n  format: json\nroutes:\n  - from: mq/a\nbrokers: { mq: amqp://m }\n"),
        ("c.json", "{\"routes\": [{\"from\": \"mq/c\"}]}"),
        (".hidden.yaml", "name: wrong"),
        ("notes.txt", "name: wrong"),
    ];
    let root = good(&files, &[], &[]);
    assert_eq!(text_of(&root, "log.level"), Some("debug"));
    assert_eq!(text_of(&root, "log.format"), Some("json"));
    assert_eq!(text_of(&root, "name"), None);
    assert_eq!(root.peek("brokers").unwrap().written().map(|(name, ..)| name).collect::<Vec<_>>(), ["mq", "live"]);
    let routes = root.peek("routes").unwrap();
    let from: Vec<_> = routes.items().iter().map(|route| (route.path(), text_of(route, "from").unwrap())).collect();
    assert_eq!(from, [("routes[0]", "mq/a"), ("routes[1]", "mq/b"), ("routes[2]", "mq/c")]);
    let level = root.peek("log").unwrap().peek("level").unwrap();
    assert!(level.at().source.ends_with("b.yml") && (level.at().line, level.at().column) == (1, 15), "{:?}", level.at());
    let key = root.peek("log").unwrap().key_at("format").unwrap();
    assert!(key.source.ends_with("a.yaml") && (key.line, key.column) == (3, 3));
}

#[test]
fn a_broker_or_source_in_two_files_is_refused() {
    let files = [
        ("a.yaml", "brokers: { mq: amqp://a }\nsources: { s: {} }\n"),
        ("b.yaml", "brokers: { mq: amqp://b }\nsources: { s: {} }\n"),
    ];
    let faults = bad(&files, &[], &[]);
    assert!(
        faults.contains("`brokers.mq` is written in two files") && faults.contains("b.yaml:1:12") && faults.contains("a.yaml:1:12")
    );
    assert!(faults.contains("`sources.s` is written in two files") && faults.ends_with("2 errors\n"), "{faults}");
}

#[test]
fn the_environment_and_the_command_line_lie_over_the_files() {
    let file = "log: { level: info }\nbrokers: { my-mq: { amqp: { prefetch: 10 } } }\nroutes: [{ from: a }, { from: b }]\n";
    let environment = [
        ("RIALTO__LOG__LEVEL", "debug"),
        ("RIALTO__BROKERS__MY_MQ__AMQP__PREFETCH", "0020"),
        ("RIALTO__ROUTES__1__FROM", "c"),
        ("RIALTO_SERVICE_HOST", "x"),
        ("RIALTO__NAME", ""),
    ];
    let root = good(
        &[("rialto.yaml", file)],
        &environment,
        &["log.level=trace", "routes[0].to=[\"x/y\", {\"broker\": \"live\"}]", "prefix={payload.x}"],
    );
    assert_eq!(text_of(&root, "log.level"), Some("trace"));
    assert_eq!(text_of(&root, "brokers.my-mq.amqp.prefetch"), Some("0020"));
    assert_eq!(text_of(&root, "name"), Some(""));
    assert_eq!(text_of(&root, "prefix"), Some("{payload.x}"), "what is no JSON is text");
    let routes = root.peek("routes").unwrap().items();
    assert_eq!(text_of(&routes[1], "from"), Some("c"));
    let to = routes[0].peek("to").unwrap();
    assert_eq!((to.items().len(), text_of(&to.items()[1], "broker")), (2, Some("live")));
    assert_eq!((to.items()[1].path(), &*to.items()[1].at().source), ("routes[0].to[1]", "--set routes[0].to"));
    assert_eq!(&*root.peek("name").unwrap().at().source, "environment RIALTO__NAME");
}

#[test]
fn overrides_that_name_no_place_are_faults() {
    let file = [("rialto.yaml", "routes: [{ from: a }]\n")];
    let faults = bad(
        &file,
        &[("RIALTO__ROUTES__7__FROM", "x"), ("RIALTO____X", "y")],
        &["log", "a..b=1", "routes[99999999999].x=1", "a=[1, {\"b\": 1, \"b\": 2}]"],
    );
    assert_eq!(faults.matches("error: ").count(), 6, "{faults}");
    assert!(
        faults.contains("environment RIALTO__ROUTES__7__FROM") && faults.contains("`routes` has 1 items, and `7` is none of them")
    );
    assert!(faults.contains("`b` is written twice"));
}

#[test]
fn keys_with_dots_are_keys_and_no_paths() {
    let root = one("x-a.b: 1\nlog:\n  a.b[0]: 2\n", &[]);
    assert_eq!(root.peek("x-a.b").unwrap().text(), Some("1"));
    assert_eq!(root.peek("log").unwrap().peek("a.b[0]").unwrap().text(), Some("2"));
}

#[test]
fn variables_are_put_in_after_parsing() {
    let environment = [("HOST", "rabbit"), ("EVIL", "x: [1]\n# y"), ("PORT", "5672"), ("EMPTY", ""), ("NULL", "null")];
    let file = "a: ${HOST}\nb: \"${EVIL}\"\nc: ${PORT}\nd: ${EMPTY:-x}${NOPE:-y}\ne: $x and $${HOST} $$ $\nf: ${EMPTY}\ng: ${NULL}\nh: '${NOPE:-${HOST}}'\n";
    let root = one(file, &environment);
    let value = |key| root.peek(key).unwrap().value().clone();
    assert_eq!(value("a"), Value::Str("rabbit".into()));
    assert_eq!(value("b"), Value::Str("x: [1]\n# y".into()));
    assert_eq!(value("c"), Value::Int(5672));
    assert_eq!(value("d"), Value::Str("xy".into()));
    assert_eq!(value("e"), Value::Str("$x and ${HOST} $ $".into()));
    assert_eq!(value("f"), Value::Str(String::new()));
    assert_eq!(value("g"), Value::Str("null".into()));
    assert_eq!(value("h"), Value::Str("rabbit".into()));
}

#[test]
fn values_inside_a_url_are_percent_encoded() {
    let environment = [("USER", "a b"), ("PASS", "p@/:#é"), ("HOST", "[::1]:5672,b:1"), ("VHOST", "/x"), ("URL", "amqp://u:p@h/")];
    let root = one(
        "a: amqp://${USER}:${PASS}@${HOST}/${VHOST}\nb: ${URL}\nc: x/${PASS}\nd: redis://${HOST}\ne: amqp://${NO:-p@x}@h\n",
        &environment,
    );
    assert_eq!(text_of(&root, "a"), Some("amqp://a%20b:p%40%2F%3A%23%C3%A9@[::1]:5672,b:1/%2Fx"));
    assert_eq!(text_of(&root, "b"), Some("amqp://u:p@h/"));
    assert_eq!(text_of(&root, "c"), Some("x/p@/:#é"));
    assert_eq!(text_of(&root, "d"), Some("redis://[::1]:5672,b:1"));
    assert_eq!(text_of(&root, "e"), Some("amqp://p%40x@h"));
}

#[test]
fn variables_that_are_missing_are_faults_with_their_place() {
    let file = "name: orders\nurl: amqp://${USER}@${HOST:?say where}\nx: [\"${\", '${1A}', \"${A+b}\"]\n";
    let faults = bad(&[("rialto.yaml", file)], &[], &[]);
    let shown: Vec<_> = faults.lines().filter(|line| line.starts_with("error") || line.contains("rialto.yaml")).collect();
    assert_eq!(
        shown,
        [
            "error: the variable `USER` is not set",
            "  ╭▸ rialto.yaml:2:13",
            "error: the variable `HOST` is needed: say where",
            "  ╭▸ rialto.yaml:2:21",
            "error: `${` is not closed",
            "  ╭▸ rialto.yaml:3:6",
            "error: this names no variable",
            "  ╭▸ rialto.yaml:3:12",
            "error: this is no way to write a variable",
            "  ╭▸ rialto.yaml:3:21",
        ]
    );
}

#[test]
fn a_value_that_had_its_fault_gets_no_second_one() {
    let (loaded, _) = load_with(&[("rialto.yaml", "a: ${NOPE}\nb: 1\n")], &[], &[]);
    let loaded = loaded.unwrap();
    let mut later = loaded.faults.fresh();
    loaded.root.opt::<u32>("a", &mut later);
    loaded.root.opt::<bool>("b", &mut later);
    let mut all = loaded.faults.clone();
    all.take_in(later);
    assert_eq!(
        all.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>(),
        ["the variable `NOPE` is not set", "`b` is a number, where `true` or `false` is expected"]
    );
}

#[test]
fn faults_look_as_documented() {
    let file = "brokers:\n  mq:\n    amqp:\n      exchnge: orders\n";
    let folder = folder(&[("rialto.yaml", file)]);
    let path = folder.path().join("rialto.yaml");
    let loaded = load(&Sources { files: vec![path.clone()], ..Sources::default() }).unwrap();
    let mut faults = loaded.faults.fresh();
    let amqp = loaded.root.child("brokers").unwrap().child("mq").unwrap().child("amqp").unwrap();
    amqp.opt::<String>("exchange", &mut faults);
    amqp.finish(&mut faults);
    let shown = render(&faults, false).replace(&path.display().to_string(), "rialto.yaml");
    assert_eq!(
        shown,
        "error: unknown key `exchnge`\n  ╭▸ rialto.yaml:4:7\n  │\n4 │       exchnge: orders\n  ╰╴      ━━━━━━━ did you mean `exchange`?\n\n1 error\n"
    );
    assert!(render(&faults, true).contains("\u{1b}["));
}

#[test]
fn every_broken_file_is_named_at_once() {
    let faults = bad(&[("a.yaml", "a: [1\n"), ("b.yaml", "a: {\n"), ("c.yaml", "[]\n")], &[], &[]);
    assert!(faults.contains("a.yaml:") && faults.contains("b.yaml:"), "{faults}");
    let faults = bad(&[("c.yaml", "- 1\n"), ("d.yaml", "x\n")], &[], &[]);
    assert!(faults.contains("a configuration is a map, and this is a list") && faults.contains("and this is text"), "{faults}");
}

#[test]
fn files_that_are_not_there_are_named() {
    let missing = |sources: &Sources| render(&load(sources).unwrap_err(), false);
    let named = Sources { files: vec![PathBuf::from("/nowhere/rialto.yaml")], ..Sources::default() };
    assert!(missing(&named).contains("--config /nowhere/rialto.yaml"));
    let variable = Sources { environment: [("RIALTO_CONFIG", "/nowhere/r.yaml")].into_iter().collect(), ..Sources::default() };
    assert!(missing(&variable).contains("environment RIALTO_CONFIG"));
    let empty = folder(&[("x.txt", "")]);
    assert!(missing(&Sources { files: vec![empty.path().to_owned()], ..Sources::default() }).contains("holds no configuration"));
    let large = folder(&[("x.yaml", &"# large\n".repeat(300_000))]);
    assert!(missing(&Sources { files: vec![large.path().to_owned()], ..Sources::default() }).contains("larger than 1 MiB"));
    let latin = tempfile::tempdir().unwrap();
    fs::write(latin.path().join("x.yaml"), b"name: \xe9\n").unwrap();
    assert!(missing(&Sources { files: vec![latin.path().to_owned()], ..Sources::default() }).contains("UTF-8"));
}

#[test]
fn the_embedded_text_stands_in_for_files() {
    let loaded = load(&Sources { embedded: Some(("the built-in default", "name: dev\n")), ..Sources::default() }).unwrap();
    assert_eq!(text_of(&loaded.root, "name"), Some("dev"));
    assert_eq!(&*loaded.root.peek("name").unwrap().at().source, "the built-in default");
}

const SECRETS: &str = "\
brokers:
  mq: { amqp: { url: 'amqp://rialto:hunter2@rabbit:5672/prod', password: \"hunter2\", exchnge: x } }
  live: redis://:hunter2@cache:6379
  bus: { service_bus: { key: hunter2, policy: send } }
  log:
    kafka:
      sasl:
        password: |
          hunter2
          hunter2
      token: hunter2   # hunter2
headers: { Authorization: [hunter2, hunter2] }
key: visible
";

#[test]
fn secrets_are_hidden_in_the_lines_that_faults_show() {
    let masked = mask(SECRETS);
    assert_eq!(masked.len(), SECRETS.len());
    assert!(!masked.contains("hunter2"), "{masked}");
    for kept in ["exchnge: x", "@rabbit:5672/prod", "amqp://rialto:", "policy: send", "key: visible"] {
        assert!(masked.contains(kept), "{kept}: {masked}");
    }
    let broken =
        mask(&format!("{SECRETS}a: [\n").replace("key: hunter2, policy", "policy").replace("[hunter2, hunter2]", "hunter2"));
    assert!(!broken.contains("hunter2"), "{broken}");
}

#[test]
fn secrets_are_hidden_in_what_faults_say() {
    let mut faults = Problems::default();
    let node = one("to: amqp://u:hunter2@h/x\n", &[]);
    let text = text_of(&node, "to").unwrap();
    faults.fault(node.at(), format!("`{text}` is no destination")).hint(format!("not `{text}`")).also(node.at(), text);
    let shown = render(&faults, false);
    assert!(!shown.contains("hunter2") && shown.contains("amqp://u:***@h/x` is no destination"), "{shown}");
}

#[test]
fn secrets_are_hidden_where_the_configuration_is_shown() {
    let (loaded, faults) = load_with(
        &[("rialto.yaml", SECRETS)],
        &[("RIALTO__BROKERS__X__AMQP__PASSWORD", "0123")],
        &["brokers.y=amqp://a:hunter2@b"],
    );
    assert_eq!(faults, "");
    let loaded = loaded.unwrap();
    let (yaml, json) = (show(&loaded), show_json(&loaded));
    for shown in [&yaml, &json.to_string()] {
        assert!(!shown.contains("hunter2") && !shown.contains("0123"), "{shown}");
    }
    assert!(yaml.contains("rialto.yaml:2:22\n"), "{yaml}");
    assert!(
        yaml.lines().any(|line| line.contains("\"***\"") && line.ends_with("# environment RIALTO__BROKERS__X__AMQP__PASSWORD")),
        "{yaml}"
    );
    assert_eq!(json["config"]["brokers"]["y"], "amqp://a:***@b");
    assert_eq!(json["origins"]["brokers.y"], "--set brokers.y");
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn what_is_shown_reads_back_as_the_same_tree() {
    let file = "name: '0123'\na: [1, [2, []], {b: {}, c: [x]}, null]\n'odd: key': \"t: #\\n\"\nd: [{e: [{f: 1}]}]\ng: 1.10\nh: \"no\"\ni: 'null'\n";
    let (loaded, _) = load_with(&[("rialto.yaml", file)], &[], &[]);
    let shown = show(loaded.as_ref().unwrap());
    let mut faults = Problems::default();
    let again = crate::written::parse("shown", &shown, &mut faults).unwrap();
    assert!(faults.is_empty(), "{shown}\n{}", render(&faults, false));
    assert_eq!(again.value(), loaded.unwrap().root.value(), "{shown}");
}

proptest! {
    /// Any text as file, variable and override: an answer, never a panic, and it can be shown.
    #[test]
    fn nothing_panics(file in "(a|b|routes|brokers|: |:\n|\n|  |- |\\$\\{A|\\}|:-|:\\?|\\$|[\\[\\]{},&*!|'\"#]|://|@|password|é){0,40}", value in "\\PC{0,12}", set in "[a.\\[\\]0-9=-]{0,12}") {
        let (loaded, faults) = load_with(&[("r.yaml", &file)], &[("A", &value), ("RIALTO__A__B", &value)], &[&set]);
        if let Some(loaded) = loaded {
            show(&loaded);
            show_json(&loaded);
        } else {
            prop_assert!(faults.contains("error: "));
        }
        prop_assert_eq!(mask(&file).len(), file.len());
    }

    /// No value of a variable changes the tree.
    #[test]
    fn values_never_change_the_tree(value in "\\PC{0,30}|[:{}\\[\\]#&*!|>'\"\n -]{0,10}") {
        prop_assume!(!value.contains('\0'));
        let root = one("a: ${V}\nb: [\"${V}\", x]\nc: { d: '${V}' }\n", &[("V", &value)]);
        prop_assert_eq!(root.written().count(), 3);
        prop_assert_eq!(text_of(&root, "a"), Some(value.as_str()));
        prop_assert_eq!(root.peek("b").unwrap().items().len(), 2);
        prop_assert_eq!(text_of(&root, "c.d"), Some(value.as_str()));
    }
}

#[test]
fn variables_print_by_name_only() {
    let environment: Environment = [("PASS", "hunter2")].into_iter().collect();
    assert_eq!(format!("{environment:?}"), "{\"PASS\"}");
    let mut faults = Problems::default();
    let node = one("a: ${PASS}\n", &[("PASS", "hunter2")]);
    u32::from_node(node.peek("a").unwrap(), &mut faults);
    assert!(!render(&faults, false).contains("hunter2"));
}
