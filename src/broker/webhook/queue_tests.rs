//! No message overtakes another of its key, whatever fails and in whatever order the answers come.

use proptest::prelude::*;

use super::*;
use crate::outcome::{Proof, Refusal};

type Waiting = oneshot::Receiver<Reply>;

/// A queue whose work is a name, and the batches that were handed over.
#[derive(Default)]
struct Rig {
    queue: Queue<&'static str>,
    batches: Vec<Waiting>,
}

impl Rig {
    /// Names say where they belong: `a1` is of chain `a`; a capital is of the second destination; `-1` has no key.
    fn send(&mut self, names: &[&'static str]) {
        let number = self.batches.len() as u64;
        let job = |(index, name): (usize, &&'static str)| {
            let key = name.as_bytes()[0];
            let place = usize::from(key.is_ascii_uppercase());
            let chain = (key != b'-').then_some(u64::from(key));
            Job { slip: Slip { batch: number, index, place, chain, templated: false }, work: *name }
        };
        let (reply, waiting) = oneshot::channel();
        self.queue.add(number, names.iter().enumerate().map(job).collect(), Vec::new(), reply);
        self.batches.push(waiting);
    }

    /// All that may go now.
    fn out(&mut self) -> Vec<Job<&'static str>> {
        std::iter::from_fn(|| self.queue.next()).collect()
    }

    fn names(&mut self) -> Vec<&'static str> {
        self.out().iter().map(|job| job.work).collect()
    }

    fn replied(&mut self, number: usize) -> Option<(Vec<Outcome>, bool)> {
        self.batches[number].try_recv().ok()
    }
}

const DELIVERED: Outcome = Outcome::Delivered(Proof::Confirmed);
const UNKNOWN: Outcome = Outcome::Unknown(Reason::Link);

fn refused(reason: Reason) -> Outcome {
    Outcome::Refused(Refusal::new(reason, ""))
}

fn throttled() -> Outcome {
    Outcome::Throttled { after: None, detail: String::new() }
}

#[test]
fn one_of_a_key_is_out_at_a_time_and_the_others_are_not_kept_waiting() {
    let mut rig = Rig::default();
    rig.send(&["a1", "a2", "b1", "-1"]);
    rig.send(&["a3", "-2"]);
    let first = rig.out();
    assert_eq!(first.iter().map(|job| job.work).collect::<Vec<_>>(), ["a1", "b1", "-1", "-2"]);
    rig.queue.answered(first[0].slip, DELIVERED);
    let second = rig.out();
    assert_eq!(second[0].work, "a2");
    assert_eq!(rig.replied(0), None);
    for job in first[1..].iter().chain(&second) {
        rig.queue.answered(job.slip, DELIVERED);
    }
    assert_eq!(rig.replied(0), Some((vec![DELIVERED; 4], false)));
    let third = rig.out();
    rig.queue.answered(third[0].slip, DELIVERED);
    assert_eq!(rig.replied(1), Some((vec![DELIVERED; 2], false)));
    assert!(rig.queue.is_empty() && rig.queue.chains.is_empty());
}

#[test]
fn a_refusal_holds_its_key_back_until_its_answer_is_seen_and_no_other() {
    let mut rig = Rig::default();
    rig.send(&["a1", "b1", "-1"]);
    rig.send(&["a2", "b2"]);
    let out = rig.out();
    rig.queue.answered(out[0].slip, refused(Reason::Refused));
    rig.queue.answered(out[1].slip, DELIVERED);
    let b2 = rig.out();
    assert_eq!(b2[0].work, "b2");
    rig.queue.answered(b2[0].slip, DELIVERED);
    assert_eq!(rig.replied(1), None, "the failure must be known before what it held back");
    rig.send(&["a3"]);
    assert!(rig.names().is_empty(), "handed over in ignorance");
    rig.queue.answered(out[2].slip, DELIVERED);
    assert_eq!(rig.replied(0), Some((vec![refused(Reason::Refused), DELIVERED, DELIVERED], true)));
    assert_eq!(rig.replied(1), Some((vec![UNKNOWN, DELIVERED], false)));
    assert_eq!(rig.replied(2), Some((vec![UNKNOWN], false)));
    rig.send(&["a4"]);
    assert!(rig.names().is_empty(), "answered, but not seen");
    rig.queue.seen(0);
    rig.send(&["a1"]);
    assert_eq!(rig.names(), ["a1"]);
}

