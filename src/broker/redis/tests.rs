//! What may be written, and what it means; no server needed.

use std::sync::Arc;

use super::{
    KIND,
    answers::{Meaning, meaning},
    origin::RedisOrigin,
    servers::{Form, Place, Servers},
    target::{CHANNEL, Channel, Options, Stream},
};
use crate::{
    broker::{Broker, Origin, Target},
    written::{Problems, parse},
};

fn broker(yaml: &str) -> Result<Arc<dyn Broker>, Vec<String>> {
    let mut faults = Problems::default();
    let node = parse("test", yaml, &mut faults).expect("a tree");
    let broker = (KIND.read)("live", &node, &mut faults);
    if faults.is_ok() { Ok(broker.expect("a broker or a fault")) } else { Err(messages(&faults)) }
}

fn messages(faults: &Problems) -> Vec<String> {
    faults.iter().map(|fault| fault.message.clone()).collect()
}

fn target(yaml: &str) -> Result<Target, Vec<String>> {
    let mut faults = Problems::default();
    let node = parse("test", yaml, &mut faults).expect("a tree");
    let target = broker("redis://localhost").expect("a broker").target(&node, &mut faults);
    node.finish(&mut faults);
    if faults.is_ok() { Ok(target.expect("a target or a fault")) } else { Err(messages(&faults)) }
}

fn origin(yaml: &str) -> Result<Arc<dyn Origin>, Vec<String>> {
    let mut faults = Problems::default();
    let node = parse("test", yaml, &mut faults).expect("a tree");
    let origin = broker("redis://localhost").expect("a broker").origin(&node, &mut faults);
    if faults.is_ok() { Ok(origin.expect("an origin or a fault")) } else { Err(messages(&faults)) }
}

fn tcp(host: &str, port: u16) -> Place {
    Place::Tcp(host.into(), port)
}

#[test]
fn every_url_form_is_read_and_shown_without_its_credentials() {
    let shown = [
        ("redis://localhost", "redis://localhost:6379"),
        ("REDIS://user:p%40ss@h:7000/3", "redis://h:7000/3"),
        ("redis://:p@ss@h", "redis://h:6379"),
        ("rediss://[::1]:6380", "rediss://[::1]:6380"),
        ("valkeys://h", "rediss://h:6379"),
        ("valkey://a,b:1", "redis://a:6379,b:1"),
        ("redis+unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock/2"),
        ("redis-sentinel://u:p@a,b:26380/m/4", "redis-sentinel://a:26379,b:26380/m/4"),
        ("rediss+sentinel://a/2#m", "rediss-sentinel://a:26379/m/2"),
        ("redis-cluster://a,b", "redis-cluster://a:6379,b:6379"),
        ("redis://a?cluster=true&protocol=3", "redis-cluster://a:6379"),
    ];
    for (url, expected) in shown {
        assert_eq!(Servers::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).to_string(), expected, "{url}");
    }
    let servers = Servers::parse("redis-sentinel://us%2Fer:p%40ss@a/m").expect("a URL");
    assert_eq!(servers.form, Form::Sentinel { master: "m".into() });
    assert_eq!(servers.places, [tcp("a", 26379)]);
    assert_eq!(servers.username.as_deref(), Some("us/er"));
    assert_eq!(servers.password.expect("a password").reveal().expect("inline"), "p@ss");
    assert!(Servers::parse("redis://a?protocol=3").expect("a URL").resp3);
}

#[test]
fn a_wrong_url_is_a_sentence_without_its_credentials() {
    for url in [
        "amqp://u:hidden@h",
        "redis://u:hidden@",
        "redis://u:hidden@h:port",
        "redis://u:hidden@h/x",
        "redis://u:hidden@h/1/2",
        "redis-sentinel://u:hidden@h",
        "redis-cluster://u:hidden@h/1",
        "redis://u:hidden@h?x=y",
        "redis://u:hidden@[::1",
    ] {
        let error = Servers::parse(url).expect_err(url);
        assert!(!error.contains("hidden"), "{error}");
    }
}

#[test]
fn the_long_form_is_read_whole() {
    let long = "{ url: ['rediss://a', 'rediss://b:1'], username: u, password: p, db: 2, protocol: 3, tls: { server_name: n } }";
    assert_eq!(broker(long).expect("a broker").display(), "rediss://a:6379,b:1/2");
    let sentinel = "{ sentinel: { master: m, urls: ['redis://s:26379'], password: q }, password: p }";
    assert_eq!(broker(sentinel).expect("a broker").display(), "redis-sentinel://s:26379/m");
    assert_eq!(broker("{ urls: 'redis://a', cluster: true }").expect("a broker").display(), "redis-cluster://a:6379");
    assert!(!format!("{:?}", broker("redis://u:hidden@h").expect("a broker")).contains("hidden"));
}

