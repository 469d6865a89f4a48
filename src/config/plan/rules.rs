//! How a destination's deliveries are tried, timed and ended, and for how long that can hold a message at its source.

use std::time::Duration;

use crate::{
    route::{Backoff, Breaker, DeliveryRules, NoReceivers, Ordering},
    written::{Millis, Node, Problems},
};

/// The rules of a destination that writes none.
pub(super) const DEFAULT: DeliveryRules = DeliveryRules::DEFAULT;

/// Reads the delivery keys of a destination. `ordering` is the route's; `templated` is known once the address is compiled.
pub(super) fn read(node: &Node, ordering: Ordering, faults: &mut Problems) -> DeliveryRules {
    let deadline = node.opt::<Millis>("deadline", faults).map(|deadline| deadline.0);
    let max_errors = node.opt::<u32>("max_errors", faults);
    let rules = DeliveryRules {
        max_errors: max_errors.or(if deadline.is_some() { None } else { DEFAULT.max_errors }),
        deadline,
        timeout: node.get("timeout", Millis(DEFAULT.timeout), faults).0,
        backoff: backoff(node, faults),
        breaker: breaker(node, faults),
        rate_limit: rate_limit(node, faults),
        on_no_receivers: no_receivers(node, faults),
        ordering,
        required: node.get("required", true, faults),
        templated: false,
        last_resort: false,
    };
    check(node, &rules, faults);
    rules
}

/// The rules of a dead-letter lane: it never gives up, and its source waits for it.
pub(super) fn dead_letter(node: &Node, faults: &mut Problems) -> DeliveryRules {
    let rules = DeliveryRules {
        max_errors: None,
        last_resort: true,
        timeout: node.get("timeout", Millis(DEFAULT.timeout), faults).0,
        backoff: backoff(node, faults),
        ..DEFAULT
    };
    above_zero(node, "timeout", rules.timeout, faults);
    rules
}

fn check(node: &Node, rules: &DeliveryRules, faults: &mut Problems) {
    above_zero(node, "timeout", rules.timeout, faults);
    if let Some(deadline) = rules.deadline {
        above_zero(node, "deadline", deadline, faults);
    }
    if rules.max_errors == Some(0) {
        let at = node.child("max_errors").unwrap_or(node).at();
        faults
            .fault(at, "`max_errors` is at least 1: the first try is one")
            .hint("1 sends a message to the dead letter at its first refusal");
    }
    if rules.on_no_receivers == NoReceivers::Park && rules.deadline.is_none() {
        let at = node.child("on_no_receivers").unwrap_or(node).at();
        faults
            .fault(at, "`on_no_receivers: park` needs a `deadline`: without one, a message that nobody hears is held for ever")
            .hint("`deadline: 10m`");
    }
}

fn above_zero(node: &Node, key: &'static str, value: Duration, faults: &mut Problems) {
    if value.is_zero() {
        faults.fault(node.child(key).unwrap_or(node).at(), format!("`{key}` must be longer than 0"));
    }
}

fn backoff(node: &Node, faults: &mut Problems) -> Backoff {
    let mut rules = DEFAULT.backoff;
    let Some(node) = node.child("backoff") else { return rules };
    rules.initial = node.get("initial", Millis(rules.initial), faults).0;
    rules.max = node.get("max", Millis(rules.max), faults).0;
    rules.jitter = node.choice("jitter", &[("full", true), ("none", false)], faults).unwrap_or(true);
    above_zero(node, "initial", rules.initial, faults);
    if rules.max < rules.initial {
        let at = node.child("max").or_else(|| node.child("initial")).unwrap_or(node).at();
        faults.fault(at, "`max` is shorter than `initial`");
    }
    node.finish(faults);
    rules
}

