//! The probes' answers by state, over a real socket.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
};

use super::*;
use crate::telemetry::{Readiness, STUCK_AFTER};

struct Bridge {
    probes: Probes,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// A bridge whose clock began `ago`, with its probes on a free port.
fn bridge(readiness: Readiness, ago: Duration) -> Bridge {
    let metrics = Arc::new(Metrics::new());
    let began = Instant::now().checked_sub(ago).expect("the machine has run for longer");
    let health = Health::new(metrics.clone(), readiness, began);
    let probes = Probes::listen((Ipv4Addr::LOCALHOST, 0).into(), health.clone(), metrics.clone()).unwrap();
    Bridge { probes, health, metrics }
}

impl Bridge {
    /// Status, head and body of `GET path`.
    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.probes.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: rialto\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    fn status(&self, path: &str) -> u16 {
        self.get(path).0
    }
}

#[test]
fn a_starting_bridge_is_live_but_neither_started_nor_ready() {
    let bridge = bridge(Readiness::Process, Duration::ZERO);
    assert_eq!(bridge.status("/livez"), 200);
    assert_eq!(bridge.status("/startupz"), 503);
    assert_eq!(bridge.status("/readyz"), 503);
    bridge.health.started();
    assert_eq!(bridge.status("/startupz"), 200);
    assert_eq!(bridge.status("/readyz"), 200);
    assert_eq!(bridge.status("/healthz"), 200);
}

#[test]
fn a_draining_bridge_is_live_and_not_ready() {
    let bridge = bridge(Readiness::Process, Duration::ZERO);
    bridge.health.started();
    bridge.health.draining();
    let (status, _, body) = bridge.get("/readyz");
    assert_eq!((status, body.as_str()), (503, "[+] started: ok\n[-] accepting: shutting down\nfailed\n"));
    assert_eq!(bridge.status("/healthz"), 503);
    assert_eq!(bridge.status("/livez"), 200);
    assert_eq!(bridge.status("/startupz"), 200);
}

#[test]
fn a_stuck_pipeline_is_not_live() {
    let ago = STUCK_AFTER + Duration::from_secs(5);
    let bridge = bridge(Readiness::Process, ago);
    let beat = bridge.health.pipeline("orders", Instant::now().checked_sub(ago).unwrap());
    let (status, _, body) = bridge.get("/livez");
    assert_eq!(status, 503);
    assert!(body.starts_with("[-] pipeline orders: no sign of life for 3"), "{body}");
    beat.beat(Instant::now());
    assert_eq!(bridge.status("/livez"), 200);
}

#[test]
fn brokers_count_only_under_connected() {
    for (readiness, down) in [(Readiness::Process, 200), (Readiness::Connected, 503), (Readiness::Routes, 200)] {
        let bridge = bridge(readiness, Duration::ZERO);
        bridge.health.started();
        let link = bridge.metrics.broker("mq");
        link.up(false);
        assert_eq!(bridge.status("/readyz"), down, "{readiness:?}");
        link.up(true);
        assert_eq!(bridge.status("/readyz"), 200, "{readiness:?}");
    }
}

#[test]
fn stalled_routes_count_only_under_routes() {
    for (readiness, stalled) in [(Readiness::Process, 200), (Readiness::Connected, 200), (Readiness::Routes, 503)] {
        let bridge = bridge(readiness, Duration::ZERO);
        bridge.health.started();
        bridge.metrics.lane("notify", "live").stalled(true);
        assert_eq!(bridge.status("/readyz"), stalled, "{readiness:?}");
    }
}

#[test]
fn verbose_tells_what_does_not_decide() {
    let bridge = bridge(Readiness::Process, Duration::ZERO);
    bridge.health.started();
    let link = bridge.metrics.broker("mq");
    link.up(false);
    let (status, _, body) = bridge.get("/readyz?verbose");
    assert_eq!((status, body.as_str()), (200, "[+] started: ok\n[+] accepting: ok\n[ ] broker mq: not connected\nok\n"));
    assert_eq!(bridge.get("/readyz").2, "ok\n");
}

#[test]
fn metrics_come_as_openmetrics_and_version_as_json() {
    let bridge = bridge(Readiness::Process, Duration::ZERO);
    bridge.metrics.source("orders").received(7);
    let (status, head, body) = bridge.get("/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(body.contains("rialto_source_received_total{source=\"orders\"} 7\n"), "{body}");
    let (_, _, body) = bridge.get("/version");
    let version: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(bridge.status("/"), 404);
}

#[test]
fn a_port_in_use_names_its_key() {
    let bridge = bridge(Readiness::Process, Duration::ZERO);
    let taken = bridge.probes.address();
    let error = Probes::listen(taken, bridge.health.clone(), bridge.metrics.clone()).unwrap_err();
    assert_eq!(error.to_string(), format!("telemetry.listen: cannot listen on {taken}"));
}

#[test]
fn a_dropped_listener_is_closed() {
    let bridge = bridge(Readiness::Process, Duration::ZERO);
    let address = bridge.probes.address();
    drop(bridge.probes);
    assert!(TcpStream::connect(address).is_err());
}
