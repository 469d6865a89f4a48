//! Publishing: one outcome a message, in order, whatever RabbitMQ answers.

use std::time::Duration;

use lapin::{ExchangeKind, options::ExchangeDeleteOptions};
use rialto::{
    broker::{Outgoing, Target},
    envelope::Message,
    outcome::{Outcome, Proof, Reason},
};
use tokio::time::{sleep, timeout};

use super::{Rabbit, server::rabbitmqctl, unique};
use crate::{
    conformance::eventually,
    support::{Running, accept, house, message, origin, outgoing, send, target, try_send},
};

const DELIVERED: Outcome = Outcome::Delivered(Proof::Confirmed);

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.reason),
        _ => None,
    }
}

fn numbered(count: usize) -> Vec<Message> {
    (0..count).map(|number| message(format!("{{\"event_id\":\"{number}\"}}"))).collect()
}

fn to<'a>(target: &'a Target, messages: &'a [Message], address: impl Fn(usize) -> &'a str) -> Vec<Outgoing<'a>> {
    messages.iter().enumerate().map(|(number, message)| outgoing(target, message, address(number))).collect()
}

/// Naive: lapin hands a return to whichever confirm completes next; judged by its own confirm, a message that no queue took is
/// called delivered (718 of 30,000 transient ones, measured), and a neighbour that arrived is called unroutable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_return_is_its_own_messages() {
    const MESSAGES: usize = 20_000;
    let rabbit = Rabbit::connect().await;
    // In memory only: confirms come in bunches that span batches.
    let (queue, exchange) = (rabbit.transient_queue().await, rabbit.exchange(ExchangeKind::Direct).await);
    rabbit.bind(&queue, &exchange, "yes").await;
    let broker = rabbit.broker();
    let target = target(&*broker, &format!("{exchange}/{{payload.key}}"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let (yes, no) = (format!("{exchange}/yes"), format!("{exchange}/no"));
    let is_routable = |number: usize| number * 7919 % 10 < 6;
    let messages = numbered(MESSAGES);
    let mut wrong = Vec::new();
    let mut in_flight = std::collections::VecDeque::new();
    let mut first = 0;
    for (round, chunk) in (0..).zip(messages.chunks(32)) {
        let start = round * 32;
        let batch = to(&target, chunk, |at| if is_routable(start + at) { &yes } else { &no });
        in_flight.push_back(link.send(&batch).await.expect("a live link"));
        // A window of about 1,000 messages.
        let answered = if in_flight.len() > 30 || start + 32 >= MESSAGES { in_flight.len() - 15 } else { 0 };
        let last = start + chunk.len() == MESSAGES;
        for answer in in_flight.drain(..if last { in_flight.len() } else { answered }).collect::<Vec<_>>() {
            for outcome in timeout(Duration::from_secs(30), answer).await.expect("answers in time").expect("a live link") {
                let expected = if is_routable(first) { None } else { Some(Reason::Unroutable) };
                if reason(&outcome) != expected || (expected.is_none() && outcome != DELIVERED) {
                    wrong.push((first, outcome));
                }
                first += 1;
            }
        }
    }
    assert_eq!(first, MESSAGES);
    assert!(wrong.is_empty(), "{} judged by another's return: {:?}", wrong.len(), &wrong[..wrong.len().min(3)]);
    assert_eq!(rabbit.ready(&queue).await as usize, (0..MESSAGES).filter(|number| is_routable(*number)).count());
}

/// Naive: several publish futures at once on one channel go out in any order (216 inversions in 1,000, measured).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_sends_holds_on_many_threads() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let target = target(&*broker, &queue);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages = numbered(3000);
    let mut answers = Vec::new();
    for chunk in messages.chunks(256) {
        answers.push(tokio::spawn(link.send(&to(&target, chunk, |_| &queue)).await.expect("a live link")));
    }
    for answer in answers {
        assert!(answer.await.expect("no panic").expect("a live link").iter().all(|outcome| *outcome == DELIVERED));
    }
    let found: Vec<_> = rabbit.drain(&queue).await.into_iter().map(|message| message.delivery.data).collect();
    let sent: Vec<_> = messages.iter().map(|message| message.raw().body.to_vec()).collect();
    assert!(found == sent, "out of order");
}

