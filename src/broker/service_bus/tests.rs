//! What is written of a namespace, and what it comes to.

use super::{
    credential::TokenKind,
    settings::{Settings, Transport},
    *,
};
use crate::{telemetry::Metrics, written::parse};

fn read(yaml: &str) -> (Option<Settings>, Problems) {
    let mut faults = Problems::default();
    let node = parse("test", yaml, &mut faults).unwrap_or_else(|| panic!("{faults:?}"));
    (Settings::read("bus", &node.moved_to("brokers.bus.service_bus"), &mut faults), faults)
}

fn sound(yaml: &str) -> Settings {
    let (settings, faults) = read(yaml);
    assert!(faults.is_empty(), "{faults:?}");
    settings.unwrap()
}

/// What is said of settings, in one text.
fn faults(yaml: &str) -> String {
    let said = |problem: &crate::written::Problem| format!("{} {}", problem.message, problem.hint.as_deref().unwrap_or_default());
    read(yaml).1.iter().map(said).collect::<Vec<_>>().join("\n")
}

const EMULATOR: &str = "Endpoint=sb://localhost:5999;SharedAccessKeyName=R;SharedAccessKey=hunter2;UseDevelopmentEmulator=true";

#[test]
fn a_namespace_is_a_label_of_the_public_cloud_or_a_whole_name() {
    for (namespace, host) in [
        ("Contoso", "contoso.servicebus.windows.net"),
        ("contoso.servicebus.chinacloudapi.cn", "contoso.servicebus.chinacloudapi.cn"),
    ] {
        let access = sound(&format!("{{ namespace: {namespace}, policy: p, key: k }}")).access().unwrap();
        assert_eq!(access.host, host);
        assert_eq!(access.https.as_ref().map(ToString::to_string), Some(format!("https://{host}/")));
        assert_eq!(access.amqp.to_string(), format!("amqps://{host}:5671"));
        assert_eq!(access.resource("sb", "a/b"), format!("sb://{host}/a/b"));
    }
}

