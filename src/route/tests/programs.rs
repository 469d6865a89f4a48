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

/// Runs on a thread with the stack of a pipeline.
fn as_a_pipeline(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(crate::route::STACK_BYTES).spawn(run);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn a_program_that_would_never_end_is_given_up() {
    let (steps, depth, size) =
        ("it took more than 4,000,000 steps", "its calls or values nest too deep", "it made a value of more than 16 MiB");
    let cases = [
        ("def f: f; f", steps),
        ("def f: try f catch f; f", depth),
        ("[range(1e12)]", steps),
        ("[limit(1e9; repeat(.))]", steps),
        ("try ([limit(1e9; repeat(.))]) catch empty", steps),
        ("until(false; .)", steps),
        ("def f: 1 + f; f", depth),
        ("def f: [f]; f", depth),
        ("reduce range(1e9) as $i ([]; [.])", steps),
        // Doubled by each of the ways that a value has to grow.
        ("reduce range(99) as $i (\"x\"; . + .)", size),
        ("reduce range(99) as $i (\"x\"; \"\\(.)\\(.)\")", size),
        ("reduce range(99) as $i ([1]; . + .)", size),
        ("reduce range(99) as $i ([1]; [.[], .[]])", steps),
        (".payload.text * 1e18", size),
        (".payload.text * 100000000000000000000000", size),
        ("reduce range(99) as $i (3; . * .)", steps),
        (".payload.text = (reduce range(99) as $i (\"x\"; . += .))", size),
        // Small in memory, endless for whoever reads it.
        ("reduce range(99) as $i (1; [., .]) | tojson", steps),
        ("reduce range(99) as $i (1; [., .]) | . == (. | map(.))", steps),
        ("reduce range(99) as $i (1; {a: ., b: .}) | {(tojson): 1}", steps),
        ("[limit(2; repeat(reduce range(99) as $i (1; [., .])))] | sort", steps),
        (".payload = reduce range(99) as $i (1; [., .])", steps),
        ("error(reduce range(99) as $i (1; [., .]))", steps),
        ("reduce range(2000) as $i (1; [.]) | tojson", depth),
        (".payload = reduce range(2000) as $i (1; [.])", depth),
    ];
    as_a_pipeline(move || {
        for (program, why) in cases {
            let batch = admit(&mut one(None, Some(program)), [order(r#"{"text":"xy"}"#)]);
            let said = error(&batch);
            assert!(said.ends_with(why), "{program}: {said}");
            assert_eq!(copies(&batch), [(0, 9, "orders.dead", Some(Reason::Transform))], "{program}");
        }
        // The next message of the same router is none the worse.
        let batch = admit(
            &mut one(Some("if .payload.n then [range(.payload.n)] | length > 0 else true end"), None),
            [order(r#"{"n":1000000000000}"#), order("{}")],
        );
        assert_eq!(copies(&batch), [(0, 9, "orders.dead", Some(Reason::Transform)), (1, 0, "Paid:-", None)]);
    });
}

#[test]
fn what_a_message_says_cannot_overwhelm_the_reader() {
    let deep = format!(r#"{{"text":"{}"}}"#, "[".repeat(500_000));
    let hidden = format!(r##"{{"text":"#\"\n{}"}}"##, "[".repeat(500_000));
    let digits = "7".repeat(900_000);
    let cases = [
        (deep, "`transform` failed: \"a text is no JSON, or nests deeper than 128 levels\""),
        (hidden, "`transform` failed: \"a text is no JSON, or nests deeper than 128 levels\""),
        (format!(r#"{{"text":"{digits}"}}"#), "`transform` failed: \"a number has more than 16384 digits\""),
        (format!(r#"{{"text":"1","n":[{digits}]}}"#), "a number has more than 16384 digits"),
    ];
    for (payload, why) in cases {
        let batch = admit(&mut one(None, Some(".payload.made = (.payload.text | fromjson)")), [order(&payload)]);
        assert_eq!(error(&batch), why);
    }
    let batch = admit(&mut one(None, Some(".payload |= fromjson")), [order(&serde_json::Value::from("[[1],2]").to_string())]);
    assert_eq!(message_of(&batch, &batch.copies[0]).payload(), b"[[1],2]");
}

/// The way back from a `type_prefix` that docs/decisions/0015 names.
#[test]
fn a_type_prefix_is_taken_off_by_a_transform() {
    let program = ".message_name |= ltrimstr(\"com.example.\")";
    let event =
        Parcel::default().with(r#"{"message_type":"t","message_name":"com.example.Paid","message_id":"7","payload":{"a": 1}}"#);
    let batch = admit(&mut one(None, Some(program)), [event]);
    assert_eq!(message_of(&batch, &batch.copies[0]).name(), "Paid");
    assert_eq!(message_of(&batch, &batch.copies[0]).payload(), br#"{"a": 1}"#);
}

/// Counting changes no answer of the filters that are rewritten.
#[test]
fn a_program_answers_as_if_nobody_counted() {
    let cases = [
        ("[range(5)]", "[0,1,2,3,4]"),
        ("[range(0; 10; 3)]", "[0,3,6,9]"),
        ("[range(5; 0; -2)]", "[5,3,1]"),
        ("[(1,2) * (3,4)]", "[3,4,6,8]"),
        ("[(1,2) + (3,4)]", "[4,5,5,6]"),
        ("[7 % 4, 7 - 4, 7 / 2]", "[3,3,3.5]"),
        ("{a:1,\"b\":2} * {a:{c:3}}", "{\"a\":{\"c\":3},\"b\":2}"),
        ("1 as $x | {$x, y: [$x]} | .x += 4 | .x *= 2 | .x %= 7 | .x -= 1", "{\"x\":2,\"y\":[1]}"),
        ("[\"ab\" * 2, (\"ab\" * 0), \"a\\(1 + 1)b\", @base64 \"x\\(\"hi\")\"]", "[\"abab\",null,\"a2b\",\"xaGk=\"]"),
        ("[3,1,2] | sort, sort_by(-.), (map({k: (. % 2)}) | group_by(.k) | length)", "two"),
        ("[3,1,2] | [sort, sort_by(-.), min, max, index(1)]", "[[1,2,3],[3,2,1],1,3,1]"),
        ("[[1,2],[3]] | flatten | add | tojson", "\"6\""),
        ("\"[1,{\\\"a\\\":2}]\" | fromjson", "[1,{\"a\":2}]"),
        ("{a:{b:1}} | . as {a: {$b}} | [$b, .[\"a\"].b, .a[\"b\"]]", "[1,1,1]"),
        ("[1,[2]] | walk(if type == \"number\" then . + 1 else . end)", "[2,[3]]"),
        ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; 25 | fac", "15511210043330985984000000"),
        ("[limit(3; repeat(1))]", "[1,1,1]"),
        ("[\"a\",\"b\"] | join(\"-\")", "\"a-b\""),
        ("\"a1b2\" | gsub(\"[0-9]\"; \"_\")", "\"a_b_\""),
        ("{b:1,a:2} | to_entries | map(.key) | unique", "[\"a\",\"b\"]"),
        ("[{a:1,b:2}] | map(del(.b))", "[{\"a\":1}]"),
        ("try error(\"x\") catch .", "\"x\""),
        ("[.[]?] | isempty(.[])", "false"),
    ];
    for (program, answer) in cases {
        let batch = admit(&mut one(None, Some(&format!(".payload = ({program})"))), [order("0")]);
        if answer == "two" {
            assert_eq!(error(&batch), "`transform` answered more than one value", "{program}");
        } else {
            assert_eq!(batch.copies[0].death.as_ref().map(|death| death.error.clone()), None, "{program}");
            let payload = std::str::from_utf8(message_of(&batch, &batch.copies[0]).payload()).expect("UTF-8").to_owned();
            assert_eq!(payload, answer, "{program}");
        }
    }
}

#[test]
fn a_large_message_stays_within_the_allowance() {
    let items = vec![r#"{"sku":"A-1029","count":3,"price":19.90,"tags":["x","y"]}"#; 17_000].join(",");
    let program = ".payload.items |= map(select(.count > 1) | .total = .count * .price | {sku, total, n: (.tags | length)}) | .payload.sum = (.payload.items | map(.total) | add) | .payload.names = (.payload.items | map(.sku) | join(\",\"))";
    as_a_pipeline(move || {
        let batch = admit(&mut one(None, Some(program)), [order(&format!(r#"{{"items":[{items}]}}"#))]);
        assert_eq!(batch.copies[0].death.as_ref().map(|death| death.error.clone()), None);
        assert!(message_of(&batch, &batch.copies[0]).payload().len() > 500_000);
    });
}
