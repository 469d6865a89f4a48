//! SIGHUP: a bad file changes nothing, a good one only what it changed, and nothing is lost (G17).

use std::{collections::BTreeSet, fs, thread, time::Duration};

use super::{Place, Running, get, metric, until};
use crate::redis::{Server, free_port};

/// Two sources, each with a stream behind it.
fn two(url: &str, telemetry: u16, second: &str) -> String {
    format!(
        r#"
name: demo
telemetry: {{ listen: "127.0.0.1:{telemetry}" }}
brokers: {{ live: "{url}" }}
sources:
  one: {{ broker: live, stream: one, group: g, dead_letter: drop }}
  two: {{ broker: live, stream: two, group: g, dead_letter: drop }}
routes:
  - {{ from: one, to: {{ broker: live, stream: from-one }} }}
  - {{ from: two, to: {{ broker: live, stream: "{second}" }} }}
"#
    )
}

struct Demo {
    server: Server,
    port: u16,
    place: Place,
    bridge: Running,
}

fn demo() -> Demo {
    let (server, port) = (Server::start(&[]), free_port());
    let place = Place::with(&two(&server.url(), port, "before"));
    let bridge = place.start(&["run"]);
    let demo = Demo { server, port, place, bridge };
    for source in ["one", "two"] {
        until("running", || {
            demo.metric(&format!(r#"rialto_source_state{{source="{source}",state="running"}}"#)).filter(|it| *it > 0.5)
        });
    }
    demo
}

impl Demo {
    fn metric(&self, series: &str) -> Option<f64> {
        metric(self.port, series)
    }

    fn rewrite(&self, yaml: &str) {
        fs::write(self.place.path("rialto.yaml"), yaml).expect("a file");
        self.bridge.signal("HUP");
    }

    /// Puts an event in a stream, as a producer would.
    fn put(&self, stream: &str, id: &str) {
        let body = format!(r#"{{"message_type":"t","message_name":"n","message_id":"{id}","payload":0}}"#);
        let _: String = self.server.run(&["XADD", stream, "*", "body", &body]);
    }

    /// The ids in a stream, in order.
    fn ids(&self, stream: &str) -> Vec<String> {
        let found: Vec<(String, std::collections::HashMap<String, String>)> = self.server.run(&["XRANGE", stream, "-", "+"]);
        found.into_iter().map(|(_, fields)| fields["message_id"].clone()).collect()
    }
}

#[test]
fn a_bad_file_changes_nothing() {
    let mut demo = demo();
    assert_eq!(demo.metric("rialto_config_last_reload_successful"), Some(1.0));
    demo.rewrite(&two(&demo.server.url(), demo.port, "after").replace("group: g", "gruop: g"));
    until("refused", || demo.metric("rialto_config_last_reload_successful").filter(|it| *it < 0.5));
    until("said", || {
        let said = demo.bridge.err();
        (said.contains("nothing is changed") && said.contains("did you mean `group`?")).then_some(())
    });
    demo.put("two", "m-1");
    until("it flows as before", || (demo.ids("before") == ["m-1"]).then_some(()));
    assert_eq!(get(demo.port, "/readyz").map(|(status, _)| status), Some(200));
    assert_eq!(demo.bridge.stop(), 0);
}

#[test]
fn a_good_file_changes_only_what_it_changed_and_loses_nothing() {
    const EVENTS: usize = 600;
    let mut demo = demo();
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for number in 0..EVENTS {
                demo.put("one", &format!("m-{number}"));
                demo.put("two", &format!("m-{number}"));
            }
        });
        thread::sleep(Duration::from_millis(30));
        demo.rewrite(&two(&demo.server.url(), demo.port, "after"));
        producer.join().expect("the producer ends");
    });
    until("all arrived", || (demo.ids("before").len() + demo.ids("after").len() >= EVENTS).then_some(()));
    until("all of the other arrived", || (demo.ids("from-one").len() >= EVENTS).then_some(()));
    let expected: Vec<_> = (0..EVENTS).map(|number| format!("m-{number}")).collect();
    assert_eq!(demo.ids("from-one"), expected, "the source that did not change");
    let (before, after) = (demo.ids("before"), demo.ids("after"));
    let all: BTreeSet<_> = before.iter().chain(&after).collect();
    assert_eq!(all.len(), EVENTS, "nothing is lost");
    assert_eq!(before.len() + after.len(), EVENTS, "a drained pipeline repeats nothing");
    assert!(!before.is_empty() && !after.is_empty(), "the reload came under way: {} before, {} after", before.len(), after.len());
    assert_eq!(demo.metric("rialto_config_last_reload_successful"), Some(1.0));
    assert_eq!(demo.bridge.stop(), 0);
    let reloads: Vec<_> = demo.bridge.err().lines().filter(|line| line.contains("reload: ")).map(str::to_owned).collect();
    assert!(!reloads.is_empty() && reloads.iter().all(|line| line.contains(r#""source":"two""#)), "{reloads:?}");
}

#[test]
fn what_needs_a_restart_is_said() {
    let mut demo = demo();
    demo.rewrite(&two(&demo.server.url(), free_port(), "before"));
    until("said", || demo.bridge.err().contains("change with a restart only").then_some(()));
    assert_eq!(get(demo.port, "/livez").map(|(status, _)| status), Some(200), "it listens where it did");
    assert_eq!(demo.bridge.stop(), 0);
}

#[test]
fn a_source_that_is_gone_leaves_no_series() {
    let mut demo = demo();
    let yaml = two(&demo.server.url(), demo.port, "before");
    let kept: Vec<_> = yaml.lines().filter(|line| !line.contains("two")).collect();
    demo.rewrite(&kept.join("\n"));
    until("its series end", || {
        let (_, text) = get(demo.port, "/metrics")?;
        (!text.contains("\"two\"")).then_some(())
    });
    assert!(demo.metric(r#"rialto_source_received_total{source="one"}"#).is_some());
    assert_eq!(demo.bridge.stop(), 0);
}
