//! What a dead letter in others' words needs to know of its record.

use std::borrow::Cow;

use super::Scene;
use crate::{
    conformance::kafka::put,
    support::{Running, accept},
};

#[tokio::test]
async fn a_record_knows_the_group_it_was_read_for() {
    let scene = Scene::with(1).await;
    put(&scene.topic, 0, &["{}".to_owned()]).await;
    let mut running = Running::open(&*scene.origin(""), 10).await;
    let arrival = running.next().await;
    let group = arrival.batch[0].carrier.word("group").map(Cow::into_owned);
    assert_eq!(group.as_deref(), Some(scene.topic.as_str()));
    accept(&arrival);
    running.close().await.expect("a clean end");
}
