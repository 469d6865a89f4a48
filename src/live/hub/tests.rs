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
