//! Publishing: one outcome a message, in order, whatever RabbitMQ answers.

use rialto::outcome::{Outcome, Proof, Reason};

use super::{Rabbit, unique};
use crate::support::{house, message, outgoing, send, target};

const DELIVERED: Outcome = Outcome::Delivered(Proof::Confirmed);

#[tokio::test]
async fn a_batch_arrives_in_order_byte_for_byte() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let target = target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let bodies: Vec<String> = (0..200).map(|n| format!("{{\"n\":{n},\"big\":1e400}}")).collect();
    let messages: Vec<_> = bodies.iter().map(|body| message(body.clone())).collect();
    let batch: Vec<_> = messages.iter().map(|message| outgoing(&target, message, &queue)).collect();
    assert_eq!(send(&mut *link, &batch).await, vec![DELIVERED; 200]);
    let found: Vec<_> = rabbit.drain(&queue).await.into_iter().map(|m| String::from_utf8(m.delivery.data).unwrap()).collect();
    assert_eq!(found, bodies);
    link.close().await;
}

#[tokio::test]
async fn an_unroutable_message_is_refused_and_its_neighbours_are_delivered() {
    let rabbit = Rabbit::connect().await;
    let (queue, exchange) = (rabbit.queue().await, rabbit.exchange(lapin::ExchangeKind::Direct).await);
    rabbit.bind(&queue, &exchange, "yes").await;
    let broker = rabbit.broker();
    let target = target(&*broker, &format!("{exchange}/{{payload.key}}"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages: Vec<_> = (0..6).map(|n| message(format!("{{\"event_id\":\"{n}\"}}"))).collect();
    let addresses: Vec<_> = (0..6).map(|n| format!("{exchange}/{}", if n % 2 == 0 { "yes" } else { "no" })).collect();
    let batch: Vec<_> = messages.iter().zip(&addresses).map(|(message, address)| outgoing(&target, message, address)).collect();
    for (place, outcome) in send(&mut *link, &batch).await.iter().enumerate() {
        match outcome {
            Outcome::Delivered(Proof::Confirmed) => assert_eq!(place % 2, 0),
            Outcome::Refused(refusal) => assert_eq!((place % 2, refusal.reason), (1, Reason::Unroutable), "{refusal:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rabbit.ready(&queue).await, 3);
}

#[tokio::test]
async fn a_missing_exchange_is_named_when_the_link_opens() {
    let rabbit = Rabbit::connect().await;
    let broker = rabbit.broker();
    let missing = unique("missing");
    let target = target(&*broker, &format!("{missing}/key"));
    let fault = broker.link(&target.link, &house()).await.err().expect("no such exchange");
    assert_eq!(fault.reason, Reason::Unroutable, "{fault}");
    assert!(fault.detail.contains(&missing), "{fault}");
}
