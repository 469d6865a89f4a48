//! The exposition holds exactly the documented names and labels.

use std::{collections::BTreeSet, time::UNIX_EPOCH};

use super::{LaneOutcome, Metrics, SourceAction, SourceState};
use crate::outcome::Reason;

/// As `docs/operations.md` prints them; a histogram is its base name here.
const DOCUMENTED: &[&str] = &[
    "rialto_build_info",
    "rialto_source_received_total",
    "rialto_source_settled_total",
    "rialto_source_released_total",
    "rialto_source_inflight_messages",
    "rialto_source_inflight_limit",
    "rialto_source_lag_messages",
    "rialto_source_state",
    "rialto_destination_routed_total",
    "rialto_destination_settled_total",
    "rialto_destination_pending_messages",
    "rialto_destination_parked_messages",
    "rialto_destination_oldest_seconds",
    "rialto_tries_total",
    "rialto_lane_paused",
    "rialto_route_stalled",
    "rialto_messages_unheard_total",
    "rialto_messages_duplicate_total",
    "rialto_route_duration_seconds",
    "rialto_publish_duration_seconds",
    "rialto_message_age_seconds",
    "rialto_broker_up",
    "rialto_broker_reconnects_total",
    "rialto_tls_certificate_expiry_timestamp_seconds",
    "rialto_config_last_reload_successful",
    "rialto_config_last_reload_success_timestamp_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
];

const LABELS: &[&str] =
    &["route", "source", "destination", "broker", "reason", "action", "outcome", "protocol", "state", "version", "revision", "le"];

fn everything_counted() -> Metrics {
    let metrics = Metrics::new();
    let source = metrics.source("orders");
    source.received(5);
    source.settled(SourceAction::Delivered, 3);
    source.released(1);
    source.inflight(1);
    source.state(SourceState::Running);
    let lane = metrics.lane("notify", "live");
    lane.routed(3);
    lane.settled(LaneOutcome::Delivered, 3);
    lane.try_failed(Reason::Timeout);
    lane.paused(Some(Reason::Unroutable));
    lane.publish_seconds(0.004);
    lane.age_seconds(2.0);
    lane.route_seconds(0.01);
    metrics.broker("mq").up(true);
    metrics.certificates("mq").own(1_800_000_000);
    metrics.reloaded(true, UNIX_EPOCH);
    metrics
}

fn series(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).and_then(|value| value.parse().ok())
}

#[test]
fn the_exposition_has_exactly_the_documented_names() {
    let text = everything_counted().encode().unwrap();
    let histograms: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram")).collect();
    let shown: BTreeSet<&str> = series(&text)
        .map(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            histograms.iter().find(|base| name.starts_with(**base)).copied().unwrap_or(name)
        })
        .collect();
    let documented: BTreeSet<&str> = DOCUMENTED.iter().copied().collect();
    assert_eq!(shown, documented);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn labels_are_of_the_closed_set() {
    let text = everything_counted().encode().unwrap();
    for line in series(&text) {
        let Some((_, rest)) = line.split_once('{') else { continue };
        for pair in rest.split_once('}').unwrap().0.split(',') {
            let key = pair.split_once('=').unwrap().0;
            assert!(LABELS.contains(&key), "{key} in {line}");
        }
    }
}

