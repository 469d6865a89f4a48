//! A namespace of somebody's own, on request: `RIALTO_LIVE_SERVICE_BUS` is a connection string with the right to send,
//! `RIALTO_LIVE_SERVICE_BUS_QUEUE` a queue without sessions. Nothing else here was ever run against Azure.

use rialto::{
    broker::{Outgoing, Probe, service_bus::KIND},
    outcome::Outcome,
};

use crate::support;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: this test needs a namespace of Azure Service Bus"))
}

#[tokio::test]
#[ignore = "opt-in: needs RIALTO_LIVE_SERVICE_BUS and RIALTO_LIVE_SERVICE_BUS_QUEUE"]
async fn a_real_namespace_takes_a_batch_over_https() {
    let (text, queue) = (variable("RIALTO_LIVE_SERVICE_BUS"), variable("RIALTO_LIVE_SERVICE_BUS_QUEUE"));
    let broker = support::broker(&KIND, &format!("{{ connection_string: {text:?}, transport: https }}"));
    let target = support::target(&*broker, &format!("queue: {queue:?}"));
    assert_eq!(broker.probe(&Probe::Target(&target), &support::house()).await, Vec::<String>::new());
    let mut link = broker.link(&target.link, &support::house()).await.expect("a link");
    let bodies: [&[u8]; 5] = [b"{\"n\":1}", "{\"text\":\"\u{dc}ber \u{1f600}\"}".as_bytes(), b"\"\"", b"plain", &[0xff, 0x00]];
    let message = support::message("{}");
    let headers = [("Tenant", "acme"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let one = |body| Outgoing { body, headers: &headers, key: "live", ..support::outgoing(&target, &message, &queue) };
    let outcomes = support::send(&mut *link, &bodies.map(one)).await;
    for (body, outcome) in bodies.iter().zip(&outcomes) {
        println!("{}: {outcome:?}", String::from_utf8_lossy(body));
    }
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))), "{outcomes:?}");
    // A queue that is not there, to see what that looks like.
    let missing = [support::outgoing(&target, &message, "rialto-no-such-queue")];
    let outcomes = support::send(&mut *link, &missing).await;
    println!("a missing queue: {:?}", outcomes[0]);
    assert!(matches!(outcomes[0], Outcome::Refused(_)), "{outcomes:?}");
}
