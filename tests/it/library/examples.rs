//! The examples run and say what they are meant to say.

use std::process::Command;

/// What an example prints.
fn said(name: &str) -> String {
    // Built now, if it is not of today.
    let ran = Command::new(env!("CARGO")).args(["run", "--quiet", "--example", name]).output();
    let ran = ran.unwrap_or_else(|error| panic!("{name}: {error}"));
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8_lossy(&ran.stderr).into_owned());
    assert!(ran.status.success(), "{name}: {}\n{out}{err}", ran.status);
    out
}

#[test]
fn embed_handles_its_events() {
    let said = said("embed");
    for line in [
        "welcome, Ada!",
        "mail for u-1 sent at try 2",
        "mail for u-2 sent at try 2",
        "live: {\"count\":2}",
        "dead: u-2 (missing field `name` at line 1 column 14)",
        "Drained",
    ] {
        assert!(said.lines().any(|known| known == line), "no line `{line}` in\n{said}");
    }
}

#[test]
fn own_broker_shows_its_colours() {
    let said = said("own_broker");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("[red] LampLit {\"message_type\":\"notification_event\""), "{said}");
    assert!(lines[1].starts_with("[green] LampLit "), "{said}");
    assert_eq!(lines[2], "dead: `beige` is no colour of this terminal");
}

#[test]
fn test_your_routes_passes_its_tests() {
    assert_eq!(said("test_your_routes"), "4 tests passed\n");
}
