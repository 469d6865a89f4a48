//! The whole retry policy, pure: what an answer means for one message (docs/guarantees.md, "What counts as a try").

use std::time::{Duration, Instant};

use crate::{
    outcome::{End, Outcome, Proof, Reason, Refusal},
    route::{Backoff, DeliveryRules, NoReceivers},
};

/// What happened to a message.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Its broker answered.
    Answer(&'a Outcome),
    /// Nothing; time passed. Deadlines pass without any answer.
    Tick,
}

/// What the lane knows of a message's tries so far.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Tries that counted.
    pub counted: u32,
    /// Tries in all: what the back-off grows with.
    pub failures: u32,
    /// When `deadline` passes, where one is written.
    pub deadline: Option<Instant>,
    /// The lane's breaker is open: the destination fails, not the message, and nothing counts.
    pub breaker_open: bool,
}

/// What to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It ended.
    Settle(End),
    /// Try it again at this time; `counted` where this was one of `max_errors`.
    RetryAt {
        /// The time.
        at: Instant,
        /// It counts.
        counted: bool,
        /// Why it failed.
        reason: Reason,
    },
    /// To its dead letter.
    DeadLetter(Reason),
    /// The destination, not the message: the lane waits until then and begins with this message.
    PauseLane {
        /// Until when.
        until: Instant,
        /// Why, for the alarm.
        reason: Reason,
    },
    /// Send it again at once, before anything new.
    Again,
    /// Go on waiting.
    Wait,
}

/// A lane that the destination itself pauses tries again after this, growing to [`PAUSE_MAX`].
pub(super) const PAUSE_INITIAL: Duration = Duration::from_millis(250);

/// G14: when a broker returns, flow resumes within 5 s.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(4);

/// An endpoint that says it is gone (410) is asked again after this, in case it was said in error.
const GONE_FOR: Duration = Duration::from_secs(60);

/// Decides. `dice` is uniform over all of `u64`; the same arguments give the same step.
pub fn next_step(event: Event<'_>, trial: &Trial, rules: &DeliveryRules, now: Instant, dice: u64) -> Step {
    let step = match event {
        Event::Tick => Step::Wait,
        Event::Answer(Outcome::Delivered(Proof::Receivers(0))) => return unheard(trial, rules, now, dice),
        Event::Answer(Outcome::Delivered(proof)) => return Step::Settle(End::Delivered(*proof)),
        Event::Answer(Outcome::Throttled { after, .. }) => pause(Reason::Throttled, *after, trial, now, dice),
        Event::Answer(Outcome::Unknown(reason)) => uncounted(*reason, trial, now, dice),
        Event::Answer(Outcome::Unsent) => Step::Again,
        Event::Answer(Outcome::Refused(refusal)) => refused(refusal, trial, rules, now, dice),
    };
    match (step, trial.deadline) {
        (Step::Wait | Step::Again | Step::RetryAt { .. } | Step::PauseLane { .. }, Some(deadline)) if deadline <= now => {
            Step::DeadLetter(Reason::Deadline)
        }
        (step, _) => step,
    }
}

fn unheard(trial: &Trial, rules: &DeliveryRules, now: Instant, dice: u64) -> Step {
    match rules.on_no_receivers {
        NoReceivers::Ok => Step::Settle(End::Delivered(Proof::Receivers(0))),
        NoReceivers::DeadLetter => Step::DeadLetter(Reason::Unheard),
        NoReceivers::Retry => counted(Reason::Unheard, trial, rules, now, dice),
        NoReceivers::Park if trial.deadline.is_some_and(|deadline| deadline <= now) => Step::DeadLetter(Reason::Deadline),
        NoReceivers::Park => {
            Step::RetryAt { at: now + jittered(rules.backoff, trial.failures, dice), counted: false, reason: Reason::Unheard }
        }
    }
}

fn refused(refusal: &Refusal, trial: &Trial, rules: &DeliveryRules, now: Instant, dice: u64) -> Step {
    match refusal.reason {
        // Who we are, or where it goes, is wrong for every message of the lane: nothing is dead-lettered for it.
        Reason::Gone => pause(Reason::Gone, Some(GONE_FOR), trial, now, dice),
        Reason::Unauthenticated | Reason::Dns | Reason::Tls => pause(refusal.reason, None, trial, now, dice),
        Reason::Forbidden | Reason::Unroutable if !rules.templated => pause(refusal.reason, None, trial, now, dice),
        Reason::Final | Reason::TooLarge if !rules.last_resort => Step::DeadLetter(refusal.reason),
        Reason::Throttled => pause(Reason::Throttled, None, trial, now, dice),
        Reason::Link => uncounted(Reason::Link, trial, now, dice),
        reason => counted(reason, trial, rules, now, dice),
    }
}

/// A try of `max_errors`; the last one goes to the dead letter.
fn counted(reason: Reason, trial: &Trial, rules: &DeliveryRules, now: Instant, dice: u64) -> Step {
    let counted = !trial.breaker_open && !rules.last_resort;
    if counted && rules.max_errors.is_some_and(|max| trial.counted + 1 >= max) {
        return Step::DeadLetter(reason);
    }
    Step::RetryAt { at: now + jittered(rules.backoff, trial.failures, dice), counted, reason }
}

fn uncounted(reason: Reason, trial: &Trial, now: Instant, dice: u64) -> Step {
    Step::RetryAt { at: now + pause_length(trial, dice), counted: false, reason }
}

fn pause(reason: Reason, after: Option<Duration>, trial: &Trial, now: Instant, dice: u64) -> Step {
    Step::PauseLane { until: now + after.unwrap_or_else(|| pause_length(trial, dice)), reason }
}

