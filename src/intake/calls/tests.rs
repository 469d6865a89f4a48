//! Callers and their verdicts, through a real feed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::{
    envelope::Bare,
    intake::{Arrival, Closer, Door},
    outcome::{Reason, Refusal},
    telemetry::Metrics,
};

fn messages(bodies: &[&'static str]) -> Vec<RawMessage> {
    bodies.iter().map(|body| RawMessage { body: Bytes::from_static(body.as_bytes()), carrier: Arc::new(Bare) }).collect()
}

struct Bench {
    caller: Caller,
    arrivals: mpsc::Receiver<Arrival>,
    closer: Closer,
    serving: tokio::task::JoinHandle<FeedEnd>,
}

fn bench(window: usize) -> Bench {
    let (door, arrivals) = Door::new(window, 1 << 20, false, Metrics::new().source("s"));
    let (intake, closer) = door.intake();
    let (caller, calls) = calls(4);
    let serving = tokio::spawn(async move { calls.serve(&intake).await });
    Bench { caller, arrivals, closer, serving }
}

fn call(bench: &Bench, bodies: &[&'static str]) -> tokio::task::JoinHandle<Result<Vec<Verdict>, Unanswered>> {
    let (caller, messages) = (bench.caller.clone(), messages(bodies));
    tokio::spawn(async move { caller.call(messages).await })
}

fn rejected() -> Verdict {
    Verdict::Rejected(Arc::new(Refusal::new(Reason::Undecodable, "not JSON")))
}

#[tokio::test]
async fn each_caller_hears_of_its_own_messages_in_their_order() {
    let mut bench = bench(10);
    let first = call(&bench, &["a", "b"]);
    let one = bench.arrivals.recv().await.unwrap();
    let second = call(&bench, &["c"]);
    let two = bench.arrivals.recv().await.unwrap();
    // The later call is settled first, and need not wait for the earlier one.
    two.ticket.settle(0, rejected());
    assert_eq!(second.await.unwrap(), Ok(vec![rejected()]));
    one.ticket.settle(1, Verdict::Accepted);
    one.ticket.settle(0, rejected());
    assert_eq!(first.await.unwrap(), Ok(vec![rejected(), Verdict::Accepted]));
}

#[tokio::test]
async fn an_acceptance_behind_a_hole_is_told_at_once() {
    let mut bench = bench(10);
    let _held = call(&bench, &["a"]);
    let one = bench.arrivals.recv().await.unwrap();
    let second = call(&bench, &["b"]);
    let two = bench.arrivals.recv().await.unwrap();
    two.ticket.settle(0, Verdict::Accepted);
    let told = tokio::time::timeout(Duration::from_millis(100), second).await.expect("not after the hole's patience");
    assert_eq!(told.unwrap(), Ok(vec![Verdict::Accepted]));
    drop(one);
}

#[tokio::test]
async fn a_closing_intake_refuses_who_waits_and_answers_who_was_taken() {
    let mut bench = bench(1);
    let taken = call(&bench, &["a"]);
    let one = bench.arrivals.recv().await.unwrap();
    let waiting = call(&bench, &["b"]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.closer.close();
    assert_eq!(waiting.await.unwrap(), Err(Unanswered));
    one.ticket.settle(0, Verdict::Accepted);
    assert_eq!(taken.await.unwrap(), Ok(vec![Verdict::Accepted]));
    assert_eq!(bench.serving.await.unwrap(), FeedEnd::Drained);
    assert!(bench.caller.is_closed());
}

#[tokio::test]
async fn who_gave_up_before_its_messages_were_taken_is_not_delivered_behind_its_back() {
    let mut bench = bench(1);
    let taken = call(&bench, &["a"]);
    let one = bench.arrivals.recv().await.unwrap();
    let given_up = call(&bench, &["b"]);
    let patient = call(&bench, &["c"]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    one.ticket.settle(0, Verdict::Accepted);
    assert_eq!(taken.await.unwrap(), Ok(vec![Verdict::Accepted]));
    let next = bench.arrivals.recv().await.unwrap();
    assert_eq!((next.batch.len(), &*next.batch[0].body), (1, &b"c"[..]));
    next.ticket.settle(0, Verdict::Accepted);
    assert_eq!(patient.await.unwrap(), Ok(vec![Verdict::Accepted]));
}

#[tokio::test]
async fn an_abandoned_message_leaves_its_caller_unanswered() {
    let mut bench = bench(10);
    let taken = call(&bench, &["a"]);
    drop(bench.arrivals.recv().await.unwrap());
    assert_eq!(taken.await.unwrap(), Err(Unanswered));
    assert_eq!(bench.serving.await.unwrap(), FeedEnd::Abandoned);
}
