//! The hub as its subscribers see it.

use std::time::Duration;

use super::*;

fn pattern(glob: &'static str) -> Topic {
    Topic::Pattern(Bytes::from_static(glob.as_bytes()))
}

fn publish(hub: &Hub, channel: &'static str, body: &'static str) -> Heard {
    hub.publish(Bytes::from_static(channel.as_bytes()), Bytes::from_static(body.as_bytes()), "")
}

#[tokio::test]
async fn a_message_goes_to_every_subscription_that_matches_and_is_counted_as_redis_counts() {
    let hub = Hub::new(7);
    let (mut one, mut two) = (hub.subscriber(1 << 20), hub.subscriber(1 << 20));
    one.subscribe(pattern("app:*"));
    one.subscribe(Topic::Channel("app:x".into()));
    two.subscribe(pattern("other:*"));
    let heard = publish(&hub, "app:x", "1");
    assert_eq!((heard.receivers, heard.seq.to_string()), (2, "7-1".to_owned()));
    assert_eq!(one.next().await.unwrap().len(), 2);
    assert!(tokio::time::timeout(Duration::from_millis(10), two.next()).await.is_err());
    drop(one);
    assert_eq!(publish(&hub, "app:x", "2").receivers, 0);
    assert_eq!(hub.subscriptions(), 1);
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_once_and_hears_of_a_hole() {
    let hub = Hub::new(7);
    for body in ["1", "2", "3"] {
        publish(&hub, "c", body);
    }
    let mut back = hub.subscriber(1 << 20);
    assert_eq!(back.subscribe_since(pattern("*"), Seq { epoch: 7, number: 1 }), None);
    publish(&hub, "c", "4");
    let bodies: Vec<_> = back.next().await.unwrap().into_iter().map(|delivery| delivery.message.body.clone()).collect();
    assert_eq!(bodies, ["2", "3", "4"]);
    let mut stranger = hub.subscriber(1 << 20);
    assert!(stranger.subscribe_since(pattern("*"), Seq { epoch: 6, number: 900 }).is_some(), "another life");
}

#[tokio::test]
async fn a_slow_subscriber_is_cut_off_and_others_are_not() {
    let hub = Hub::new(7);
    let (mut slow, mut quick) = (hub.subscriber(200), hub.subscriber(1 << 20));
    slow.subscribe(pattern("*"));
    quick.subscribe(pattern("*"));
    for _ in 0..10 {
        publish(&hub, "c", "a message of some length");
    }
    assert_eq!(slow.next().await.unwrap_err(), Overflowed);
    assert_eq!(quick.next().await.unwrap().len(), 10);
}

/// The index looks only at patterns whose beginning fits; trying every pattern must find the same.
#[test]
fn the_index_finds_what_trying_every_pattern_finds() {
    use proptest::{collection::vec, prelude::*, sample::select};
    let text = |letters: &'static [u8], longest| vec(select(letters.to_vec()), 0..=longest);
    proptest!(|(globs in vec(text(b"aab*?[\\-]", 6), 1..30), channels in vec(text(b"ab-]", 6), 1..10))| {
        let hub = Hub::new(7);
        let mut subscriber = hub.subscriber(1 << 20);
        for glob in &globs {
            subscriber.subscribe(Topic::Pattern(glob.clone().into()));
        }
        for channel in &channels {
            let due = subscriber.topics().iter().filter(|topic| topic.takes(channel)).count();
            let heard = hub.publish(channel.clone().into(), Bytes::new(), "");
            prop_assert_eq!(heard.receivers, due as u64, "{:?}", channel);
        }
        for glob in &globs {
            subscriber.unsubscribe(&Topic::Pattern(glob.clone().into()));
        }
        prop_assert_eq!((hub.subscriptions(), hub.patterns()), (0, 0));
    });
}

#[test]
fn only_the_empty_glob_matches_the_empty_channel() {
    assert!(matches(b"", b"") && !matches(b"*", b"") && matches(b"*", b"a") && matches(b"a*", b"a"));
}

/// Who missed more than the ring holds is told where the hole is.
#[tokio::test]
async fn the_ring_forgets_the_oldest_and_says_so() {
    let hub = Hub::new(7);
    for _ in 0..20 {
        hub.publish("c".into(), vec![b'x'; 1 << 20].into(), "");
    }
    let mut back = hub.subscriber(64 << 20);
    let gap = back.subscribe_since(pattern("*"), Seq { epoch: 7, number: 1 }).expect("a hole");
    let kept = back.next().await.unwrap().len() as u64;
    assert_eq!((gap.from.number, gap.to.number), (2, 20 - kept));
    assert!((14..=16).contains(&kept), "{kept} MiB kept");
}

#[test]
fn a_subscriber_has_bounds() {
    let hub = Hub::new(7);
    let mut subscriber = hub.subscriber(1 << 20);
    assert_eq!(subscriber.has_room_for(&Topic::Channel(vec![b'x'; 4097].into())), Err(TooMuch::Name));
    for number in 0..256_u32 {
        let mut name = vec![b'x'; 4096];
        name[..4].copy_from_slice(&number.to_be_bytes());
        let topic = Topic::Channel(name.into());
        assert_eq!(subscriber.has_room_for(&topic), Ok(()));
        subscriber.subscribe(topic);
    }
    assert_eq!(subscriber.has_room_for(&Topic::Channel("y".into())), Err(TooMuch::Topics));
    let known = subscriber.topics().first().expect("a topic").clone();
    assert_eq!(subscriber.has_room_for(&known), Ok(()), "it has this one already");
    subscriber.unsubscribe(&known);
    assert_eq!(subscriber.has_room_for(&Topic::Channel("y".into())), Ok(()));
}

#[tokio::test]
async fn many_topics_that_take_all_do_not_multiply_the_ring() {
    let hub = Hub::new(7);
    for _ in 0..10_000 {
        publish(&hub, "c", "x");
    }
    let mut greedy = hub.subscriber(1 << 20);
    for stars in 1..=10 {
        greedy.subscribe_since(Topic::Pattern("*".repeat(stars).into()), Seq { epoch: 7, number: 0 });
    }
    assert_eq!(greedy.next().await.unwrap_err(), Overflowed);
}