fn breaker(node: &Node, faults: &mut Problems) -> Breaker {
    let mut rules = DEFAULT.breaker;
    let Some(node) = node.child("breaker") else { return rules };
    rules.failures = node.get("failures", rules.failures, faults);
    rules.keys = node.get("keys", rules.keys, faults);
    rules.probe = node.get("probe", Millis(rules.probe), faults).0;
    above_zero(node, "probe", rules.probe, faults);
    for (key, value) in [("failures", rules.failures), ("keys", rules.keys)] {
        if value == 0 {
            faults.fault(node.child(key).unwrap_or(node).at(), format!("`{key}` is at least 1"));
        }
    }
    node.finish(faults);
    rules
}

fn no_receivers(node: &Node, faults: &mut Problems) -> NoReceivers {
    let words = [
        ("ok", NoReceivers::Ok),
        ("retry", NoReceivers::Retry),
        ("park", NoReceivers::Park),
        ("dead_letter", NoReceivers::DeadLetter),
    ];
    node.choice("on_no_receivers", &words, faults).unwrap_or_default()
}

/// Reads `500/s`, `30/m`, `10/h` as messages per second.
fn rate_limit(node: &Node, faults: &mut Problems) -> Option<f64> {
    let written = node.child("rate_limit")?;
    let rate = written.text().and_then(rate);
    if rate.is_none() {
        faults.fault(written.at(), "`rate_limit` is a number of messages and a time").hint("`500/s`, `30/m`, `10/h`");
    }
    rate
}

fn rate(text: &str) -> Option<f64> {
    let (count, unit) = text.split_once('/')?;
    let count: f64 = count.trim().parse().ok()?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    (count.is_finite() && count > 0.0).then_some(count / seconds)
}

/// The longest that these rules keep a message unsettled while its destination answers (an outage is not counted: the lane waits
/// for that, and its source is closed). Every delay at its ceiling, every try at its timeout; `deadline` ends it earlier.
pub(super) fn hold_max(rules: &DeliveryRules) -> Option<Duration> {
    let tries = rules.max_errors.map(|tries| tries_hold(rules, tries));
    match (tries, rules.deadline) {
        (Some(tries), Some(deadline)) => Some(tries.min(deadline)),
        (tries, deadline) => tries.or(deadline),
    }
}

fn tries_hold(rules: &DeliveryRules, tries: u32) -> Duration {
    let mut hold = rules.timeout.saturating_mul(tries);
    let mut delay = rules.backoff.initial.min(rules.backoff.max);
    for wait in 1..tries {
        if delay == rules.backoff.max {
            return hold.saturating_add(delay.saturating_mul(tries - wait));
        }
        hold = hold.saturating_add(delay);
        delay = delay.saturating_mul(2).min(rules.backoff.max);
    }
    hold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_hold_a_message_for_ninety_seconds() {
        // 5 tries of 15 s, and 1 + 2 + 4 + 8 s between them.
        assert_eq!(hold_max(&DEFAULT), Some(Duration::from_secs(90)));
    }

    #[test]
    fn many_tries_wait_at_the_longest_delay() {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(4), jitter: true };
        let rules = DeliveryRules { max_errors: Some(1_000_001), timeout: Duration::from_secs(1), backoff, ..DEFAULT };
        assert_eq!(hold_max(&rules), Some(Duration::from_secs(1_000_001 + 3 + 4 * 999_998)));
    }

    #[test]
    fn a_deadline_ends_the_tries_and_alone_bounds_them() {
        let deadline = Some(Duration::from_secs(30));
        assert_eq!(hold_max(&DeliveryRules { deadline, ..DEFAULT }), deadline);
        assert_eq!(hold_max(&DeliveryRules { deadline, max_errors: None, ..DEFAULT }), deadline);
        assert_eq!(hold_max(&DeliveryRules { max_errors: None, ..DEFAULT }), None);
    }

    #[test]
    fn rates_are_read_per_second() {
        assert_eq!(rate("500/s"), Some(500.0));
        assert_eq!(rate("30/m"), Some(0.5));
        assert_eq!(rate("3600 / h"), Some(1.0));
        for wrong in ["500", "0/s", "-1/s", "x/s", "5/d", "inf/s", ""] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }
}
