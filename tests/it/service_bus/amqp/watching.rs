//! Looking without taking: `tap`, `check --connect`; and TLS.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rialto::{broker::Probe, outcome::Reason};
use serde_json::json;
use tokio::time::sleep;

use super::{broker, numbers};
use crate::{
    service_bus::stand_in::StandIn,
    support::{self, Running, accept, bodies, house, origin},
};

#[tokio::test]
async fn a_tap_sees_what_comes_and_takes_nothing() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    stand_in.put(&queue, &["before"]).await;
    let broker = broker(&stand_in);
    let tap = broker.tap(&support::target(&*broker, &queue)).expect("a tap");
    assert!(!tap.holds());
    let mut running = Running::open(&*tap, 1000).await;
    stand_in.put(&queue, &numbers(250)).await;
    let batches = running.collect(250).await;
    assert_eq!(bodies(&batches), numbers(250));
    batches.iter().for_each(accept);
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.count(&queue, "active").await, 251);
    assert_eq!(stand_in.messages(&queue).await[0].0["delivery_count"], 0);
}

#[tokio::test]
async fn a_probe_says_what_is_missing_and_takes_nothing() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    stand_in.put(&queue, &["one"]).await;
    let broker = broker(&stand_in);
    let (there, missing) = (origin(&*broker, &queue), origin(&*broker, "nowhere"));
    let house = house();
    assert_eq!(broker.probe(&Probe::Broker, &house).await, Vec::<String>::new());
    assert_eq!(broker.probe(&Probe::Origin(&*there), &house).await, Vec::<String>::new());
    assert_eq!(broker.probe(&Probe::Target(&support::target(&*broker, &queue)), &house).await, Vec::<String>::new());
    for said in [
        broker.probe(&Probe::Origin(&*missing), &house).await,
        broker.probe(&Probe::Target(&support::target(&*broker, "nowhere")), &house).await,
    ] {
        assert!(said.len() == 1 && said[0].contains("nowhere") && said[0].contains("not-found"), "{said:?}");
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!((stand_in.count(&queue, "active").await, stand_in.count(&queue, "locked").await), (1, 0));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_known_before_the_first_message() {
    let stand_in = StandIn::find().await;
    let address = format!("amqp://{}", stand_in.amqp);
    let folder = tempfile::tempdir().expect("a folder");
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "key").expect("written");
    let yaml = format!("{{ namespace: contoso, policy: p, key_file: {key_file:?}, transport: amqp, amqp_endpoint: {address:?} }}");
    let broker = support::broker(&super::KIND, &yaml);
    std::fs::remove_file(&key_file).expect("removed");
    let said = broker.probe(&Probe::Broker, &house()).await;
    assert!(said.len() == 1 && said[0].contains("key: No such file"), "{said:?}");
    let target = support::target(&*broker, "orders");
    let fault = broker.link(&target.link, &house()).await.err().expect("no key");
    assert_eq!(fault.reason, Reason::Unauthenticated, "{fault}");
}

#[tokio::test]
async fn tls_is_ours_and_an_unknown_authority_is_refused() {
    let stand_in = StandIn::find().await;
    let queue = stand_in.entity(json!({})).await;
    stand_in.put(&queue, &["one"]).await;
    let (key, own) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut authority = CertificateParams::new([]).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let trusted = authority.self_signed(&own).expect("an authority").pem();
    let issuer = Issuer::new(authority, own);
    let served = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters").signed_by(&key, &issuer).expect("signed");
    let doors = stand_in.post("tls", json!({ "cert": served.pem(), "key": key.serialize_pem() })).await;
    let address = doors["amqps"].as_str().expect("an address");
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, trusted).expect("written");
    let settings = |tls: &str| stand_in.settings().replacen('{', &format!("{{ amqp_endpoint: {address:?}, {tls}"), 1);

    let trusting = support::broker(&super::KIND, &settings(&format!("tls: {{ ca_file: {ca_file:?} }},")));
    let mut running = Running::open(&*origin(&*trusting, &queue), 10).await;
    let batch = running.next().await;
    accept(&batch);
    running.close().await.expect("an orderly end");
    assert_eq!(stand_in.waiting(&queue).await, 0);

    let stranger = support::broker(&super::KIND, &settings(""));
    let fault = origin(&*stranger, &queue).open(&house()).await.err().expect("an unknown authority");
    assert_eq!(fault.reason, Reason::Tls, "{fault}");
}
