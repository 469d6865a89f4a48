//! The tracker against a model, and the halves of a feed against each other.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{tracker::HOLE_AGE_MAX, *};
use crate::{
    envelope::Bare,
    outcome::{
        Reason, Refusal,
        Verdict::{self, Accepted, Rejected},
    },
    telemetry::Metrics,
};

fn batch(messages: usize) -> Vec<RawMessage> {
    (0..messages).map(|_| RawMessage { body: "{}".into(), carrier: Arc::new(Bare) }).collect()
}

fn door(messages: usize) -> (Door, mpsc::Receiver<Arrival>) {
    Door::new(messages, 1 << 20, true, Metrics::new().source("test"))
}

#[derive(Debug, Clone)]
enum Move {
    Number(usize),
    Settle(prop::sample::Index, bool),
    Collect(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (1_usize..20).prop_map(Move::Number),
        (any::<prop::sample::Index>(), prop::bool::weighted(0.9)).prop_map(|(at, ok)| Move::Settle(at, ok)),
        (0_u64..400).prop_map(Move::Collect),
    ];
    prop::collection::vec(one, 1..200)
}

fn rejected() -> Verdict {
    Rejected(Arc::new(Refusal::new(Reason::Refused, "no")))
}

proptest! {
    /// What a broker is told, applied as a broker applies it (`multiple` settles all below), is exactly what was settled.
    #[test]
    fn tells_upstream_only_what_is_settled_and_each_once(moves in moves(), window in 1_usize..64) {
        let mut tracker = tracker::Tracker::new(window, true);
        let mut now = Instant::now();
        let mut verdicts: Vec<Option<Verdict>> = Vec::new();
        let mut told: Vec<Option<Verdict>> = Vec::new();
        for step in moves.into_iter().chain([Move::Collect(400), Move::Collect(400)]) {
            match step {
                Move::Number(messages) => {
                    prop_assert_eq!(tracker.number(messages), verdicts.len() as u64);
                    verdicts.resize(verdicts.len() + messages, None);
                    told.resize(verdicts.len(), None);
                }
                Move::Settle(at, accepted) if !verdicts.is_empty() => {
                    let at = at.index(verdicts.len());
                    let verdict = if accepted { Accepted } else { rejected() };
                    tracker.settle(at as u64, verdict.clone());
                    verdicts[at].get_or_insert(verdict);
                }
                Move::Settle(..) => {}
                Move::Collect(ms) => {
                    now += Duration::from_millis(ms);
                    let Some(settled) = tracker.collect(now) else { continue };
                    for (seq, verdict) in settled.alone {
                        prop_assert_eq!(verdicts[seq as usize].as_ref(), Some(&verdict), "told before it was settled");
                        prop_assert_eq!(told[seq as usize].replace(verdict), None, "told twice: the channel closes");
                    }
                    if let Some(through) = settled.through {
                        prop_assert_eq!(told[through as usize].as_ref(), None, "multiple through a number told alone closes the channel");
                        for seq in 0..=through as usize {
                            prop_assert!(verdicts[seq].is_some(), "multiple over an unsettled message loses it");
                            told[seq].get_or_insert(Accepted);
                        }
                    }
                    let prefix = verdicts.iter().take_while(|verdict| verdict.is_some()).count();
                    prop_assert_eq!(settled.prefix, prefix as u64);
                    prop_assert_eq!(settled.beyond, told[prefix..].iter().flatten().count());
                }
            }
        }
        // Two collections 250 ms apart leave nothing settled untold.
        prop_assert_eq!(told, verdicts);
    }
}

#[test]
fn acceptances_wait_for_a_young_hole_and_pass_an_old_one() {
    let mut tracker = tracker::Tracker::new(1000, true);
    let start = Instant::now();
    tracker.number(5);
    tracker.settle(0, Accepted);
    tracker.settle(3, Accepted);
    assert_eq!(tracker.collect(start), Some(Settled { alone: vec![], through: Some(0), prefix: 1, beyond: 0 }));
    assert_eq!(tracker.collect(start + HOLE_AGE_MAX / 2), None);
    assert_eq!(tracker.due(), Some(start + HOLE_AGE_MAX));
    assert_eq!(
        tracker.collect(start + HOLE_AGE_MAX),
        Some(Settled { alone: vec![(3, Accepted)], through: None, prefix: 1, beyond: 1 })
    );
    tracker.settle(1, Accepted);
    tracker.settle(2, Accepted);
    // 3 was told alone: `multiple` goes through 2, never through 3.
    assert_eq!(tracker.collect(start + HOLE_AGE_MAX), Some(Settled { alone: vec![], through: Some(2), prefix: 4, beyond: 0 }));
}

#[tokio::test]
async fn a_full_window_makes_the_source_wait_until_something_settles() {
    let (door, mut arrivals) = door(2);
    let (intake, _closer) = door.intake();
    let (mut offers, _receipts) = intake.open();
    offers.room().await.unwrap().offer(batch(2));
    let first = arrivals.recv().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), offers.room()).await.is_err());
    first.ticket.settle(1, Accepted);
    assert_eq!(offers.room().await.unwrap().messages(), 1);
}

#[tokio::test]
async fn a_window_full_of_parked_messages_makes_the_source_wait() {
    let (door, mut arrivals) = door(4);
    let (intake, _closer) = door.intake();
    let (mut offers, _receipts) = intake.open();
    offers.room().await.unwrap().offer(batch(2));
    let first = arrivals.recv().await.unwrap();
    first.ticket.park();
    first.ticket.park();
    assert!(door.blocked());
    assert!(tokio::time::timeout(Duration::from_millis(20), offers.room()).await.is_err());
    first.ticket.unpark();
    assert!(offers.room().await.is_ok());
}

#[tokio::test]
async fn a_ticket_dropped_without_verdict_means_not_delivered() {
    let (door, mut arrivals) = door(10);
    let (intake, _closer) = door.intake();
    let (mut offers, mut receipts) = intake.open();
    offers.room().await.unwrap().offer(batch(3));
    let arrival = arrivals.recv().await.unwrap();
    arrival.ticket.settle(0, Accepted);
    arrival.ticket.settle(2, Accepted);
    drop(arrival);
    // What is settled is told, also past the hole that will not close any more.
    assert_eq!(receipts.next().await, Ok(Settled { alone: vec![(2, Accepted)], through: Some(0), prefix: 1, beyond: 1 }));
    assert_eq!(receipts.next().await, Err(FeedEnd::Abandoned));
    assert_eq!(door.held(), 0);
}

#[tokio::test]
async fn a_closed_intake_drains() {
    let (door, mut arrivals) = door(10);
    let (intake, closer) = door.intake();
    let (mut offers, mut receipts) = intake.open();
    offers.room().await.unwrap().offer(batch(1));
    closer.close();
    assert_eq!(offers.room().await.unwrap_err(), IntakeClosed);
    drop(offers);
    let arrival = arrivals.recv().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), receipts.next()).await.is_err());
    arrival.ticket.settle(0, Accepted);
    assert_eq!(receipts.next().await.unwrap().through, Some(0));
    assert_eq!(receipts.next().await, Err(FeedEnd::Drained));
}

#[tokio::test]
async fn dropped_receipts_withdraw_what_is_unsettled() {
    let (door, mut arrivals) = door(10);
    let (intake, _closer) = door.intake();
    let (mut offers, receipts) = intake.open();
    offers.room().await.unwrap().offer(batch(1));
    let arrival = arrivals.recv().await.unwrap();
    assert!(!arrival.ticket.withdrawn());
    drop(receipts);
    assert!(arrival.ticket.withdrawn());
}
