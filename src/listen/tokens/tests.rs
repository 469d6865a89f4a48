//! Lines, changes, and what is never shown.

use std::io::Write;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn tokens(file: &tempfile::NamedTempFile) -> Tokens {
    Tokens::new(vec![file.path().to_owned()])
}

fn patterns(tokens: &Tokens, token: &str) -> Option<Vec<String>> {
    let grant = tokens.grant(token.as_bytes()).unwrap()?;
    Some(grant.patterns.iter().map(|pattern| String::from_utf8_lossy(pattern).into_owned()).collect())
}

#[test]
fn a_line_is_a_token_and_its_patterns() {
    let file = file("\n# people\nalpha\n  beta app:* in:x  \r\n");
    let tokens = tokens(&file);
    assert_eq!(patterns(&tokens, "alpha"), Some(vec![]));
    assert_eq!(patterns(&tokens, "beta"), Some(vec!["app:*".into(), "in:x".into()]));
    for wrong in ["", "alph", "alphaa", "ALPHA", "app:*", "#", "# people"] {
        assert_eq!(patterns(&tokens, wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_changed_file_is_read_again() {
    let mut file = file("old\n");
    let tokens = tokens(&file);
    assert!(patterns(&tokens, "old").is_some());
    file.as_file().set_len(0).unwrap();
    std::io::Seek::rewind(file.as_file_mut()).unwrap();
    file.write_all(b"a-new-one\n").unwrap();
    std::thread::sleep(LOOK_EVERY + Duration::from_millis(50));
    assert!(patterns(&tokens, "a-new-one").is_some());
    assert!(patterns(&tokens, "old").is_none());
}

#[test]
fn without_its_file_nobody_comes_in() {
    let file = file("token\n");
    let tokens = tokens(&file);
    assert!(patterns(&tokens, "token").is_some());
    let path = file.path().display().to_string();
    file.close().unwrap();
    std::thread::sleep(LOOK_EVERY + Duration::from_millis(50));
    for _ in 0..2 {
        let error = tokens.grant(b"token").unwrap_err();
        assert!(error.to_string().contains(&path), "{error}");
    }
}

#[test]
fn no_token_is_ever_shown() {
    let file = file("hunter2hunter2\n");
    let tokens = tokens(&file);
    assert!(patterns(&tokens, "hunter2hunter2").is_some());
    assert!(!format!("{tokens:?}").contains("hunter2"));
}

#[test]
fn a_bearer_token_stands_behind_its_scheme() {
    let shown = |value: &'static str| {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        bearer(&headers).map(|token| String::from_utf8_lossy(token).into_owned())
    };
    assert_eq!(shown("Bearer abc").as_deref(), Some("abc"));
    assert_eq!(shown("bearer  abc ").as_deref(), Some("abc"));
    for wrong in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
        assert_eq!(shown(wrong), None, "{wrong:?}");
    }
    assert_eq!(bearer(&HeaderMap::new()), None);
}
