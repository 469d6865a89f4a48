//! A service with a bridge inside: its handlers get domain events, its queue in memory gets notifications.
//!
//!     cargo run --example embed
//!
//! In a real service `Memory` is RabbitMQ, Kafka or Redis: `.config("rialto.yaml")` names them, and nothing else changes.

use std::time::Duration;

use rialto::{
    bridge::Bridge,
    embed::{BoxError, Event, Handling, Permanent},
    testkit::{Memory, TestEvent},
};
use serde::Deserialize;

const CONFIG: &str = "
name: welcome
default_to: 'mq/live:{message_name}'          # notifications and states
routes:
  - { from: mq/users, dead_letter: mq/users.dead }   # no `to`: the kind of an event decides
";

#[derive(Deserialize)]
struct User {
    name: String,
}

/// Any `async fn(Event) -> Result<(), E>` is a handler. An error is tried again, up to `max_errors`.
async fn greet(event: Event) -> Result<(), BoxError> {
    // What has the wrong shape now will have it the next time: to the dead letter at once.
    let user: User = event.json().map_err(Permanent::new)?;
    println!("welcome, {}!", user.name);
    Ok(())
}

/// Fails at first, to show a second try.
async fn send_mail(event: Event) -> Result<(), BoxError> {
    if event.attempt() == 1 {
        return Err("the mail server is away".into());
    }
    println!("mail for {} sent at try {}", event.id(), event.attempt());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let queues = Memory::new();
    let mail = Handling::by(send_mail).priority(90).max_errors(3).backoff(Duration::from_millis(50), Duration::from_secs(1));
    let bridge =
        Bridge::builder().yaml(CONFIG).broker("mq", queues.broker()).on("UserJoined", greet).on("User*", mail).start().await?;

    queues.put("users", TestEvent::domain("UserJoined").id("u-1").payload(r#"{"name":"Ada"}"#));
    queues.put("users", TestEvent::domain("UserJoined").id("u-2").payload(r#"{"nmae":"Bob"}"#));
    queues.put("users", TestEvent::notification("UserCount").payload(r#"{"count":2}"#));
    queues.expect_settled("users").await;

    let live = queues.expect("live:UserCount", 1).await;
    println!("live: {}", live[0].payload());
    let dead = queues.expect("users.dead", 1).await;
    println!("dead: {} ({})", dead[0].id(), dead[0].header("rialto-dead-error").unwrap_or_default());

    // Stops reading, waits for the handlers that run, and ends.
    println!("{:?}", bridge.drain().await);
    Ok(())
}
