//! What a source creates, what a check asks, and what a tap reads.

use lapin::{
    ExchangeKind,
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use rialto::{
    broker::Probe,
    outcome::{Outcome, Proof, Reason},
    written::{Problems, Value},
};

use super::{Rabbit, server::rabbitmqctl, unique};
use crate::support::{Running, accept, bodies, house, message, node, origin, outgoing, send, target};

/// A queue's type, arguments and durability, as the broker tells them.
async fn described(queue: &str) -> String {
    let columns = ["list_queues", "--quiet", "--no-table-headers", "name", "type", "durable", "arguments"];
    let all = rabbitmqctl(&columns).await;
    all.lines().find(|line| line.split('\t').next() == Some(queue)).expect("the queue").to_owned()
}

#[tokio::test]
async fn a_source_creates_its_queue_its_bindings_and_its_dead_letters() {
    let rabbit = Rabbit::connect().await;
    let (queue, dead) = (unique("queue"), unique("dead"));
    let exchange = rabbit.exchange(ExchangeKind::Topic).await;
    let broker = rabbit.broker();
    let yaml = format!(
        "{{ queue: {queue}, declare: {{ type: quorum, single_active_consumer: true, arguments: {{ x-max-length: 1000 }}, \
         bindings: [{{ exchange: {exchange}, routing_key: 'order.#' }}] }} }}"
    );
    let origin = origin(&*broker, &yaml).declaring(&target(&*broker, &dead)).expect("it creates its dead letters too");
    // Twice: what is there with the same settings is left alone.
    for _ in 0..2 {
        origin.open(&house()).await.expect("an open source");
    }
    let described = described(&queue).await;
    for part in ["quorum", "true", "x-max-length", "x-single-active-consumer"] {
        assert!(described.contains(part), "{part}: {described}");
    }
    assert_eq!(rabbit.ready(&dead).await, 0, "it is there");

    let target = target(&*broker, &format!("{exchange}/order.{{message_name}}"));
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let bound = format!("{exchange}/order.new.eu");
    assert_eq!(send(&mut *link, &[outgoing(&target, &message("{}"), &bound)]).await, [Outcome::Delivered(Proof::Confirmed)]);
    assert_eq!(rabbit.ready(&queue).await, 1);
}

#[tokio::test]
async fn the_default_is_a_durable_quorum_queue_and_classic_is_classic() {
    let rabbit = Rabbit::connect().await;
    let broker = rabbit.broker();
    for (declare, kind, durable) in [
        ("true", "quorum", "true"),
        ("{ type: classic }", "classic", "true"),
        ("{ type: classic, durable: false }", "classic", "false"),
    ] {
        let queue = unique("queue");
        origin(&*broker, &format!("{{ queue: {queue}, declare: {declare} }}")).open(&house()).await.expect("an open source");
        let described = described(&queue).await;
        assert!(described.starts_with(&format!("{queue}\t{kind}\t{durable}")), "{described}");
    }
}

#[tokio::test]
async fn what_exists_otherwise_is_named_and_never_changed() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let broker = rabbit.broker();
    let fault = origin(&*broker, &format!("{{ queue: {queue}, declare: true }}")).open(&house()).await.err().expect("classic");
    assert_eq!(fault.reason, Reason::Unroutable, "{fault}");
    assert!(fault.detail.contains(&queue) && fault.detail.contains("x-queue-type"), "{fault}");

    let (queue, missing) = (unique("queue"), unique("missing"));
    let yaml = format!("{{ queue: {queue}, declare: {{ bindings: {{ exchange: {missing} }} }} }}");
    let fault = origin(&*broker, &yaml).open(&house()).await.err().expect("nothing to bind to");
    assert_eq!(fault.reason, Reason::Unroutable, "{fault}");
    assert!(fault.detail.contains(&missing), "{fault}");
}

#[test]
fn faults_of_a_source_are_found_when_it_is_read() {
    let broker = crate::support::broker(&rialto::broker::amqp::KIND, "amqp://localhost");
    let long = "q".repeat(256);
    for (yaml, said) in [
        ("exchange/key".to_owned(), "cannot be read"),
        (long.clone(), "255 bytes"),
        (format!("queue: {long}"), "255 bytes"),
        ("queue: ''".to_owned(), "empty"),
        ("{}".to_owned(), "needs `queue`"),
        ("{ queue: q, declare: { type: stream } }".to_owned(), "stream"),
        ("{ queue: q, declare: { type: lazy } }".to_owned(), "cannot be `lazy`"),
        ("{ queue: q, declare: { durable: false } }".to_owned(), "always durable"),
        ("{ queue: q, declare: { bindngs: [] } }".to_owned(), "unknown key `bindngs`"),
        ("{ queue: q, declare: { bindings: [{ routing_key: k }] } }".to_owned(), "needs `exchange`"),
        ("queue: q\ndeclare:\n  bindings:\n    - exchange: e\n      routing_key: #\n".to_owned(), "`routing_key` is nothing"),
    ] {
        let mut faults = Problems::default();
        let parsed = rialto::written::parse("test.yaml", &yaml, &mut faults);
        if let Some(node) = parsed {
            let _ = broker.origin(&node, &mut faults);
        }
        let found: Vec<_> = faults.iter().map(|fault| fault.message.clone()).collect();
        assert!(found.iter().any(|fault| fault.contains(said)), "{yaml}: {found:?}");
    }
    for off in ["off", "false", "null"] {
        let node = node(&format!("{{ queue: q, declare: {off} }}"));
        assert!(matches!(node.value(), Value::Map(_)));
        let origin = broker.origin(&node, &mut Problems::default()).expect("a source");
        assert!(origin.declaring(&target(&*broker, "dead")).is_none(), "{off}: it creates nothing");
    }
}

