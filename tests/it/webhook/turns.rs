//! Who goes when: so many at once, those of a key one by one, nobody after a pause.

use std::{collections::BTreeMap, fs, time::Duration};

use futures_util::future::join_all;
use rialto::{
    broker::{Outgoing, standard_webhooks::Keys},
    outcome::{Outcome, Reason},
};
use tokio::time::timeout;

use super::{
    Rig, reason,
    server::{Answer, Endpoint, Post},
};
use crate::support::{self, PATIENCE, message};

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn no_more_are_on_the_wire_than_the_host_is_given_and_connections_are_kept() {
    let answer = |_: &Post, _| Answer::Late(Duration::from_millis(10));
    let mut rig = Rig::to(Endpoint::start(answer).await, "concurrency: 3").await;
    let messages: Vec<_> = (0..60).map(|n| message(format!("{n}"))).collect();
    let batch: Vec<_> = messages.iter().map(|message| ("", message)).collect();
    let outcomes = rig.send(&batch, LONG).await;
    assert!(outcomes.iter().all(|outcome| reason(outcome).is_none()));
    assert_eq!(rig.endpoint.busiest(), 3);
    assert_eq!(rig.endpoint.connections(), 3, "kept from request to request");
}

#[tokio::test]
async fn messages_of_a_key_arrive_in_their_order_over_batches_whatever_fails() {
    // Every seventh request is refused, so that retries mix with what waits.
    let answer = |_: &Post, before: usize| match before % 7 {
        3 => Answer::status(500),
        5 => Answer::Late(Duration::from_millis(3)),
        _ => Answer::status(200),
    };
    let mut rig = Rig::to(Endpoint::start(answer).await, "").await;
    let keys = ["a", "b", "c", "d"];
    let messages: Vec<_> = (0..400).map(|n| (keys[n % 4], message(format!("[\"{}\",{n}]", keys[n % 4])))).collect();
    let mut waiting: BTreeMap<&str, std::collections::VecDeque<_>> = BTreeMap::new();
    for (key, message) in &messages {
        waiting.entry(key).or_default().push_back(message);
    }
    // As the link worker does: a few of each key at a time, several batches at once; what is not delivered goes again, in order.
    while waiting.values().any(|queue| !queue.is_empty()) {
        let mut batches = Vec::new();
        for round in 0..3 {
            let batch: Vec<_> = waiting
                .iter()
                .flat_map(|(key, queue)| queue.iter().skip(2 * round).take(2).map(|message| (*key, *message)))
                .collect();
            batches.push(batch);
        }
        let mut confirms = Vec::new();
        for batch in &batches {
            let one = |(key, message)| Outgoing { key, ..support::outgoing(&rig.target, message, "in") };
            let out: Vec<_> = batch.iter().copied().map(one).collect();
            confirms.push(rig.link.send(&out).await.expect("a live link"));
        }
        let answers = timeout(PATIENCE, join_all(confirms)).await.expect("answers in time");
        let mut failed: Vec<&str> = Vec::new();
        for (batch, answers) in batches.iter().zip(answers) {
            for ((key, _), outcome) in batch.iter().zip(answers.expect("a live link")) {
                if matches!(outcome, Outcome::Delivered(_)) {
                    assert!(!failed.contains(key), "delivered behind a failure of its key");
                    waiting.get_mut(key).expect("a key").pop_front();
                } else {
                    failed.push(key);
                }
            }
        }
    }
    for key in keys {
        let mut seen: Vec<usize> = Vec::new();
        for text in rig.endpoint.texts().iter().filter(|text| text.contains(&format!("\"{key}\""))) {
            let number = text.trim_end_matches(']').rsplit(',').next().and_then(|number| number.parse().ok()).expect("a number");
            if seen.last() != Some(&number) {
                seen.push(number);
            }
        }
        assert!(seen.is_sorted() && seen.len() == 100, "{key}: {seen:?}");
    }
}

#[tokio::test]
async fn what_pauses_the_destination_is_said_once_to_the_server_and_to_all_that_wait() {
    for (status, due) in [(429, Reason::Throttled), (503, Reason::Throttled), (401, Reason::Unauthenticated), (410, Reason::Gone)] {
        let answer = move |_: &Post, _| Answer::Status(status, vec![("retry-after", "7".into())]);
        let mut rig = Rig::to(Endpoint::start(answer).await, "concurrency: 2").await;
        let messages: Vec<_> = (0..20).map(|n| message(format!("{n}"))).collect();
        let batch: Vec<_> = messages.iter().map(|message| ("", message)).collect();
        let outcomes = rig.send(&batch, LONG).await;
        assert!(outcomes.iter().all(|outcome| reason(outcome) == Some(due)), "{outcomes:?}");
        assert!(rig.endpoint.posts().len() <= 2, "asked {} times", rig.endpoint.posts().len());
        if due == Reason::Throttled {
            let due = Some(Duration::from_secs(7));
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Throttled { after, .. } if *after == due)));
        }
    }
}

#[tokio::test]
async fn a_token_is_read_anew_after_a_401_and_a_secret_when_its_file_changes() {
    const OLD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const NEW: &str = "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    let folder = tempfile::tempdir().expect("a directory");
    let place = |name: &str| folder.path().join(name);
    fs::write(place("token"), "old\n").expect("written");
    fs::write(place("secret"), OLD).expect("written");
    let answer = |post: &Post, _| Answer::status(if post.header("authorization") == Some("Bearer new") { 200 } else { 401 });
    let further = format!(
        "token_file: {}, sign: {{ standard_webhooks: {{ secret_files: [{}] }} }}",
        place("token").display(),
        place("secret").display()
    );
    let mut rig = Rig::to(Endpoint::start(answer).await, &further).await;
    assert_eq!(reason(&rig.one(LONG).await), Some(Reason::Unauthenticated));
    fs::write(place("token"), "new\n").expect("written");
    fs::write(place("secret"), format!("{OLD}\n{NEW}\n")).expect("written");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(reason(&rig.one(LONG).await), None);
    let posts = rig.endpoint.posts();
    let verified = |post: &Post, secret: &str| {
        let header = |name: &str| post.header(name).unwrap_or_default().to_owned();
        let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let keys = Keys::parse(secret).expect("a secret");
        keys.verify(&id, &at, &signature, &post.body, at.parse().expect("seconds"), Duration::ZERO).is_ok()
    };
    assert!(verified(&posts[0], OLD) && !verified(&posts[0], NEW));
    assert!(verified(&posts[1], OLD) && verified(&posts[1], NEW), "while they are rotated, both hold");
}

#[tokio::test]
async fn a_hostile_path_never_reaches_the_server() {
    let mut rig = Rig::to(Endpoint::content().await, "").await;
    let one = message("{}");
    for address in ["..", "a/../../admin", "%2e%2e/admin", "//evil.example/x", "a//b"] {
        let outcomes = support::send(&mut *rig.link, &[support::outgoing(&rig.target, &one, address)]).await;
        assert_eq!(reason(&outcomes[0]), Some(Reason::Final), "{address}");
    }
    assert!(rig.endpoint.posts().is_empty());
}
