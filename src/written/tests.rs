//! What the readers accept, and what they say of the rest.

use std::{fs, net::SocketAddr, time::Duration};

use indexmap::IndexMap;

use super::*;

fn span() -> Span {
    Span { source: "rialto.yaml".into(), bytes: 0..1, line: 1, column: 1 }
}

fn scalar(text: &str) -> Node {
    Node::scalar("amqp.key", span(), text)
}

fn null() -> Node {
    Node::new("amqp.key", span(), Value::Null)
}

fn map(entries: Vec<(&str, Node)>) -> Node {
    Node::new("amqp", span(), Value::Map(entries.into_iter().map(|(key, node)| (key.to_owned(), (span(), node))).collect()))
}

fn list(items: Vec<Node>) -> Node {
    Node::new("amqp.key", span(), Value::List(items))
}

/// The value, or the fault with its hint.
fn read<T: FromNode>(node: &Node) -> Result<T, String> {
    let mut faults = Problems::default();
    match T::from_node(node, &mut faults) {
        Some(value) => {
            assert!(faults.is_empty(), "a value and a fault");
            Ok(value)
        }
        None => Err(said(&faults)),
    }
}

fn said(faults: &Problems) -> String {
    assert!(!faults.is_empty(), "neither value nor fault");
    let line = |fault: &Problem| format!("{} / {}", fault.message, fault.hint.as_deref().unwrap_or("-"));
    faults.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn text_keeps_the_spelling_of_numbers_and_bools() {
    for text in ["plain", "0123", "1.10", "True", "0x10", "1e3", "null-ish", ""] {
        assert_eq!(read::<String>(&scalar(text)).unwrap(), text);
    }
}

#[test]
fn null_where_text_is_expected_says_quote_it() {
    let fault = read::<String>(&null()).unwrap_err();
    assert!(fault.starts_with("`key` is nothing, where text is expected / quote it"), "{fault}");
}

#[test]
fn a_template_read_as_a_map_says_quote_it() {
    let template = map(vec![("live/app:", map(vec![("message_id", null())]))]);
    let fault = read::<String>(&template).unwrap_err();
    assert!(fault.contains("quote it: YAML reads braces as a map"), "{fault}");
    let real = read::<String>(&map(vec![("exchange", scalar("orders"))])).unwrap_err();
    assert!(!real.contains("quote it"), "{real}");
}

#[test]
fn whole_numbers_have_ranges() {
    assert_eq!(read::<u16>(&scalar("65535")), Ok(65535));
    assert_eq!(read::<u16>(&scalar("65536")).unwrap_err(), "`key` must be from 0 to 65535 / -");
    assert_eq!(read::<u32>(&scalar("-1")).unwrap_err(), "`key` must be from 0 to 4294967295 / -");
    assert_eq!(read::<u32>(&scalar("1_000")).unwrap_err(), "`key` is text, where a whole number is expected / write `1000`");
    assert_eq!(read::<u64>(&scalar("-1")).unwrap_err(), "`key` must be 0 or more / -");
    assert_eq!(read::<u64>(&scalar("1.5")).unwrap_err(), "`key` is a number, where a whole number is expected / -");
    assert_eq!(read::<usize>(&scalar("0x10")), Ok(16));
}

#[test]
fn bools_are_true_and_false_only() {
    assert_eq!(read::<bool>(&scalar("true")), Ok(true));
    assert_eq!(read::<bool>(&scalar("off")).unwrap_err(), "`key` is text, where `true` or `false` is expected / write `false`");
}

#[test]
fn floats_are_finite() {
    assert_eq!(read::<f64>(&scalar("0.25")), Ok(0.25));
    assert_eq!(read::<f64>(&scalar("2")), Ok(2.0));
    assert!(read::<f64>(&scalar(".inf")).is_err());
    assert!(read::<f64>(&scalar("inf")).is_err());
}

#[test]
fn durations_need_units() {
    assert_eq!(read::<Millis>(&scalar("250ms")), Ok(Millis(Duration::from_millis(250))));
    assert_eq!(read::<Millis>(&scalar("7d")), Ok(Millis::from_secs(7 * 24 * 3600)));
    assert_eq!(read::<Millis>(&scalar("0")), Ok(Millis::from_secs(0)));
    let fault = read::<Millis>(&scalar("15")).unwrap_err();
    assert_eq!(fault, "`key` is a number, where a duration is expected / write its unit: `15s` or `15ms`");
    assert!(read::<Millis>(&scalar("soon")).is_err());
    assert_eq!(Millis::from_secs(90).to_string(), "1m 30s");
}

#[test]
fn sizes_are_bytes_or_have_units() {
    assert_eq!(read::<Size>(&scalar("64KiB")), Ok(Size(65536)));
    assert_eq!(read::<Size>(&scalar("2GiB")), Ok(Size(2 << 30)));
    assert_eq!(read::<Size>(&scalar("1000")), Ok(Size(1000)));
    assert!(read::<Size>(&scalar("-1")).is_err());
    assert!(read::<Size>(&scalar("many")).is_err());
    for size in [Size(0), Size(1000), Size::kib(64), Size::mib(64), Size(3 << 30)] {
        assert_eq!(read::<Size>(&scalar(&size.to_string())), Ok(size));
    }
}

#[test]
fn one_or_many_finds_every_fault() {
    assert_eq!(read::<Vec<u16>>(&scalar("5")), Ok(vec![5]));
    assert_eq!(read::<Vec<u16>>(&list(vec![scalar("5"), scalar("6")])), Ok(vec![5, 6]));
    assert_eq!(read::<Vec<u16>>(&null()), Ok(vec![]));
    let faults = read::<Vec<u16>>(&list(vec![scalar("x"), scalar("6"), scalar("y")])).unwrap_err();
    assert_eq!(faults.lines().count(), 2);
}

#[test]
fn maps_of_chosen_names_are_read_whole() {
    let headers: IndexMap<String, String> = read(&map(vec![("x-a", scalar("1")), ("x-b", scalar("b"))])).unwrap();
    assert_eq!(headers.into_iter().collect::<Vec<_>>(), [("x-a".into(), "1".into()), ("x-b".into(), "b".into())]);
    assert!(read::<IndexMap<String, String>>(&scalar("text")).is_err());
}

#[test]
fn addresses_are_ip_and_port() {
    assert_eq!(read::<SocketAddr>(&scalar("127.0.0.1:4290")).unwrap().port(), 4290);
    assert!(read::<SocketAddr>(&scalar("localhost")).unwrap_err().contains("IP:PORT"));
}

#[test]
fn names_suggest_the_nearest() {
    let names = [("standard", 1), ("cloudevents", 2)];
    let mut faults = Problems::default();
    assert_eq!(scalar("cloudevents").one_of(&names, &mut faults), Some(2));
    assert_eq!(scalar("cloudevent").one_of(&names, &mut faults), None);
    assert_eq!(said(&faults), "`key` cannot be `cloudevent` / did you mean `cloudevents`?");
}

#[test]
fn unknown_keys_are_faults_with_the_nearest_key_asked_for() {
    let node = map(vec![("exchnge", scalar("orders")), ("queue", scalar("q")), ("zzz", scalar("1"))]);
    let mut faults = Problems::default();
    node.opt::<String>("exchange", &mut faults);
    node.opt::<String>("queue", &mut faults);
    node.finish(&mut faults);
    assert_eq!(
        said(&faults),
        "unknown key `exchnge` / did you mean `exchange`?\nunknown key `zzz` / known here: `exchange`, `queue`"
    );
}

#[test]
fn free_keys_only_at_the_root() {
    let entries = || Value::Map([("x-anchors".to_owned(), (span(), scalar("1")))].into_iter().collect());
    let mut faults = Problems::default();
    Node::new("", span(), entries()).finish(&mut faults);
    assert!(faults.is_empty());
    Node::new("log", span(), entries()).finish(&mut faults);
    assert_eq!(faults.len(), 1);
}

#[test]
fn keys_asked_of_a_scalar_are_one_fault() {
    let node = scalar("amqp://rabbit");
    let mut faults = Problems::default();
    node.need::<String>("url", &mut faults);
    node.need::<String>("queue", &mut faults);
    node.finish(&mut faults);
    assert_eq!(said(&faults), "`key` is text, where a map is expected / -");
}

#[test]
fn later_keys_are_named_and_recorded() {
    let node = map(vec![("priority", scalar("5"))]);
    let mut faults = Problems::default();
    assert!(node.later("priority", "the journal", &mut faults));
    assert!(!node.later("schema", "schemas", &mut faults));
    node.finish(&mut faults);
    assert_eq!(said(&faults), "`priority` is not built yet: it comes with the journal / -");
    assert_eq!(node.asked_later(), ["priority", "schema"]);
    assert_eq!(node.asked().unwrap(), ["priority", "schema"]);
}

#[test]
fn a_secret_is_here_or_in_its_file_never_both_and_never_prints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "hunter2\r\n").unwrap();
    let written = path.to_str().unwrap();
    let mut faults = Problems::default();

    let here = map(vec![("password", scalar("0123"))]).secret("password", &mut faults).unwrap();
    assert_eq!(here.reveal().unwrap(), "0123");
    let file = map(vec![("password_file", scalar(written))]).secret("password", &mut faults).unwrap();
    assert_eq!(file.reveal().unwrap(), "hunter2");
    assert!(!format!("{here:?}{file:?}").contains("0123"));
    assert!(map(vec![]).secret("password", &mut faults).is_none());
    assert!(faults.is_empty());

    let both = map(vec![("password", scalar("a")), ("password_file", scalar(written))]);
    assert!(both.secret("password", &mut faults).is_none());
    assert!(map(vec![("password_file", scalar("/nowhere/at/all"))]).secret("password", &mut faults).is_none());
    both.finish(&mut faults);
    assert_eq!(faults.len(), 2);
    fs::remove_file(&path).unwrap();
    assert!(file.reveal().unwrap_err().to_string().contains(written));
}

