use super::*;

fn one(when: Option<&str>, transform: Option<&str>) -> Router {
    router(vec![Route {
        when: when.map(jq),
        transform: transform.map(jq),
        ..route(vec![destination(0, "{message_name}:{payload.n|'-'}")])
    }])
}

fn order(payload: &str) -> RawMessage {
    let body = format!(
        r#"{{"message_type":"t","message_name":"Paid","message_id":"7","payload":{payload},"metadata":{{"tenant":"acme"}}}}"#
    );
    Parcel::default().header("x-region", "eu").with(body)
}

#[test]
fn when_lets_through_what_it_holds_for() {
    let cases = [
        (".payload.total > 100", Some(true)),
        (".payload.total > 1000", Some(false)),
        ("null", Some(false)),
        ("empty", Some(false)),
        ("0", Some(true)),
        ("\"false\"", Some(true)),
        (".payload.none", Some(false)),
        (".message_type == \"t\" and .message_name == \"Paid\" and .message_id == \"7\"", Some(true)),
        (".metadata.tenant == \"acme\" and .headers[\"x-region\"] == \"eu\"", Some(true)),
        ("true, false", Some(true)),
        // The moment the message was first seen, not the machine's clock.
        ("now == 1700000000", Some(true)),
        (".payload.total / \"x\"", None),
        ("error(\"no\")", None),
    ];
    for (program, expected) in cases {
        let batch = admit(&mut one(Some(program), None), [order(r#"{"total":200}"#)]);
        match expected {
            Some(true) => assert_eq!(copies(&batch), [(0, 0, "Paid:-", None)], "{program}"),
            Some(false) => {
                assert_eq!((batch.copies.len(), batch.idle.as_slice()), (0, [(0, Idle::Filtered)].as_slice()), "{program}");
            }
            None => assert_eq!(copies(&batch), [(0, 9, "orders.dead", Some(Reason::Transform))], "{program}"),
        }
    }
}

#[test]
fn transform_changes_payload_type_and_name_and_nothing_else() {
    let program = r#".payload |= (del(.card) | .n = 1) | .message_name = "Settled" | .message_type = "ecst_event" | .message_id = "x" | .metadata = null"#;
    let batch = admit(&mut one(None, Some(program)), [order(r#"{"card":"4242","big":123456789012345678901234567890,"f":1.10}"#)]);
    assert_eq!(copies(&batch), [(0, 0, "Settled:1", None)]);
    let message = message_of(&batch, &batch.copies[0]);
    assert_eq!((message.message_type(), message.name(), message.id()), ("ecst_event", "Settled", "7"));
    assert_eq!(std::str::from_utf8(message.payload()), Ok(r#"{"big":123456789012345678901234567890,"f":1.10,"n":1}"#));
    assert_eq!(message.metadata("tenant").as_deref(), Some("acme"));
    // The batch keeps the message as it came: another route, or the dead letter, sees no transform but its own.
    assert_eq!(batch.messages[0].name(), "Paid");
}

#[test]
fn a_payload_that_is_left_alone_keeps_its_bytes() {
    let payload = "{ \"a\":1, \"a\":2,\t\"z\": -0 }";
    for program in [".", ".message_name = \"Other\"", ".payload.a = 2", "{payload}", "{}"] {
        let batch = admit(&mut one(None, Some(program)), [order(payload)]);
        assert_eq!(batch.copies[0].death.as_ref().map(|death| death.error.clone()), None, "{program}");
        assert_eq!(message_of(&batch, &batch.copies[0]).payload(), payload.as_bytes(), "{program}");
    }
    let unchanged = admit(&mut one(None, Some(".")), [order(payload)]);
    assert!(unchanged.copies[0].transformed.is_none());
}

#[test]
fn a_transform_that_answers_wrongly_is_a_rejection() {
    let cases = [
        ("., .", "`transform` answered more than one value"),
        ("., error(\"late\")", "`transform` failed: \"late\""),
        ("error(\"no\")", "`transform` failed: \"no\""),
        (".payload", "`transform` must answer the envelope, an object: change `.payload`, do not answer it"),
        (".message_name = 7", "`transform` made a `message_name` that is no text"),
        (".payload = nan", "`transform` made a payload that is not JSON (NaN, bytes, or a key that is no text)"),
        (
            ".payload = {(1|tostring): infinite}",
            "`transform` made a payload that is not JSON (NaN, bytes, or a key that is no text)",
        ),
    ];
    for (program, detail) in cases {
        let batch = admit(&mut one(None, Some(program)), [order("[1]")]);
        assert_eq!(error(&batch), detail, "{program}");
        assert_eq!(copies(&batch), [(0, 9, "orders.dead", Some(Reason::Transform))]);
    }
    let batch = admit(&mut one(None, Some("empty")), [order("[1]")]);
    assert_eq!((batch.copies.len(), batch.idle.as_slice()), (0, [(0, Idle::Filtered)].as_slice()));
}

#[test]
fn destinations_see_what_their_route_made() {
    let mut settled = destination(1, "settled");
    settled.matcher = Some(Matcher { message_name: Some(pattern(&["Settled"])), ..Matcher::default() });
    let mut paid = destination(2, "paid");
    paid.matcher = Some(Matcher { message_name: Some(pattern(&["Paid"])), ..Matcher::default() });
    let mut large = destination(3, "large");
    large.when = Some(jq(".payload.n > 1"));
    let mut router = router(vec![Route {
        transform: Some(jq(".message_name = \"Settled\" | .payload.n += 1")),
        ..route(vec![settled, paid, large])
    }]);
    let batch = admit(&mut router, [order(r#"{"n":1}"#), order(r#"{"n":0}"#)]);
    assert_eq!(copies(&batch), [(0, 1, "settled", None), (0, 3, "large", None), (1, 1, "settled", None)]);
}

#[test]
fn a_route_that_fails_leaves_one_dead_letter_for_all_its_destinations() {
    let elsewhere = Destination { dead_letter: DeadLetterTo::Drop, ..destination(2, "c") };
    let mut router =
        router(vec![Route { transform: Some(jq("error")), ..route(vec![destination(0, "a"), destination(1, "b"), elsewhere]) }]);
    let batch = admit(&mut router, [order("1")]);
    assert_eq!(copies(&batch), [(0, 9, "orders.dead", Some(Reason::Transform))]);
    assert_eq!(batch.aside, [(0, LaneId(2), Idle::Dropped(Reason::Transform))]);
}

#[test]
fn a_program_reaches_nothing_but_its_message() {
    let off =
        ["env", "$ENV", "input", "inputs", "halt", "halt_error", "debug", "stderr", "input_filename", "localtime", "$__prog_args"];
    for program in off.into_iter().chain(["include \"x\"; .", "import \"x\" as x; .", ".payload |", "nosuch(1)", "def f: g; f"]) {
        let mut faults = Problems::default();
        assert!(Jq::compile(program, &at(), &mut faults).is_none(), "{program}");
        assert!(!faults.is_ok(), "{program}");
    }
    let said = |program: &str| {
        let mut faults = Problems::default();
        Jq::compile(program, &at(), &mut faults);
        faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(said("env.HOME"), "jq has no `env/0` here: a route sees its message and nothing else");
    assert_eq!(said("$ENV"), "jq has no variable `$ENV` here: a route sees its message and nothing else");
}

#[test]
fn a_tree_is_built_however_odd_the_message() {
    let odd = r#"{"deep":[[[[{"a":[]}]]]],"text":"\u0000\n\ud83d\ude00","num":[1e400,-0.0,0.1e-7]}"#;
    let batch =
        admit(&mut one(Some("[.payload.text | explode[]] == [0, 10, 128512]"), Some(".payload.added = true")), [order(odd)]);
    let payload = std::str::from_utf8(message_of(&batch, &batch.copies[0]).payload()).expect("UTF-8");
    assert!(payload.ends_with(r#""num":[1e400,-0.0,0.1e-7],"added":true}"#), "{payload}");
}
