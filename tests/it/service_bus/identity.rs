//! Who we are to a namespace, and whom we take it for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use rialto::{
    broker::{Probe, service_bus::KIND},
    outcome::{Outcome, Reason},
};
use ring::hmac;

use super::{
    Namespace, Rig,
    namespace::{KEY, settings},
    reason,
};
use crate::{
    support::{self, PATIENCE},
    webhook::server::{Answer, Post},
};

/// The fields of a shared access signature, decoded.
fn fields(authorization: &str) -> Vec<(String, String)> {
    let text = authorization.strip_prefix("SharedAccessSignature ").expect("a signature");
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().expect("text").into_owned();
    text.split('&').map(|field| field.split_once('=').expect("a pair")).map(|(name, value)| (name.into(), decoded(value))).collect()
}

/// Whether a request is signed with a key for the queue it goes to, as Microsoft documents it.
fn is_signed(post: &Post, key: &str) -> bool {
    let authorization = post.header("authorization").expect("an authorization");
    let fields = fields(authorization);
    let [(sr, resource), (sig, signature), (se, end), (skn, policy)] = fields.as_slice() else { panic!("{fields:?}") };
    assert_eq!((sr.as_str(), sig.as_str(), se.as_str(), skn.as_str()), ("sr", "sig", "se", "skn"));
    assert_eq!((resource.as_str(), policy.as_str()), ("https://contoso.servicebus.windows.net/orders", "send"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    assert!((now + 60..now + 7200).contains(&end.parse().expect("seconds")), "{end}");
    let encoded = authorization.split(['=', '&']).nth(1).expect("the resource as it was signed");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = BASE64_STANDARD.decode(signature).expect("base64");
    hmac::verify(&key, format!("{encoded}\n{end}").as_bytes(), &signature).is_ok()
}

#[tokio::test]
async fn every_request_is_signed_for_its_queue() {
    let mut rig = Rig::to(Namespace::start().await).await;
    rig.send(&["1"]).await;
    rig.send(&["2"]).await;
    let posts = rig.namespace.posts();
    assert!(posts.len() == 2 && posts.iter().all(|post| is_signed(post, KEY)));
    assert!(!is_signed(&posts[0], "another key"), "the test can tell");
    assert_eq!(posts[0].header("authorization"), posts[1].header("authorization"), "a signature is used again while it holds");
}

#[tokio::test]
async fn a_token_that_is_refused_is_made_anew_once_from_what_the_file_holds_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, "old\n").expect("a key");
    let script = |post: &Post, _| Answer::status(if is_signed(post, "new") { 201 } else { 401 });
    let namespace = Namespace::answering(script).await;
    let mut rig = Rig::as_settings(
        namespace,
        |address| format!("{{ namespace: contoso, policy: send, key_file: '{}', endpoint: 'http://{address}' }}", file.display()),
        "queue: orders",
    )
    .await;
    let outcomes = rig.send(&["1"]).await;
    assert_eq!(reason(&outcomes[0]), Some(Reason::Unauthenticated), "{outcomes:?}");
    assert_eq!(rig.namespace.posts().len(), 2, "asked once more, and not for ever");
    std::fs::write(&file, "new\n").expect("a key");
    let outcomes = rig.send(&["2"]).await;
    assert!(matches!(outcomes[0], Outcome::Delivered(_)), "{outcomes:?}");
}

#[tokio::test]
async fn a_missing_right_is_told_from_a_wrong_key() {
    let said = "<Error><Code>401</Code><Detail>Unauthorized access. 'Send' claim(s) are required.</Detail></Error>";
    let mut rig = Rig::to(Namespace::answering(move |_, _| Answer::Says(401, said)).await).await;
    let outcomes = rig.send(&["1", "2"]).await;
    for outcome in &outcomes {
        let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
        assert_eq!(refusal.reason, Reason::Forbidden);
        assert!(refusal.detail.contains("'Send' claim(s)") && !refusal.detail.contains('<'), "{}", refusal.detail);
    }
    assert_eq!(rig.namespace.posts().len(), 1, "another token would say the same");
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_said_when_a_link_opens_and_by_the_probe() {
    for (endpoint, due) in [("http://127.0.0.1:1", "127.0.0.1:1"), ("https://no-such-host.invalid", "no-such-host.invalid")] {
        let yaml = format!("{{ namespace: contoso, policy: send, key: k, endpoint: '{endpoint}' }}");
        let broker = support::broker(&KIND, &yaml);
        let target = support::target(&*broker, "queue: orders");
        let opened = tokio::time::timeout(PATIENCE, broker.link(&target.link, &support::house())).await.expect("in time");
        let error = opened.err().expect("nobody is there");
        assert!(error.detail.contains(due), "{error}");
        let said = broker.probe(&Probe::Target(&target), &support::house()).await;
        assert!(said.len() == 1 && said[0].contains(due), "{said:?}");
    }
    let namespace = Namespace::start().await;
    let broker = support::broker(&KIND, &settings(&namespace.0.address.to_string(), ""));
    let target = support::target(&*broker, "queue: orders");
    let said = tokio::time::timeout(Duration::from_secs(5), broker.probe(&Probe::Target(&target), &support::house())).await;
    assert_eq!(said.expect("in time"), Vec::<String>::new());
}
