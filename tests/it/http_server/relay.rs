//! From one bridge to another by webhook: a bare payload keeps what was said of it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    cli::{Place, until},
    redis::{Server, free_port},
};

/// The status of a `POST` of a body with headers.
fn post(port: u16, headers: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let length = body.len();
    let head = format!("POST /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all((head + body).as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.get(9..12).map(str::to_owned)
}

#[test]
fn a_payload_keeps_its_name_type_and_id_from_bridge_to_bridge() {
    let (server, first, second) = (Server::start(&[]), free_port(), free_port());
    let near = Place::with(&format!(
        r#"
telemetry: off
brokers:
  web: {{ http_server: {{ listen: "127.0.0.1:{first}" }} }}
  other: {{ webhook: {{ url: "http://127.0.0.1:{second}/hooks" }} }}
routes:
  - {{ from: web/events, to: {{ broker: other, path: "", envelope: payload }} }}
"#
    ));
    let far = Place::with(&format!(
        r#"
telemetry: off
brokers:
  web: {{ http_server: {{ listen: "127.0.0.1:{second}" }} }}
  live: {}
routes:
  - {{ from: web/hooks, to: {{ broker: live, stream: out }} }}
"#,
        server.url()
    ));
    let (mut far, mut near) = (far.start(&["run"]), near.start(&["run"]));
    let body = r#"{"message_type":"domain event","message_name":"Größe 100 %","message_id":"2026.07/ü","payload":{"n":1.00}}"#;
    let status = until("both listen", || post(first, "Correlation-Id: order 7\r\n", body).filter(|status| status != "503"));
    assert_eq!(status, "200", "{}{}", near.err(), far.err());
    let entries: Vec<(String, BTreeMap<String, String>)> = server.run(&["XRANGE", "out", "-", "+"]);
    let [(_, fields)] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(fields["body"], body);
    assert_eq!(fields["message_id"], "2026.07/ü");
    assert_eq!(fields["correlation_id"], "order 7");
    assert!(!fields.keys().any(|name| name.starts_with("rialto-message-")), "{fields:?}");
    assert_eq!((near.stop(), far.stop()), (0, 0));
}
