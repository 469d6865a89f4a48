//! What becomes of a batch, by what the namespace answers.

use rialto::outcome::{Outcome, Reason};

use super::{Namespace, Rig, reason};
use crate::webhook::server::Answer;

#[tokio::test]
async fn a_batch_is_one_request_and_201_delivers_all_of_it() {
    let mut rig = Rig::to(Namespace::start().await).await;
    let outcomes = rig.send(&["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))), "{outcomes:?}");
    assert_eq!(rig.namespace.posts().len(), 1);
    let bodies: Vec<_> = rig.namespace.messages("orders").iter().map(super::namespace::Message::body).collect();
    assert_eq!(bodies, [b"{\"n\":1}", b"{\"n\":2}", b"{\"n\":3}"]);
}

#[tokio::test]
async fn a_session_and_a_key_go_with_their_message() {
    let mut rig = Rig::to(Namespace::start().await).await;
    let outcome = rig.one(|out| rialto::broker::Outgoing { key: "customer-7", ..out }).await;
    assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    let message = rig.namespace.messages("orders").remove(0);
    assert_eq!((message.broker("PartitionKey"), message.broker("SessionId")), (Some("customer-7"), None));
}

#[tokio::test]
async fn a_missing_queue_is_unroutable() {
    for status in [404, 410] {
        let mut rig = Rig::to(Namespace::answering(move |_, _| Answer::status(status)).await).await;
        let outcomes = rig.send(&["1", "2"]).await;
        assert!(outcomes.iter().all(|outcome| reason(outcome) == Some(Reason::Unroutable)), "{outcomes:?}");
    }
}
