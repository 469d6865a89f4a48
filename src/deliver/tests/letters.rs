//! What a dead letter looks like on the wire.

use super::*;

#[tokio::test]
async fn where_there_are_no_headers_an_envelope_says_why_a_letter_is_dead() {
    let form = Format::Extended { source: "urn:rialto:test".into() };
    let rules = DeliveryRules { max_errors: Some(1), ..quick() };
    let mut rig = Rig::with_grave(rules, form, |bodies: &[String]| {
        if bodies[0].starts_with("grave") { delivered(bodies) } else { refuses(bodies, "a1", &refusal(Reason::Refused)) }
    });
    let _receipts = rig.append(&["a1"]).await;
    rig.settled().await;
    let seen = rig.seen();
    let letter = seen.last().expect("a letter");
    assert!(letter.starts_with("grave={message_type:notification_event,") && letter.contains("payload:a1,metadata:{"), "{letter}");
    assert!(letter.contains("rialto-dead-route:LaneId(0)") && letter.contains("rialto-dead-reason:refused"), "{letter}");
}