#[test]
fn contradictions_in_the_long_form_are_faults() {
    for (yaml, expected) in [
        ("{ db: 1 }", "needs `url`"),
        ("{ url: 'redis://a', sentinel: { master: m, urls: 'redis://s' } }", "exclude each other"),
        ("{ url: 'redis://u:p@a', password: p }", "both in the URL and beside it"),
        ("{ url: 'redis://a', password: p, password_file: /nowhere }", "both written"),
        ("{ url: 'redis://a', cluster: true, db: 1 }", "no database but 0"),
        ("{ url: ['redis://a', 'rediss://b'] }", "share one scheme"),
        ("{ url: 'redis://a', protocol: 4 }", "`protocol` cannot be `4`"),
        ("{ url: 'redis://a', tls: { insecure_skip_verify: true } }", "insecure_skip_verify"),
        ("{ url: 'redis://a', pasword: x }", "unknown key `pasword`"),
        ("http://a", "no Redis URL"),
        ("7", "is no URL"),
    ] {
        let faults = broker(yaml).expect_err(yaml);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{yaml}: {faults:?}");
    }
}

#[test]
fn targets_say_what_is_written_where() {
    let options = |target: &Target| *target.options.downcast_ref::<Options>().expect("ours");
    let short = target("'app:{message_type}:{message_id}'").expect("a channel");
    assert_eq!(options(&short), Options { channel: Some(Channel::Plain), stream: None });
    assert_eq!(short.address.text, "app:{message_type}:{message_id}");
    let both = target("{ sharded_channel: c, stream: s, maxlen: 10, durability: wait(2) }").expect("both");
    let stream = Some(Stream { maxlen: Some(10), replicas: Some(2) });
    assert_eq!(options(&both), Options { channel: Some(Channel::Sharded), stream });
    assert_eq!((both.address.text.as_str(), both.fields[0].text.text.as_str()), ("c", "s"));
    let kept = target("{ stream: s }").expect("a stream");
    assert_eq!((kept.address.text.as_str(), kept.fields.len()), ("s", 0));
    for (yaml, expected) in [
        ("{ channel: a, sharded_channel: b }", "exclude each other"),
        ("{ channel: a, maxlen: 1 }", "belong to a `stream`"),
        ("{ stream: a, durability: wait(0) }", "`wait(n)`"),
        ("{ stream: a, durability: fsync }", "`wait(n)`"),
        ("{}", "needs `channel`"),
    ] {
        let faults = target(yaml).expect_err(yaml);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{yaml}: {faults:?}");
    }
}

#[test]
fn no_value_may_bring_a_pattern_or_a_control_character() {
    for forbidden in ['*', '?', '[', ']', '\\', '\n', '\0', '\u{85}'] {
        assert!((CHANNEL.forbidden)(forbidden), "{forbidden:?}");
    }
    for allowed in [':', '/', ' ', '{', '}', '^', '-', 'ü', '#'] {
        assert!(!(CHANNEL.forbidden)(allowed), "{allowed:?}");
    }
}

#[test]
fn origins_say_what_is_read() {
    for (yaml, address, holds) in [
        ("news", "live/news", false),
        ("'n*s'", "live/n*s", false),
        ("{ channel: 'n*s' }", "live/n*s", false),
        ("{ stream: s, group: g, start: 5-1, idle_claim: 30s }", "live/s", true),
    ] {
        let origin = origin(yaml).expect(yaml);
        assert_eq!((origin.address(), origin.holds()), (address, holds));
        assert!(origin.as_any().is::<RedisOrigin>());
    }
    assert!(origin("{ channel: 'n*s' }").expect("a channel").inlet().is_some(), "a channel may be called so");
    for (yaml, expected) in [
        ("{ stream: s, channel: c }", "needs one of"),
        ("{ channel: c, group: g }", "belong to a `stream`"),
        ("{ stream: s, start: yesterday }", "`start` is"),
        ("{ stream: s, idle_claim: 10ms }", "`idle_claim` under 1 s"),
    ] {
        let faults = origin(yaml).expect_err(yaml);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{yaml}: {faults:?}");
    }
}

#[test]
fn every_error_word_of_the_taxonomy_has_its_meaning() {
    for word in ["OOM", "LOADING", "BUSY", "MISCONF", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"] {
        assert_eq!(meaning(word), Meaning::Later, "{word}");
    }
    assert_eq!((meaning("READONLY"), meaning("MOVED")), (Meaning::Elsewhere, Meaning::Elsewhere));
    assert_eq!((meaning("NOAUTH"), meaning("WRONGPASS")), (Meaning::Login, Meaning::Login));
    assert_eq!(meaning("NOPERM"), Meaning::Forbidden);
    assert_eq!((meaning("WRONGTYPE"), meaning("ERR"), meaning("NEWWORD")), (Meaning::Refused, Meaning::Refused, Meaning::Refused));
}