/// Naive, on one channel: a single publish to a missing exchange left 0 of 101 confirmed.
#[tokio::test]
async fn a_missing_exchange_harms_nobody_else() {
    let rabbit = Rabbit::connect().await;
    let (queue, exchange) = (rabbit.queue().await, rabbit.exchange(ExchangeKind::Fanout).await);
    rabbit.bind(&queue, &exchange, "").await;
    let broker = rabbit.broker();
    let target = target(&*broker, "{ exchange: '{payload.exchange}', routing_key: '' }");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let (there, missing) = (format!("{exchange}/"), format!("{}/", unique("missing")));
    let messages = numbered(101);
    for _ in 0..3 {
        let outcomes = send(&mut *link, &to(&target, &messages, |number| if number == 50 { &missing } else { &there })).await;
        for (number, outcome) in outcomes.iter().enumerate() {
            let expected = (number == 50).then_some(Reason::Unroutable);
            assert_eq!(reason(outcome), expected, "{number}: {outcome:?}");
        }
    }
    assert_eq!(rabbit.ready(&queue).await, 300);
    // Created meanwhile, it is found.
    let exchange = missing.trim_end_matches('/').to_owned();
    rabbit.declare_exchange(&exchange, ExchangeKind::Fanout).await;
    rabbit.bind(&queue, &exchange, "").await;
    assert_eq!(send(&mut *link, &to(&target, &messages[..1], |_| &missing)).await, [DELIVERED]);
}

#[tokio::test]
async fn many_exchanges_share_a_link_within_bounds() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let mut addresses = Vec::new();
    for _ in 0..40 {
        let exchange = rabbit.exchange(ExchangeKind::Fanout).await;
        rabbit.bind(&queue, &exchange, "").await;
        addresses.push(format!("{exchange}/"));
    }
    let broker = rabbit.broker();
    let target = target(&*broker, "{ exchange: '{payload.exchange}', routing_key: '' }");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages = numbered(40);
    let outcomes = send(&mut *link, &to(&target, &messages, |number| &addresses[number])).await;
    let throttled = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Throttled { .. })).count();
    assert_eq!(throttled, 8, "40 exchanges at once, 32 lines: {outcomes:?}");
    // Their lines are idle now and make room.
    assert_eq!(send(&mut *link, &to(&target, &messages[..8], |number| &addresses[32 + number])).await, vec![DELIVERED; 8]);
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

#[tokio::test]
async fn a_fixed_exchange_that_is_deleted_ends_the_link_and_is_named() {
    let rabbit = Rabbit::connect().await;
    let exchange = rabbit.exchange(ExchangeKind::Fanout).await;
    let broker = rabbit.broker();
    let target = target(&*broker, &format!("{exchange}/"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    rabbit.channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.expect("deleted");
    let down = try_send(&mut *link, &[outgoing(&target, &message("{}"), &format!("{exchange}/"))]).await.expect_err("deleted");
    assert_eq!(down.reason, Reason::Unroutable, "{down}");
    assert!(down.detail.contains(&exchange), "{down}");
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_a_refusal_and_the_link_lives_on() {
    let rabbit = Rabbit::connect().await;
    let (gone, there) = (rabbit.queue().await, rabbit.queue().await);
    let broker = rabbit.broker();
    let target = target(&*broker, "queue: '{payload.queue}'");
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    rabbit.delete(&gone).await;
    let messages = numbered(3);
    let outcomes = send(&mut *link, &to(&target, &messages, |number| if number == 1 { &gone } else { &there })).await;
    assert_eq!(outcomes.iter().map(reason).collect::<Vec<_>>(), [None, Some(Reason::Unroutable), None]);
    assert_eq!(rabbit.ready(&there).await, 2);
}

/// Naive, on a connection shared with a consumer: under an alarm 0 of 200 were consumed and the acknowledgement hung.
#[tokio::test]
async fn a_memory_alarm_holds_publishing_back_and_reading_goes_on() {
    let rabbit = Rabbit::alone().await;
    let (queue, other) = (rabbit.queue().await, rabbit.queue().await);
    rabbit.fill(&queue, &super::numbers(200)).await;
    let broker = rabbit.broker();
    let target = target(&*broker, &other);
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let messages = numbered(2);
    assert_eq!(send(&mut *link, &to(&target, &messages[..1], |_| &other)).await, [DELIVERED]);
    assert_eq!(link.held(), None);

    rabbitmqctl(&["set_vm_memory_high_watermark", "0.00001"]).await;
    // The broker says so to who publishes; this one is on the wire then, and neither lost nor late.
    let on_the_wire = link.send(&to(&target, &messages[..1], |_| &other)).await.expect("a live link");
    eventually("it is told", || async { link.held().is_some() }).await;
    let outcomes = send(&mut *link, &to(&target, &messages[1..], |_| &other)).await;
    assert!(matches!(outcomes[0], Outcome::Throttled { .. }), "{outcomes:?}");
    link.ping().await.expect("held back is not dead");
    let mut running = Running::open(&*origin(&*broker, &queue), 1000).await;
    running.collect(200).await.iter().for_each(accept);
    eventually("all is acknowledged", || async { rabbit.held(&queue).await == 0 }).await;
    running.close().await.expect("an orderly end");

    rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    let answered = timeout(Duration::from_secs(20), on_the_wire).await.expect("answers in time").expect("a live link");
    assert_eq!(answered, [DELIVERED]);
    eventually("it is told", || async { link.held().is_none() }).await;
    assert_eq!(send(&mut *link, &to(&target, &messages[1..], |_| &other)).await, [DELIVERED]);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(rabbit.ready(&other).await, 3, "nothing was sent twice");
}
