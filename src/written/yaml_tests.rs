//! Files become trees with exact places; what could hurt is refused, and nothing panics.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn good(text: &str) -> Node {
    let mut faults = Problems::default();
    let node = parse("rialto.yaml", text, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    node.unwrap()
}

/// `line:column message` of each fault.
fn bad(text: &str) -> Vec<String> {
    let mut faults = Problems::default();
    parse("rialto.yaml", text, &mut faults);
    assert!(!faults.is_ok(), "no fault");
    faults.iter().map(|fault| format!("{}:{} {}", fault.at.line, fault.at.column, fault.message)).collect()
}

fn at(node: &Node) -> (usize, usize) {
    (node.at().line, node.at().column)
}

const FILE: &str = "\
name: orders
brokers:
  mq: { amqp: { url: \"amqp://rabbit\", prefetch: 0x10 } }
  été: redis://x   # a comment
routes:
  - from: mq/a
    to:
      - b
";

#[test]
fn every_value_and_key_knows_its_place() {
    let root = good(FILE);
    let brokers = root.peek("brokers").unwrap();
    assert_eq!(at(brokers), (2, 1), "a block map points at its key");
    let amqp = brokers.peek("mq").unwrap().peek("amqp").unwrap();
    assert_eq!(at(amqp), (3, 15));
    assert_eq!(&FILE[amqp.at().bytes.clone()], "{ url: \"amqp://rabbit\", prefetch: 0x10 }");
    let prefetch = amqp.peek("prefetch").unwrap();
    assert_eq!((prefetch.path(), at(prefetch), prefetch.text()), ("brokers.mq.amqp.prefetch", (3, 49), Some("0x10")));
    assert_eq!(&FILE[amqp.key_at("prefetch").unwrap().bytes.clone()], "prefetch");
    let unicode = brokers.peek("été").unwrap();
    assert_eq!((at(unicode), &FILE[unicode.at().bytes.clone()]), ((4, 8), "redis://x"));
    let route = &root.peek("routes").unwrap().items()[0];
    assert_eq!((route.path(), at(route)), ("routes[0]", (6, 5)), "an item points at its first key");
    assert_eq!(route.peek("to").unwrap().items()[0].path(), "routes[0].to[0]");
}

#[test]
fn scalars_are_typed_by_the_core_schema() {
    let root =
        good("a: 1\nb: '1'\nc: on\nd: True\ne: 1.10\nf:\ng: ~\nh: \"\"\ni: !!str 12\nj: |\n  x\n  y\nk: 99999999999999999999\n");
    let value = |key| root.peek(key).unwrap().value().clone();
    assert_eq!(value("a"), Value::Int(1));
    assert_eq!(value("b"), Value::Str("1".into()));
    assert_eq!(value("c"), Value::Str("on".into()));
    assert_eq!(value("d"), Value::Bool(true));
    assert_eq!(value("e"), Value::Float(1.1));
    assert_eq!(value("f"), Value::Null);
    assert_eq!(value("g"), Value::Null);
    assert_eq!(value("h"), Value::Str(String::new()));
    assert_eq!(value("i"), Value::Str("12".into()));
    assert_eq!(value("j"), Value::Str("x\ny\n".into()));
    assert_eq!(value("k"), Value::Float(1e20));
    assert_eq!(at(root.peek("f").unwrap()), (6, 1), "nothing written points at its key");
}

#[test]
fn json_is_read_too_with_tabs() {
    let root = good("{\n\t\"name\": \"a\\/\\ud83c\\udfb5\",\n\t\"list\": [1, true, null]\n}\n");
    assert_eq!(root.peek("name").unwrap().text(), Some("a/🎵"));
    assert_eq!(root.peek("list").unwrap().items().len(), 3);
}

#[test]
fn bom_crlf_and_empty_files() {
    let root = good("\u{feff}name: a\r\nprefix: b\r\n");
    assert_eq!((root.peek("name").unwrap().text(), root.peek("prefix").unwrap().text()), (Some("a"), Some("b")));
    assert_eq!(at(root.peek("prefix").unwrap()), (2, 9));
    for empty in ["", "# only words\n", "---\n", "\n\n"] {
        assert_eq!(*good(empty).value(), Value::Null);
    }
}

#[test]
fn aliases_and_merge_keys() {
    let root = good(
        "x-base: &base { a: 1, b: 2 }\nx-more: &more { b: 9, c: 3 }\nm:\n  <<: [*base, *more]\n  a: 0\nn: { <<: *base }\np: *base\n",
    );
    let m: Vec<_> = root.peek("m").unwrap().written().map(|(key, _, node)| (key, node.text().unwrap())).collect();
    assert_eq!(m, [("a", "0"), ("b", "2"), ("c", "3")]);
    assert_eq!(root.peek("n").unwrap().peek("a").unwrap().path(), "n.a");
    assert_eq!(root.peek("p").unwrap().peek("b").unwrap().path(), "p.b");
    assert_eq!(at(root.peek("p").unwrap()), (7, 4));
    assert_eq!(bad("a: &a 1\nb: { <<: *a }\n"), ["2:10 `<<` merges maps: write `<<: *anchor` or `<<: [*one, *other]`"]);
}

#[test]
fn keys_written_twice_name_both_places_and_all_are_found() {
    let mut faults = Problems::default();
    assert!(parse("f", "a: 1\nb: { c: 1, c: 2 }\na: 3\n", &mut faults).is_some());
    let said: Vec<_> =
        faults.iter().map(|f| (f.message.as_str(), f.at.line, f.at.column, f.also.as_ref().unwrap().0.column)).collect();
    assert_eq!(said, [("`c` is written twice", 2, 12, 6), ("`a` is written twice", 3, 1, 1)]);
}

#[test]
fn what_yaml_takes_for_something_else_is_told_to_be_quoted() {
    let mut faults = Problems::default();
    let root = parse("f", "a: [{message_id}]\nb: {message_id|'x'}\nc: #\nd: {x: 1}\n", &mut faults).unwrap();
    for key in ["a", "b"] {
        let node = &root.peek(key).unwrap().items()[0];
        assert!(node.looks_like_template(), "{key}");
        String::from_node(node, &mut faults);
    }
    assert!(!root.peek("d").unwrap().looks_like_template());
    root.opt::<String>("c", &mut faults);
    let hints: Vec<_> = faults.iter().map(|fault| fault.hint.clone().unwrap()).collect();
    assert_eq!(
        hints,
        [
            "quote it: YAML reads braces as a map; write \"{message_id}\"",
            "quote it: YAML reads braces as a map; write \"{message_id|'x'}\"",
            "quote it: YAML reads a bare `#`, `~` or `null` as nothing; write `c: \"…\"`",
        ]
    );
    assert!(bad("a: {{message_id}}\n")[0].contains("a key is text, and this is a map"));
}

#[test]
fn syntax_that_quotes_would_mend_says_so() {
    let cases = [
        ("to: [live/app:{message_id}]\n", "quote it: YAML gives braces a meaning of its own"),
        ("to: {message_type}:{message_id}\n", "quote it: YAML gives braces a meaning of its own"),
        ("routing_key: *\n", "quote it: a bare `*` starts an alias"),
        ("routing_key: *.orders\n", "quote it: a bare `*` starts an alias"),
        ("a: { routing_key: # }\nb: 1\n", "quote it: a bare `#` starts a comment"),
        ("name: @x\n", "quote it: YAML reserves `@`"),
        ("brokers:\n\tmq: x\n", "indent with spaces: YAML forbids tabs there"),
    ];
    for (text, hint) in cases {
        let mut faults = Problems::default();
        assert!(parse("f", text, &mut faults).is_none(), "{text}");
        assert_eq!(faults.iter().next().unwrap().hint.as_deref(), Some(hint), "{text}");
    }
}

#[test]
fn broken_syntax_names_its_place() {
    assert!(bad("a: [1, 2\nb: 3\n")[0].starts_with("2:"), "{:?}", bad("a: [1, 2\nb: 3\n"));
    assert!(bad("a:\n\tb: 1\n")[0].starts_with("2:"));
    assert!(bad("a: \"open\n")[0].contains(' '));
    assert!(bad("a: b: c\n")[0].starts_with("1:"));
    assert!(bad("a: *nobody\n")[0].starts_with("1:4 "));
    assert!(bad("a: @c\n")[0].starts_with("1:4 "));
    assert_eq!(bad("a: 1\n---\nb: 2\n"), ["2:1 a second document starts here; write it to a file of its own"]);
    assert_eq!(bad("a: !secret x\n"), ["1:12 tag `!secret` means nothing here"]);
    assert_eq!(bad("? [a]\n: 1\n"), ["1:3 a key is text, and this is a list"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    assert!(bad(&text)[0].ends_with("aliases make this file more than 10 times as large"));
    assert!(bad("a: &a [*a]\n")[0].ends_with("an alias inside its own anchor has no end"));
}

#[test]
fn deep_nesting_is_refused_in_every_style() {
    for depth in [65, 100, 1_000, 100_000] {
        assert!(bad(&"[".repeat(depth)).len() == 1);
        assert!(bad(&"{a: ".repeat(depth)).len() == 1);
        assert!(bad(&"- ".repeat(depth)).len() == 1);
    }
    good(&format!("{}{}", "[".repeat(64), "]".repeat(64)));
    let by_alias = format!("a: &a {}{}\nb: {}*a{}", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert_eq!(bad(&by_alias).len(), 1);
}

#[test]
fn large_files_are_refused() {
    assert_eq!(bad(&"# x\n".repeat(1 << 19)), ["0:0 the file is larger than 1 MiB"]);
    assert!(bad(&format!("[{}]", "1,".repeat(300_000)))[0].ends_with("more than 200000 values in one file"));
}

proptest! {
    /// Bytes that look like YAML, in any order: an answer, never a panic; every place lies in the text.
    #[test]
    fn nothing_panics(text in "([ \\t\\r\\n:{}\\[\\],&*!|>'\"%@`#?~<-]|[a-c1é$]|\\PC|- |: |&a |\\*a|<<: ){0,80}") {
        let mut faults = Problems::default();
        if let Some(node) = parse("f", &text, &mut faults) {
            String::from_node(&node, &mut faults);
            node.finish(&mut faults);
        }
        for fault in faults.iter().filter(|fault| fault.at.is_file()) {
            let bare = text.strip_prefix('\u{feff}').unwrap_or(&text);
            prop_assert!(bare.get(fault.at.bytes.clone()).is_some(), "{:?} is not in the text", fault.at);
        }
    }

    /// What JSON holds is what the tree holds.
    #[test]
    fn json_texts_survive(keys in prop::collection::btree_map("\\PC{1,12}", "\\PC{0,20}", 0..8)) {
        let root = good(&serde_json::to_string(&keys).unwrap());
        for (key, text) in &keys {
            prop_assert_eq!(root.peek(key).unwrap().value(), &Value::Str(text.clone()));
        }
    }
}