#[test]
fn counts_arrive_where_they_belong() {
    let text = everything_counted().encode().unwrap();
    assert_eq!(value(&text, r#"rialto_source_received_total{source="orders"}"#), Some(5.0));
    assert_eq!(value(&text, r#"rialto_source_settled_total{source="orders",action="delivered"}"#), Some(3.0));
    assert_eq!(value(&text, r#"rialto_source_settled_total{source="orders",action="rejected"}"#), Some(0.0));
    assert_eq!(value(&text, r#"rialto_source_released_total{source="orders"}"#), Some(1.0));
    assert_eq!(value(&text, r#"rialto_tries_total{route="notify",destination="live",reason="timeout"}"#), Some(1.0));
    assert_eq!(value(&text, r#"rialto_publish_duration_seconds_count{route="notify",destination="live"}"#), Some(1.0));
    assert_eq!(value(&text, r#"rialto_message_age_seconds_sum{route="notify"}"#), Some(2.0));
}

#[test]
fn every_settled_action_and_outcome_has_its_own_series() {
    let metrics = Metrics::new();
    let source = metrics.source("s");
    for (n, action) in (1..).zip(SourceAction::ALL) {
        source.settled(action, n);
    }
    let lane = metrics.lane("r", "d");
    for (n, outcome) in (1..).zip(LaneOutcome::ALL) {
        lane.settled(outcome, n);
    }
    let text = metrics.encode().unwrap();
    for (n, action) in (1..).zip(SourceAction::ALL) {
        let wanted = format!(r#"rialto_source_settled_total{{source="s",action="{}"}}"#, action.as_str());
        assert_eq!(value(&text, &wanted), Some(f64::from(n)), "{wanted}");
    }
    for (n, outcome) in (1..).zip(LaneOutcome::ALL) {
        let wanted = format!(r#"rialto_destination_settled_total{{route="r",destination="d",outcome="{}"}}"#, outcome.as_str());
        assert_eq!(value(&text, &wanted), Some(f64::from(n)), "{wanted}");
    }
}

#[test]
fn a_source_is_in_one_state() {
    let metrics = Metrics::new();
    let source = metrics.source("s");
    assert_eq!(source.current(), SourceState::Reconnecting);
    for state in SourceState::ALL {
        source.state(state);
        let text = metrics.encode().unwrap();
        let on: Vec<_> = series(&text).filter(|line| line.starts_with("rialto_source_state") && line.ends_with(" 1")).collect();
        assert_eq!(on, [format!(r#"rialto_source_state{{source="s",state="{}"}} 1"#, state.as_str())]);
        assert_eq!(metrics.sources(), [("s".into(), state)]);
    }
}

#[test]
fn a_pause_shows_its_reason_and_ends() {
    let metrics = Metrics::new();
    let lane = metrics.lane("r", "d");
    let shown = |reason: &str| {
        value(&metrics.encode().unwrap(), &format!(r#"rialto_lane_paused{{route="r",destination="d",reason="{reason}"}}"#))
    };
    assert_eq!(shown("unroutable"), None);
    lane.paused(Some(Reason::Unroutable));
    assert_eq!(shown("unroutable"), Some(1.0));
    lane.paused(Some(Reason::Forbidden));
    assert_eq!((shown("unroutable"), shown("forbidden")), (Some(0.0), Some(1.0)));
    lane.paused(None);
    assert_eq!((shown("unroutable"), shown("forbidden")), (Some(0.0), Some(0.0)));
}

#[test]
fn a_route_is_stalled_while_one_of_its_lanes_is() {
    let metrics = Metrics::new();
    let (one, two) = (metrics.lane("r", "one"), metrics.lane("r", "two"));
    one.stalled(true);
    two.stalled(true);
    one.stalled(false);
    assert_eq!(metrics.stalled_routes(), [std::sync::Arc::<str>::from("r")]);
    assert_eq!(value(&metrics.encode().unwrap(), r#"rialto_route_stalled{route="r"}"#), Some(1.0));
    two.stalled(false);
    assert!(metrics.stalled_routes().is_empty());
    assert_eq!(value(&metrics.encode().unwrap(), r#"rialto_route_stalled{route="r"}"#), Some(0.0));
}

#[test]
fn a_broker_is_up_while_every_link_that_spoke_is() {
    let metrics = Metrics::new();
    let (source, publisher, silent) = (metrics.broker("mq"), metrics.broker("mq"), metrics.broker("mq"));
    assert!(metrics.brokers().is_empty());
    source.up(false);
    assert_eq!(metrics.brokers(), [("mq".into(), false)]);
    source.up(true);
    publisher.up(true);
    assert_eq!(metrics.brokers(), [("mq".into(), true)]);
    publisher.up(false);
    publisher.up(false);
    assert_eq!(value(&metrics.encode().unwrap(), r#"rialto_broker_up{broker="mq"}"#), Some(0.0));
    drop(publisher);
    assert_eq!(metrics.brokers(), [("mq".into(), true)]);
    drop((source, silent));
    assert_eq!(metrics.brokers(), [("mq".into(), false)]);
}

#[test]
fn a_handle_asked_for_twice_counts_on() {
    let metrics = Metrics::new();
    metrics.source("s").received(1);
    metrics.source("s").received(1);
    metrics.lane("r", "d").routed(1);
    metrics.lane("r", "d").routed(1);
    let text = metrics.encode().unwrap();
    assert_eq!(value(&text, r#"rialto_source_received_total{source="s"}"#), Some(2.0));
    assert_eq!(value(&text, r#"rialto_destination_routed_total{route="r",destination="d"}"#), Some(2.0));
}

#[test]
fn what_a_reload_removed_leaves_no_series() {
    let metrics = everything_counted();
    metrics.retire_source("orders");
    metrics.retire_lane("notify", "live");
    let text = metrics.encode().unwrap();
    let left: Vec<_> = series(&text).filter(|line| line.contains("orders") || line.contains("notify")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_shows_true_figures() {
    let text = Metrics::new().encode().unwrap();
    let resident = value(&text, "process_resident_memory_bytes").unwrap();
    assert!((1e6..1e10).contains(&resident), "{resident}");
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let start = value(&text, "process_start_time_seconds").unwrap();
    assert!((now - start).abs() < 3600.0, "started {start}, now {now}");
    assert!(value(&text, "process_open_fds").unwrap() >= 3.0);
    assert!(value(&text, "process_cpu_seconds_total").is_some());
}

#[test]
fn the_certificate_that_ends_first_is_shown() {
    let metrics = Metrics::new();
    let shown = |at: i64| {
        let line = format!("rialto_tls_certificate_expiry_timestamp_seconds{{broker=\"mq\"}} {at}\n");
        assert!(metrics.encode().expect("text").contains(&line), "{line}");
    };
    let mq = metrics.certificates("mq");
    mq.server("a", 300);
    mq.own(200);
    shown(200);
    mq.server("b", 100);
    shown(100);
    // Renewed: a server's latest counts.
    metrics.certificates("mq").server("b", 900);
    mq.own(800);
    shown(300);
    // A crowd of names is bounded, and the soonest is kept.
    (0..1000).for_each(|n| mq.server(&n.to_string(), 1000 + n));
    shown(300);
    assert!(!metrics.encode().expect("text").contains("rialto_tls_certificate_expiry_timestamp_seconds{broker=\"live\"}"));
}
