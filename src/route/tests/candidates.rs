use proptest::prelude::*;

use super::*;

/// Globs as people write them for names of events: literals, `*`, `?`, classes, alternatives.
fn glob() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-cA.:/_-]{1,3}",
        3 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("{a,b*,}".to_owned())
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    "[a-cA.:/_\n-]{0,6}"
}

fn matcher() -> impl Strategy<Value = Option<(Vec<String>, Vec<String>)>> {
    prop::option::of((prop::collection::vec(glob(), 0..3), prop::collection::vec(glob(), 0..3)))
}

fn compiled(matcher: Option<&(Vec<String>, Vec<String>)>) -> Option<Matcher> {
    let list = |globs: &Vec<String>| (!globs.is_empty()).then(|| pattern(&globs.iter().map(String::as_str).collect::<Vec<_>>()));
    matcher.map(|(types, names)| Matcher { message_type: list(types), message_name: list(names), ..Matcher::default() })
}

/// What a glob means, written down as plainly as possible.
fn matches(glob: &[char], text: &[char]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| matches(rest, &text[taken..])),
        Some(('?', rest)) => !text.is_empty() && matches(rest, &text[1..]),
        Some(('[', rest)) => {
            let end = rest.iter().position(|character| *character == ']').expect("closed");
            text.first().is_some_and(|first| rest[..end].contains(first)) && matches(&rest[end + 1..], &text[1..])
        }
        Some(('{', rest)) => {
            let end = rest.iter().position(|character| *character == '}').expect("closed");
            rest[..end].split(|character| *character == ',').any(|choice| matches(&[choice, &rest[end + 1..]].concat(), text))
        }
        Some((character, rest)) => text.first() == Some(character) && matches(rest, &text[1..]),
    }
}

fn any_of(globs: &[String], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    globs.is_empty() || globs.iter().any(|glob| matches(&glob.chars().collect::<Vec<_>>(), &text))
}

proptest! {
    #[test]
    fn globs_mean_what_they_say(globs in prop::collection::vec(glob(), 1..4), text in name()) {
        let pattern = pattern(&globs.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(pattern.is_match(&text), any_of(&globs, &text), "{:?} {:?}", globs, text);
    }

    /// One combined set and its memory answer what asking every matcher by itself would.
    #[test]
    fn the_memory_answers_as_brute_force(
        routes in prop::collection::vec((matcher(), prop::collection::vec(matcher(), 1..3)), 0..6),
        pairs in prop::collection::vec((name(), name()), 1..12),
    ) {
        let built = routes.iter().map(|(own, destinations)| Route {
            matcher: compiled(own.as_ref()),
            ..route(destinations.iter().map(|wanted| Destination { matcher: compiled(wanted.as_ref()), ..destination(0, "a") }).collect())
        });
        let mut router = router(built.collect());
        let takes = |wanted: &Option<(Vec<String>, Vec<String>)>, kind: &str, name: &str| {
            wanted.as_ref().is_none_or(|(types, names)| any_of(types, kind) && any_of(names, name))
        };
        // Twice: found, then remembered.
        for (kind, name) in pairs.iter().chain(&pairs) {
            let expected: Vec<Candidate> = (0..).zip(&routes).filter(|(_, (own, _))| takes(own, kind, name)).map(|(route, (_, destinations))| {
                let wanted = (0..).zip(destinations).filter(|(_, wanted)| takes(wanted, kind, name));
                Candidate { route, destinations: wanted.map(|(index, _)| index).collect() }
            }).collect();
            prop_assert_eq!(&*router.candidates(kind, name), expected.as_slice(), "{} {}", kind, name);
        }
    }
}

#[test]
fn the_memory_has_a_bound() {
    let mut router = router(vec![route(vec![destination(0, "a")])]);
    let first = router.candidates("t", "n0");
    for index in 1..4096 {
        router.candidates("t", &format!("n{index}"));
    }
    assert!(std::sync::Arc::ptr_eq(&first, &router.candidates("t", "n0")), "4,096 pairs are remembered");
    router.candidates("t", "one more");
    assert!(!std::sync::Arc::ptr_eq(&first, &router.candidates("t", "n0")), "one more, and all are forgotten");
    let long = "n".repeat(10_000);
    let found = router.candidates("t", &long);
    assert!(!std::sync::Arc::ptr_eq(&found, &router.candidates("t", &long)), "what a producer makes long is never kept");
}

#[test]
fn a_glob_that_is_none_is_a_fault() {
    let (at, mut faults) = (at(), Problems::default());
    assert!(Pattern::compile([("ok*", &at), ("[a", &at), ("{a", &at)], &mut faults).is_none());
    assert_eq!(faults.iter().count(), 2);
}

#[test]
fn a_dot_at_the_end_is_a_dot_also_where_a_path_would_have_no_file_name() {
    for (glob, yes, no) in [
        ("*.", "..", ".a"),
        ("*a.", "a.", ".."),
        ("*\\.", "x/..", "x"),
        ("*[a/].", "b/.", "b."),
        ("[x.]", ".", "x."),
        ("*\\\\.", "\\.", ".."),
    ] {
        assert!(pattern(&[glob]).is_match(yes) && !pattern(&[glob]).is_match(no), "{glob}");
    }
}

#[test]
fn a_run_of_stars_is_one_but_where_a_star_is_a_star() {
    for (glob, yes, no) in
        [("a**b", "a/x/b", "ab/"), ("**/", "/", ""), ("\\**", "*x", "x"), ("\\[**", "[x", "x"), ("[*x]**", "*", "a")]
    {
        assert!(pattern(&[glob]).is_match(yes) && !pattern(&[glob]).is_match(no), "{glob}");
    }
}
