//! What a running bridge answers to those who watch it.

use super::{Place, get, metric, streams, until};
use crate::redis::{Server, free_port};

#[test]
fn a_bridge_is_live_started_and_ready_without_its_broker() {
    let port = free_port();
    let place = Place::with(&streams("redis://127.0.0.1:1", port));
    assert_eq!(place.rialto(&["health"]).code, 1, "nobody listens yet");
    let mut running = place.start(&["run"]);
    until("ready", || get(port, "/readyz").filter(|(status, _)| *status == 200));
    for page in ["/livez", "/startupz", "/healthz", "/version", "/metrics"] {
        assert_eq!(get(port, page).map(|(status, _)| status), Some(200), "{page}");
    }
    let verbose = until("the broker is known", || {
        get(port, "/readyz?verbose").filter(|(_, body)| body.contains("[ ] broker live: not connected"))
    });
    assert_eq!(verbose.0, 200, "readiness is the process's");
    assert_eq!(place.rialto(&["health"]).code, 0);
    assert_eq!(place.rialto(&["health", "--url", &format!("http://127.0.0.1:{port}/livez")]).code, 0);
    assert_eq!(metric(port, r#"rialto_broker_up{broker="live"}"#), Some(0.0));
    assert_eq!(running.stop(), 0);
    assert_eq!(place.rialto(&["health"]).code, 1);
}

#[test]
fn readiness_connected_follows_the_broker() {
    let port = free_port();
    let mut server = Server::start(&[]);
    let place = Place::with(&(streams(&server.url(), port) + "health: { readiness: connected }\n"));
    let mut running = place.start(&["run"]);
    until("connected", || get(port, "/readyz").filter(|(status, _)| *status == 200));
    server.kill();
    until("its loss is seen", || get(port, "/readyz").filter(|(status, _)| *status == 503));
    assert_eq!(place.rialto(&["health"]).code, 1);
    server.start_again();
    until("its return is seen", || get(port, "/readyz").filter(|(status, _)| *status == 200));
    assert_eq!(running.stop(), 0);
}

#[test]
fn counts_balance_for_a_source_and_its_destinations() {
    let port = free_port();
    let server = Server::start(&[]);
    let place = Place::with(&streams(&server.url(), port));
    let mut running = place.start(&["run"]);
    until("started", || get(port, "/startupz").filter(|(status, _)| *status == 200));
    for (kind, payload) in [("notification_event", "{}"), ("ecst_event", r#"{"region":"eu"}"#), ("domain_event", "{}")] {
        assert_eq!(place.rialto(&["publish", "orders", payload, "--type", kind]).code, 0);
    }
    let settled = |action: &str| metric(port, &format!(r#"rialto_source_settled_total{{source="orders",action="{action}"}}"#));
    until("all settled", || {
        let all: f64 =
            ["delivered", "dead_lettered", "filtered", "unrouted", "rejected", "dropped"].iter().filter_map(|it| settled(it)).sum();
        (all >= 3.0).then_some(())
    });
    assert_eq!(metric(port, r#"rialto_source_received_total{source="orders"}"#), Some(3.0));
    assert_eq!(settled("delivered"), Some(2.0));
    assert_eq!(metric(port, r#"rialto_source_inflight_messages{source="orders"}"#), Some(0.0));
    for route in ["notify", "store"] {
        let of = |name: &str, more: &str| metric(port, &format!(r#"{name}{{route="{route}",destination="live"{more}}}"#));
        assert_eq!(of("rialto_destination_routed_total", ""), Some(1.0), "{route}");
        assert_eq!(of("rialto_destination_settled_total", r#",outcome="delivered""#), Some(1.0), "{route}");
        assert_eq!(of("rialto_destination_pending_messages", ""), Some(0.0), "{route}");
    }
    assert_eq!(metric(port, r#"rialto_messages_unheard_total{route="notify",destination="live"}"#), Some(1.0));
    assert_eq!(running.stop(), 0);
}
