//! Keys, what was answered under them, and when they are free again.

use super::*;
use crate::{
    broker::http_server::answer::Told,
    outcome::{Reason, Refusal, Verdict},
};

fn accepted() -> Answer {
    Answer::one(&Told::Verdict(Verdict::Accepted), Some("id"))
}

fn refused() -> Answer {
    Answer::one(&Told::Verdict(Verdict::Rejected(Arc::new(Refusal::new(Reason::Unrouted, "no")))), Some("id"))
}

fn first(remembered: &Arc<Remembered>, key: &str, now: Instant) -> Turn {
    match remembered.see(key, &[b"body"], now) {
        Seen::First(turn) => turn,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_settled_key_is_answered_again_until_its_time_is_over() {
    let (remembered, now) = (Arc::new(Remembered::new(Duration::ZERO)), Instant::now());
    first(&remembered, "a", now).tell(&accepted(), now);
    assert!(matches!(remembered.see("a", &[b"body"], now), Seen::Settled(_)));
    assert!(matches!(remembered.see("a", &[b"another"], now), Seen::Other));
    assert!(matches!(remembered.see("a", &[b"bo", b"dy"], now), Seen::Other), "parts are told apart");
    drop(first(&remembered, "a", now + KEEP));
}

#[tokio::test]
async fn who_comes_while_it_runs_hears_the_same() {
    let (remembered, now) = (Arc::new(Remembered::new(Duration::ZERO)), Instant::now());
    let turn = first(&remembered, "a", now);
    let Seen::Running(mut answer) = remembered.see("a", &[b"body"], now) else { panic!("it runs") };
    turn.tell(&refused(), now);
    assert!(answer.wait_for(Option::is_some).await.is_ok());
    drop(first(&remembered, "a", now));
}

#[tokio::test]
async fn a_turn_that_is_dropped_leaves_the_key_free() {
    let (remembered, now) = (Arc::new(Remembered::new(Duration::ZERO)), Instant::now());
    let turn = first(&remembered, "a", now);
    let Seen::Running(mut answer) = remembered.see("a", &[b"body"], now) else { panic!("it runs") };
    drop(turn);
    assert!(answer.wait_for(Option::is_some).await.is_err(), "nothing is known");
    drop(first(&remembered, "a", now));
}

#[test]
fn keys_are_bounded_and_the_oldest_go_first() {
    let (remembered, now) = (Arc::new(Remembered::new(Duration::ZERO)), Instant::now());
    for key in 0..KEYS_MAX + 10 {
        first(&remembered, &key.to_string(), now).tell(&accepted(), now);
    }
    drop(first(&remembered, "0", now));
    assert!(remembered.lock().requests.len() <= KEYS_MAX + 1);
    assert!(matches!(remembered.see(&KEYS_MAX.to_string(), &[b"body"], now), Seen::Settled(_)));
}