#[test]
fn a_pause_holds_its_destination_back_with_the_same_words_and_no_other() {
    for pause in [throttled(), refused(Reason::Unauthenticated), refused(Reason::Gone), refused(Reason::Forbidden)] {
        let mut rig = Rig::default();
        rig.send(&["a1", "a2", "b1", "-1", "B1", "B2"]);
        let a1 = rig.queue.next().unwrap();
        rig.queue.answered(a1.slip, pause.clone());
        let others = rig.out();
        assert_eq!(others.iter().map(|job| job.work).collect::<Vec<_>>(), ["B1"]);
        rig.send(&["c1", "-2"]);
        assert!(rig.names().is_empty());
        rig.queue.answered(others[0].slip, DELIVERED);
        let b2 = rig.queue.next().unwrap();
        rig.queue.answered(b2.slip, DELIVERED);
        let due: Vec<_> = vec![pause.clone(); 4].into_iter().chain([DELIVERED, DELIVERED]).collect();
        assert_eq!(rig.replied(0), Some((due, true)));
        assert_eq!(rig.replied(1), Some((vec![pause; 2], false)));
        rig.queue.seen(0);
        rig.send(&["c1"]);
        assert_eq!(rig.names(), ["c1"]);
    }
}

#[test]
fn what_will_be_a_dead_letter_holds_nobody_back() {
    let mut rig = Rig::default();
    rig.send(&["a1", "a2"]);
    let a1 = rig.queue.next().unwrap();
    rig.queue.answered(a1.slip, refused(Reason::Final));
    assert_eq!(rig.names(), ["a2"]);
}

#[test]
fn two_failures_hold_until_both_are_seen() {
    let mut rig = Rig::default();
    rig.send(&["-1"]);
    rig.send(&["-2"]);
    let out = rig.out();
    rig.queue.answered(out[1].slip, throttled());
    rig.queue.answered(out[0].slip, throttled());
    rig.queue.seen(1);
    rig.send(&["-3"]);
    assert!(rig.names().is_empty());
    rig.queue.seen(0);
    rig.send(&["-4"]);
    assert_eq!(rig.names(), ["-4"]);
}

#[test]
fn a_link_that_is_down_answers_everybody_and_takes_no_answer_back() {
    let mut rig = Rig::default();
    rig.send(&["a1", "-1"]);
    rig.send(&["a2"]);
    let out = rig.out();
    rig.queue.answered(out[0].slip, DELIVERED);
    let a2 = rig.queue.next().unwrap();
    rig.queue.answered(a2.slip, DELIVERED);
    rig.queue.fail();
    assert_eq!(rig.replied(0), Some((vec![DELIVERED, UNKNOWN], false)), "else a1 would come again after a2");
    assert_eq!(rig.replied(1), Some((vec![DELIVERED], false)));
    assert!(rig.queue.is_empty());
}

#[test]
fn what_did_not_get_out_is_the_next() {
    let mut rig = Rig::default();
    rig.send(&["a1", "b1"]);
    let a1 = rig.queue.next().unwrap();
    rig.queue.put_back(a1);
    assert_eq!(rig.names(), ["a1", "b1"]);
}

proptest! {
    /// Batches, answers and their being seen in any order: of each key, what is delivered before its first failure is seen is a
    /// beginning of what was handed over; every batch is answered; nothing is left behind.
    #[test]
    fn nothing_overtakes(
        batches in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "C", "-"]), 1..6), 1..8),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 200),
    ) {
        let mut rig = Rig::default();
        let mut steps = steps.into_iter().cycle();
        let mut out: Vec<Job<&'static str>> = Vec::new();
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        let mut left = batches.into_iter();
        let mut sending = true;
        while sending || !out.is_empty() {
            let (pick, kind) = steps.next().unwrap();
            if kind < 3 || out.is_empty() {
                match left.next() {
                    Some(batch) => rig.send(&batch),
                    None => sending = false,
                }
            } else {
                let job = out.swap_remove(pick.index(out.len()));
                let outcome = match kind {
                    3 => refused(Reason::Refused),
                    4 => throttled(),
                    5 => refused(Reason::Final),
                    _ => DELIVERED,
                };
                match effect(&outcome, false) {
                    Effect::Chain if job.slip.chain.is_some() => failed.push(job.work),
                    Effect::None | Effect::Chain => {}
                    Effect::Place if job.slip.place == 0 => failed.extend(["a", "b", "-"]),
                    Effect::Place => failed.push("C"),
                }
                rig.queue.answered(job.slip, outcome);
            }
            for job in rig.out() {
                prop_assert!(!failed.contains(&job.work), "after a failure that nobody has seen");
                if let Some(chain) = job.slip.chain {
                    prop_assert!(!out.iter().any(|other| other.slip.chain == Some(chain)), "two of a key");
                }
                sent.push((job.work, job.slip.batch, job.slip.index));
                out.push(job);
            }
        }
        for key in ["a", "b", "C"] {
            let order: Vec<_> = sent.iter().filter(|(work, ..)| *work == key).map(|(_, batch, index)| (*batch, *index)).collect();
            prop_assert!(order.is_sorted(), "{key}: {order:?}");
        }
        for number in 0..rig.batches.len() {
            prop_assert!(rig.replied(number).is_some(), "batch {number} has no answer");
        }
        prop_assert!(rig.queue.is_empty() && rig.queue.chains.is_empty() && rig.queue.ready.is_empty());
    }
}