#[test]
fn the_short_form_is_a_policy_its_key_and_a_namespace() {
    for scheme in KIND.schemes {
        let settings = sound(&format!("'{scheme}://send:a%2Fb%3D@contoso'"));
        assert_eq!(settings.display(), "servicebus://contoso.servicebus.windows.net");
        assert_eq!(settings.transport(), Transport::Https);
    }
    for (url, named) in [
        ("servicebus://contoso", "who we are"),
        ("servicebus://send@contoso", "who we are"),
        ("servicebus://send:hunter2@contoso:5671", "nothing else"),
        ("servicebus://send:hunter2@contoso/orders", "nothing else"),
        ("servicebus://send:hunter2@con_toso", "no namespace"),
    ] {
        let said = faults(&format!("'{url}'"));
        assert!(said.contains(named), "{url}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_emulator_is_plain_amqp_at_its_host_and_port_for_both_ends() {
    let settings = sound(&format!("{{ connection_string: '{EMULATOR}' }}"));
    assert_eq!(settings.transport(), Transport::Amqp);
    let access = settings.access().unwrap();
    assert_eq!(access.amqp.to_string(), "amqp://localhost:5999");
    assert_eq!(access.https, None);
    assert!(faults(&format!("{{ connection_string: '{EMULATOR}', transport: https }}")).contains("AMQP only"));
    // Something that has both sides, as the tests' own stand-in.
    let both = sound(&format!("{{ connection_string: '{EMULATOR}', transport: https, endpoint: 'http://127.0.0.1:80' }}"));
    assert_eq!((both.transport(), both.access().unwrap().https.is_some()), (Transport::Https, true));
    let far = faults(&format!("{{ connection_string: '{}' }}", EMULATOR.replace("localhost", "bus")));
    assert!(far.contains("unencrypted"), "{far}");
}

#[test]
fn what_is_missing_or_too_much_is_named_without_a_secret() {
    for (yaml, named) in [
        ("{}", "needs `namespace`, or `connection_string`"),
        ("{ namespace: c, policy: p }", "needs `key`"),
        ("{ namespace: c, key: hunter2 }", "needs `policy`"),
        ("{ namespace: c, policy: p, key: hunter2, entra: { managed_identity: true } }", "exclude each other"),
        (
            "{ namespace: c, connection_string: 'Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=hunter2' }",
            "connection string",
        ),
        ("{ connection_string: 'Endpoint=sb://h;SharedAccessKey=hunter2' }", "SharedAccessKeyName"),
        ("{ namespace: 'a b', policy: p, key: hunter2 }", "no namespace"),
        ("{ namespace: c, policy: p, key: hunter2, endpoint: 'ftp://h' }", "`endpoint`"),
        ("{ namespace: c, policy: p, key: hunter2, endpoint: 'https://u:hunter2@h' }", "nothing else"),
        ("{ namespace: c, policy: p, key: hunter2, endpoint: 'https://h/path' }", "nothing else"),
        ("{ namespace: c, policy: p, key: hunter2, endpoint: 'http://far' }", "unencrypted"),
        ("{ namespace: c, policy: p, key: hunter2, amqp_endpoint: 'https://h' }", "`amqps://`"),
        ("{ namespace: c, policy: p, key: hunter2, amqp_endpoint: 'amqp://far' }", "unencrypted"),
        ("{ namespace: c, policy: p, key: hunter2, transport: sbmp }", "https"),
        ("{ namespace: c, policy: p, key: hunter2, batch_bytes: 10 }", "batch_bytes"),
        ("{ namespace: c, policy: p, key: hunter2, pollicy: x }", "unknown key"),
    ] {
        let said = faults(yaml);
        assert!(said.contains(named), "{yaml}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn settings_never_print_a_secret() {
    for yaml in [
        "{ namespace: c, policy: p, key: hunter2 }".to_owned(),
        format!("{{ connection_string: '{EMULATOR}' }}"),
        "'servicebus://p:hunter2@c'".to_owned(),
    ] {
        let settings = sound(&yaml);
        let shown = format!("{settings:?} {} {:?}", settings.display(), settings.access().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_token_is_kept_while_it_holds_and_made_anew_once_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bus");
    let write =
        |key: &str| std::fs::write(&file, format!("Endpoint=sb://h/;SharedAccessKeyName=p;SharedAccessKey={key}\n")).unwrap();
    write("one");
    let access = sound(&format!("{{ connection_string_file: '{}' }}", file.display())).access().unwrap();
    let house = House::new("test".into(), "test".into(), Arc::new(Metrics::new()));
    let first = access.credential.token("https://h/a", &house).await.unwrap();
    assert_eq!((first.kind, first.authorization().as_str()), (TokenKind::Sas, first.reveal()));
    write("two");
    assert!(access.credential.token("https://h/a", &house).await.unwrap() == first);
    access.credential.refused("https://h/a");
    let second = access.credential.token("https://h/a", &house).await.unwrap();
    assert!(second != first, "signed with the key that the file holds now");
    std::fs::remove_file(&file).unwrap();
    access.credential.refused("https://h/a");
    let error = access.credential.token("https://h/a", &house).await.unwrap_err();
    assert_eq!(error.reason, crate::outcome::Reason::Unauthenticated);
    assert!(error.detail.contains("bus"), "{error}");
}

#[test]
fn a_destination_is_a_queue_or_a_topic_that_can_be() {
    let settings = Arc::new(sound("{ connection_string: 'Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=k' }"));
    let only =
        Arc::new(sound("{ connection_string: 'Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=k;EntityPath=orders' }"));
    let read = |settings: &Arc<Settings>, yaml: &str| {
        let mut faults = Problems::default();
        let node = parse("test", yaml, &mut faults).unwrap();
        let target = target::read(&"bus".into(), settings, &node, &mut faults);
        (target.map(|target| target.address.text), faults.iter().map(|fault| fault.message.clone()).collect::<String>())
    };
    for (yaml, due) in [("orders", "orders"), ("queue: a/b", "a/b"), ("topic: 'e.{message_type}'", "e.{message_type}")] {
        assert_eq!(read(&settings, yaml).0.as_deref(), Some(due));
    }
    for (yaml, named) in [
        ("{ queue: a, topic: b }", "exclude"),
        ("{ key: k }", "needs `queue` or `topic`"),
        ("a b", "holds"),
        ("queue: a/../b", "no queue"),
    ] {
        let (target, said) = read(&settings, yaml);
        assert!(target.is_none() && said.contains(named), "{yaml}: {said}");
    }
    assert!(read(&only, "Orders").0.is_some());
    assert!(read(&only, "others").1.contains("`orders` alone"));
}

#[test]
fn a_connection_string_for_one_queue_or_topic_reads_no_other() {
    let text = "Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=k;EntityPath=orders";
    let settings = Arc::new(sound(&format!("{{ connection_string: '{text}' }}")));
    let broker = Arc::new(ServiceBus { name: "bus".into(), settings });
    let read = |yaml: &str| {
        let mut faults = Problems::default();
        let node = parse("test", yaml, &mut faults).unwrap();
        let read = origin::BusOrigin::read(&broker, &node, &mut faults).is_some();
        (read, faults.iter().map(|fault| fault.message.clone()).collect::<String>())
    };
    for yaml in ["Orders", "orders/$DeadLetterQueue", "orders/subscriptions/eu", "{ topic: orders, subscription: eu }"] {
        assert_eq!(read(yaml), (true, String::new()), "{yaml}");
    }
    for yaml in
        ["others", "{ queue: others/$DeadLetterQueue }", "others/subscriptions/orders", "{ topic: others, subscription: eu }"]
    {
        let (read, said) = read(yaml);
        assert!(!read && said.contains("`orders` alone"), "{yaml}: {said}");
    }
}
