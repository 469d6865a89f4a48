//! How to test one's own routes: the real configuration on queues in memory, which fail where the test wants them to.
//!
//!     cargo run --example test_your_routes
//!
//! The functions below would be `#[tokio::test]`s of your project.

use std::time::Duration;

use rialto::{
    bridge::Bridge,
    embed::Running,
    testkit::{Memory, TestEvent},
};

/// What is tested. In your project: `.config("rialto.yaml")`, with the brokers of that file brought by the test instead.
const ROUTES: &str = "
routes:
  - name: paid
    from: mq/orders
    match: { message_name: 'Order*' }
    when: '.payload.total > 100'
    to: 'mq/big.{payload.region}'
    dead_letter: mq/orders.dead
defaults: { backoff: { initial: 10ms, max: 20ms } }
";

async fn bridge(queues: &Memory) -> Running {
    Bridge::builder().yaml(ROUTES).broker("mq", queues.broker()).start().await.expect("sound routes")
}

fn order(total: u32, region: &str) -> TestEvent {
    TestEvent::state("OrderPaid").payload(format!(r#"{{"total":{total},"region":"{region}"}}"#))
}

async fn big_orders_go_to_their_region() {
    let queues = Memory::new();
    let bridge = bridge(&queues).await;
    queues.put("orders", order(50, "eu"));
    queues.put("orders", order(500, "eu").id("big"));
    queues.put("orders", order(700, "us"));
    // Waits, and shows every queue where it was in vain.
    let eu = queues.expect("big.eu", 1).await;
    assert_eq!((eu[0].id(), eu[0].payload()["total"].as_u64()), ("big", Some(500)));
    queues.expect("big.us", 1).await;
    queues.expect_settled("orders").await;
    bridge.drain().await;
}

async fn an_order_without_a_region_is_dead_with_its_reason() {
    let queues = Memory::new();
    let bridge = bridge(&queues).await;
    queues.put("orders", TestEvent::state("OrderPaid").payload(r#"{"total":500}"#));
    let dead = queues.expect("orders.dead", 1).await;
    assert_eq!(dead[0].header("rialto-dead-reason"), Some("address"));
    bridge.drain().await;
}

async fn nothing_is_lost_while_the_broker_is_away() {
    let queues = Memory::new();
    let bridge = bridge(&queues).await;
    queues.cut();
    (0..20).for_each(|number| queues.put("orders", order(500 + number, "eu")));
    queues.expect_no_more("big.eu", 0, Duration::from_millis(100)).await;
    queues.mend();
    queues.expect("big.eu", 20).await;
    bridge.drain().await;
}

async fn a_refused_order_is_tried_again() {
    let queues = Memory::new();
    let bridge = bridge(&queues).await;
    queues.refuse("big.eu", 2);
    queues.put("orders", order(500, "eu"));
    queues.expect("big.eu", 1).await;
    assert!(queues.published("orders.dead").is_empty());
    bridge.drain().await;
}

#[tokio::main]
async fn main() {
    big_orders_go_to_their_region().await;
    an_order_without_a_region_is_dead_with_its_reason().await;
    nothing_is_lost_while_the_broker_is_away().await;
    a_refused_order_is_tried_again().await;
    println!("4 tests passed");
}