fn pause_length(trial: &Trial, dice: u64) -> Duration {
    let ceiling = PAUSE_INITIAL.saturating_mul(1 << trial.failures.min(10)).min(PAUSE_MAX);
    // Half fixed, half jitter: a pause of nothing would be a hot loop.
    ceiling / 2 + fraction(ceiling / 2, dice)
}

/// The delay before try `failures + 1`: uniform in `0..=min(max, initial × 2^failures)`, the "full jitter" of Brooker,
/// *Exponential Backoff and Jitter* (AWS, 2015).
fn jittered(backoff: Backoff, failures: u32, dice: u64) -> Duration {
    let ceiling = backoff.initial.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(backoff.max);
    if backoff.jitter { fraction(ceiling, dice) } else { ceiling }
}

fn fraction(whole: Duration, dice: u64) -> Duration {
    whole.mul_f64(dice as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> DeliveryRules {
        DeliveryRules { max_errors: Some(5), ..DeliveryRules::default() }
    }

    fn refusal(reason: Reason) -> Outcome {
        Outcome::Refused(Refusal { reason, detail: String::new() })
    }

    fn step(outcome: &Outcome, trial: &Trial, rules: &DeliveryRules) -> Step {
        next_step(Event::Answer(outcome), trial, rules, Instant::now(), 7)
    }

    #[test]
    fn a_refusal_counts_up_to_the_last_try_then_goes_to_the_dead_letter() {
        for counted in 0..4 {
            let trial = Trial { counted, ..Trial::default() };
            assert!(matches!(step(&refusal(Reason::Refused), &trial, &rules()), Step::RetryAt { counted: true, .. }));
        }
        let trial = Trial { counted: 4, ..Trial::default() };
        assert_eq!(step(&refusal(Reason::Refused), &trial, &rules()), Step::DeadLetter(Reason::Refused));
    }

    #[test]
    fn what_is_the_destinations_fault_never_counts() {
        let last = Trial { counted: 4, ..Trial::default() };
        for outcome in [
            Outcome::Throttled { after: None, detail: String::new() },
            refusal(Reason::Unauthenticated),
            refusal(Reason::Forbidden),
            refusal(Reason::Unroutable),
        ] {
            assert!(matches!(step(&outcome, &last, &rules()), Step::PauseLane { .. }), "{outcome:?}");
        }
        assert!(matches!(step(&Outcome::Unknown(Reason::Link), &last, &rules()), Step::RetryAt { counted: false, .. }));
        let open = Trial { breaker_open: true, ..last };
        assert!(matches!(step(&refusal(Reason::Refused), &open, &rules()), Step::RetryAt { counted: false, .. }));
    }

    #[test]
    fn a_missing_templated_address_is_the_messages_fault() {
        let templated = DeliveryRules { templated: true, ..rules() };
        for reason in [Reason::Unroutable, Reason::Forbidden] {
            assert!(matches!(step(&refusal(reason), &Trial::default(), &templated), Step::RetryAt { counted: true, .. }));
        }
    }

    #[test]
    fn what_cannot_get_better_is_dead_at_once_but_never_on_the_last_resort() {
        for reason in [Reason::Final, Reason::TooLarge] {
            assert_eq!(step(&refusal(reason), &Trial::default(), &rules()), Step::DeadLetter(reason));
            let grave = DeliveryRules { last_resort: true, max_errors: None, ..rules() };
            assert!(matches!(step(&refusal(reason), &Trial::default(), &grave), Step::RetryAt { .. }));
        }
    }

    #[test]
    fn a_deadline_ends_retries_pauses_and_waiting_but_not_a_delivery() {
        let late = Trial { deadline: Some(Instant::now()), ..Trial::default() };
        let dead = Step::DeadLetter(Reason::Deadline);
        assert_eq!(step(&refusal(Reason::Unauthenticated), &late, &rules()), dead);
        assert_eq!(step(&Outcome::Unknown(Reason::Link), &late, &rules()), dead);
        assert_eq!(step(&Outcome::Unsent, &late, &rules()), dead);
        assert_eq!(next_step(Event::Tick, &late, &rules(), Instant::now(), 0), dead);
        assert_eq!(step(&Outcome::Delivered(Proof::Confirmed), &late, &rules()), Step::Settle(End::Delivered(Proof::Confirmed)));
    }

    #[test]
    fn nobody_listening_is_what_the_rules_say() {
        let unheard = Outcome::Delivered(Proof::Receivers(0));
        let with = |on_no_receivers| DeliveryRules { on_no_receivers, ..rules() };
        let trial = Trial::default();
        assert_eq!(step(&unheard, &trial, &with(NoReceivers::Ok)), Step::Settle(End::Delivered(Proof::Receivers(0))));
        assert!(matches!(step(&unheard, &trial, &with(NoReceivers::Retry)), Step::RetryAt { counted: true, .. }));
        assert!(matches!(step(&unheard, &trial, &with(NoReceivers::Park)), Step::RetryAt { counted: false, .. }));
        assert_eq!(step(&unheard, &trial, &with(NoReceivers::DeadLetter)), Step::DeadLetter(Reason::Unheard));
    }

    proptest! {
        #[test]
        fn a_delay_never_passes_its_ceiling(failures in 0_u32..100, dice in any::<u64>(), initial in 1_u64..10_000, max in 1_u64..600_000) {
            let backoff = Backoff { initial: Duration::from_millis(initial), max: Duration::from_millis(max), jitter: true };
            let ceiling = Duration::from_millis(max).min(Duration::from_millis(initial).saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)));
            prop_assert!(jittered(backoff, failures, dice) <= ceiling);
            let fixed = Backoff { jitter: false, ..backoff };
            prop_assert_eq!(jittered(fixed, failures, dice), ceiling);
        }
    }
}