#[test]
fn urls_are_one_or_many_or_in_a_file() {
    let mut faults = Problems::default();
    let urls = map(vec![("url", list(vec![scalar("amqp://u:p@a:5672"), scalar("amqp://b")]))]).urls("url", &mut faults).unwrap();
    assert_eq!(format!("{urls} {urls:?}"), "amqp://u:***@a:5672,amqp://b amqp://u:***@a:5672,amqp://b");
    assert_eq!(urls.reveal().unwrap(), ["amqp://u:p@a:5672", "amqp://b"]);
    assert!(faults.is_empty());
    for wrong in ["rabbit:5672", "amqp://a b", "://a"] {
        assert!(read::<Urls>(&scalar(wrong)).unwrap_err().contains("is no URL"));
    }
}

#[test]
fn urls_print_without_credentials() {
    let cases = [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("redis://:pw@cache:6379", "redis://:***@cache:6379"),
        ("amqps://u:p%40x@rabbit/prod", "amqps://u:***@rabbit/prod"),
        ("amqps://u:p@x@rabbit/prod", "amqps://u:***@rabbit/prod"),
        ("https://token@host/@me", "https://***@host/@me"),
        ("http://host/@me", "http://host/@me"),
        ("http://[::1]:80/@me", "http://[::1]:80/@me"),
        ("http://[::1]/@me", "http://[::1]/@me"),
        ("amqp://u:p/w@rabbit", "amqp://u:***@rabbit"),
        ("https://h/p?a=1&access_token=t&sig=s", "https://h/p?a=1&access_token=***&sig=***"),
        ("no url at all", "no url at all"),
        ("redis://u:p@a/,redis://v:q@b/?sig=x", "redis://u:***@a/,redis://v:***@b/?sig=***"),
        ("amqp://u:a://b@h", "amqp://u:***://***@h"),
        ("amqp://u:p w@h", "amqp://u:***@h"),
        ("`amqp://u:p@h`: ask me@home, not `http://h:80/`", "`amqp://u:***@h`: ask me@home, not `http://h:80/`"),
        ("cannot reach amqp://h: refused by u@h", "cannot reach amqp://h: refused by u@h"),
    ];
    for (written, shown) in cases {
        assert_eq!(redact_url(written), shown);
    }
}

#[test]
fn secrets_are_known_by_their_names() {
    for path in [
        "brokers.mq.amqp.password",
        "brokers.bus.service_bus.key",
        "headers.X-Api-Key",
        "a.secrets[0]",
        "h.Authorization",
        "sasl_token",
    ] {
        assert!(is_secret(path), "{path}");
    }
    for path in ["routes[0].key", "brokers.mq.amqp.password_file", "tokenizer", "monkey", "routes[0].to[0].key", ""] {
        assert!(!is_secret(path), "{path}");
    }
}