#[tokio::test]
async fn a_check_names_what_is_missing_and_creates_nothing() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let exchange = rabbit.exchange(ExchangeKind::Direct).await;
    let broker = rabbit.broker();
    let (missing, to_come) = (unique("missing"), unique("to-come"));
    assert_eq!(broker.probe(&Probe::Broker, &house()).await, Vec::<String>::new());
    for (keys, sound) in [
        (queue.clone(), true),
        (missing.clone(), false),
        (format!("{{ queue: {to_come}, declare: true }}"), true),
        (format!("{{ queue: {to_come}, declare: {{ bindings: [{{ exchange: {missing} }}] }} }}"), false),
    ] {
        let faults = broker.probe(&Probe::Origin(&*origin(&*broker, &keys)), &house()).await;
        assert_eq!(faults.is_empty(), sound, "{keys}: {faults:?}");
        assert!(sound || faults[0].contains(&missing), "{faults:?}");
    }
    for (keys, sound) in [
        (queue.clone(), true),
        (missing.clone(), false),
        (format!("{exchange}/key"), true),
        (format!("{missing}/key"), false),
        ("{ exchange: '{payload.e}', routing_key: k }".to_owned(), true),
        ("queue: 'orders.{message_name}'".to_owned(), true),
    ] {
        let faults = broker.probe(&Probe::Target(&target(&*broker, &keys)), &house()).await;
        assert_eq!(faults.is_empty(), sound, "{keys}: {faults:?}");
        assert!(sound || faults[0].contains(&missing), "{faults:?}");
    }
    let all = rabbitmqctl(&["list_queues", "--quiet", "--no-table-headers", "name"]).await;
    assert!(!all.lines().any(|name| name == missing || name == to_come), "a check created something");
    let nowhere = crate::support::broker(&rialto::broker::amqp::KIND, "amqp://guest:secret@localhost:1");
    let faults = nowhere.probe(&Probe::Broker, &house()).await;
    assert!(faults.len() == 1 && faults[0].contains("localhost:1") && !faults[0].contains("secret"), "{faults:?}");
}

#[tokio::test]
async fn a_tap_reads_what_an_exchange_receives_and_takes_it_from_nobody() {
    let rabbit = Rabbit::connect().await;
    let queue = rabbit.queue().await;
    let exchange = rabbit.exchange(ExchangeKind::Topic).await;
    rabbit.bind(&queue, &exchange, "#").await;
    let broker = rabbit.broker();
    let target = target(&*broker, &format!("{exchange}/order.{{message_name}}"));
    let tap = broker.tap(&target).expect("a named exchange");
    assert!(!tap.holds());
    let mut running = Running::open(&*tap, 100).await;
    let mut link = broker.link(&target.link, &house()).await.expect("a link");
    let one = message("{\"n\":1}");
    let addresses = [format!("{exchange}/order.new"), format!("{exchange}/order.paid.eu"), format!("{exchange}/invoice.new")];
    let batch: Vec<_> = addresses.iter().map(|address| outgoing(&target, &one, address)).collect();
    send(&mut *link, &batch).await;
    let batches = running.collect(2).await;
    assert_eq!(bodies(&batches).len(), 2, "what the destination can make, and nothing else");
    batches.iter().for_each(accept);
    running.close().await.expect("an orderly end");
    assert_eq!(rabbit.ready(&queue).await, 3);

    for (keys, said) in [("orders.events", "one reader"), ("{ exchange: '{payload.e}', routing_key: k }", "depends on the message")]
    {
        let refused = broker.tap(&crate::support::target(&*broker, keys)).expect_err("no tap");
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test]
async fn an_inlet_leads_to_where_the_source_reads() {
    let rabbit = Rabbit::connect().await;
    let odd = format!("{}{{not}}/a/template", unique("queue"));
    rabbit.declare(&odd).await;
    let broker = rabbit.broker();
    let origin = origin(&*broker, &format!("queue: '{odd}'"));
    let inlet = origin.inlet().expect("a queue can be published to");
    let mut link = broker.link(&inlet.link, &house()).await.expect("a link");
    // As rendered: braces doubled in the template are single in the address.
    let outcomes = send(&mut *link, &[outgoing(&inlet, &message("{}"), &odd)]).await;
    assert_eq!(outcomes, [Outcome::Delivered(Proof::Confirmed)]);
    let mut running = Running::open(&*origin, 10).await;
    accept(&running.next().await);
    running.close().await.expect("an orderly end");
    assert_eq!(inlet.address.text.replace("{{", "{").replace("}}", "}"), odd);
}

#[tokio::test]
async fn an_exclusive_reader_elsewhere_is_named() {
    let rabbit = Rabbit::connect().await;
    let queue = unique("queue");
    let mine = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    rabbit.channel.queue_declare(queue.as_str().into(), mine, FieldTable::default()).await.expect("a queue");
    let broker = rabbit.broker();
    let fault = origin(&*broker, &queue).open(&house()).await.err().expect("locked");
    assert_eq!(fault.reason, Reason::Forbidden, "{fault}");
    rabbit.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
}
