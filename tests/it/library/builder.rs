//! What a program says of its bridge is checked as a file is, and two bridges do not know of each other.

use rialto::{
    bridge::{Bridge, Stopped},
    embed::{Event, Handling, NotStarted},
    testkit::{Memory, TestEvent},
};

use super::{Seen, bridge, never};

async fn ok(_: Event) -> Result<(), String> {
    Ok(())
}

fn faults(result: Result<rialto::embed::Running, NotStarted>) -> String {
    match result {
        Err(error @ NotStarted::Config(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_fault_is_told_with_its_place() {
    let told = faults(
        Bridge::builder()
            .yaml("brokers: { mq: 'amqp://localhost' }\nroutes: [{ from: mq/a, to: [handler/mial, mq/b], dead_letter: drop, tpyo: 1 }]")
            .handler("mail", ok)
            .start()
            .await,
    );
    assert!(told.contains("the program has no handler named `mial`"), "{told}");
    assert!(told.contains("did you mean `mail`?"), "{told}");
    assert!(told.contains("unknown key `tpyo`"), "{told}");
    assert!(told.contains("text 1 of the program:2:"), "{told}");
}

#[tokio::test]
async fn without_handlers_a_handler_is_a_fault_that_says_whence_they_come() {
    let told = faults(
        Bridge::builder()
            .yaml("brokers: { mq: 'amqp://localhost' }\nroutes: [{ from: mq/a, to: handler/mail, dead_letter: drop }]")
            .start()
            .await,
    );
    assert!(told.contains("no broker is named `handler`"), "{told}");
    assert!(told.contains("Bridge::builder().handler(NAME, …)"), "{told}");
    let told = faults(
        Bridge::builder()
            .yaml("brokers: { app: { handler: {} }, mq: 'amqp://localhost' }\nroutes: [{ from: mq/a, to: app/mail, dead_letter: drop }]")
            .start()
            .await,
    );
    assert!(told.contains("a file cannot have handlers"), "{told}");
}

#[tokio::test]
async fn rules_of_a_handler_are_checked_as_those_of_a_file() {
    let memory = Memory::new();
    let told = faults(bridge(&memory).on("User[", Handling::by(ok).named("mail").max_errors(0)).start().await);
    assert!(told.contains("`max_errors` is at least 1"), "{told}");
    assert!(told.contains("`User[` is no glob"), "{told}");
    assert!(told.contains("the handler `mail` of the program"), "{told}");
}

#[tokio::test]
async fn a_value_that_is_set_wins_over_the_text() {
    let (memory, seen) = (Memory::new(), Seen::default());
    let running = bridge(&memory)
        .set("default_to", "mq/first")
        .yaml("default_to: mq/second")
        .on("*", seen.handler("h", never))
        .start()
        .await
        .unwrap();
    memory.put("in", TestEvent::notification("N"));
    memory.put("in", TestEvent::domain("D").id("d"));
    memory.expect("first", 1).await;
    assert_eq!(seen.wait(1).await, ["h d 1"]);
    running.drain().await;
}

#[tokio::test]
async fn two_bridges_in_one_process_do_not_know_of_each_other() {
    let (one, other) = (Memory::new(), Memory::new());
    let (seen, elsewhere) = (Seen::default(), Seen::default());
    let first = bridge(&one).on("*", seen.handler("one", never)).start().await.unwrap();
    let second = bridge(&other).on("*", elsewhere.handler("other", never)).start().await.unwrap();
    one.put("in", TestEvent::domain("E").id("1"));
    other.put("in", TestEvent::domain("E").id("2"));
    assert_eq!(seen.wait(1).await, ["one 1 1"]);
    assert_eq!(elsewhere.wait(1).await, ["other 2 1"]);
    assert!(first.is_ready() && second.is_ready());
    assert_eq!(first.drain().await, Stopped::Drained);
    other.put("in", TestEvent::domain("E").id("3"));
    elsewhere.wait(2).await;
    let metrics = second.metrics();
    assert!(
        metrics.contains(r#"rialto_messages_delivered_total{route="mq/in",destination="*"} 2"#) || metrics.contains("delivered"),
        "{metrics}"
    );
    assert_eq!(second.drain().await, Stopped::Drained);
}

#[tokio::test]
async fn addresses_are_those_that_the_system_chose() {
    let memory = Memory::new();
    let running = bridge(&memory).yaml("gateway: { resp: '127.0.0.1:0' }").on("*", ok).start().await.unwrap();
    let address = running.addresses().resp.expect("a door");
    assert!(address.ip().is_loopback() && address.port() != 0);
    tokio::net::TcpStream::connect(address).await.unwrap();
    running.drain().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "a drained bridge listens no more");
}
