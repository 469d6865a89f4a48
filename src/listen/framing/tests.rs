//! Heads, whole and in pieces.

use proptest::prelude::*;

use super::*;

/// Reads `text` in pieces of `size` bytes, the client waiting for nothing.
fn read(text: &str, size: usize) -> Framing {
    let mut framing = Framing::default();
    for piece in text.as_bytes().chunks(size) {
        framing.read(piece, false);
    }
    framing
}

fn suspect(text: &str) -> Option<u32> {
    let whole = read(text, usize::MAX).suspect;
    for size in 1..20 {
        assert_eq!(read(text, size).suspect, whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn one_way_to_say_how_long_a_body_is() {
    assert_eq!(suspect("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"), None);
    assert_eq!(suspect("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), None);
    assert_eq!(suspect("GET / HTTP/1.1\r\nhost: x\r\ncookie: a\r\ntraceparent: 00\r\n\r\n"), None);
}

#[test]
fn two_ways_are_suspect_in_any_order_and_case() {
    assert_eq!(suspect("POST /a HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(0));
    assert_eq!(suspect("POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\nX: y\r\ncontent-length: 2\r\n\r\n"), Some(0));
    assert_eq!(suspect("POST /a HTTP/1.1\r\nTRANSFER-ENCODING:chunked\r\nCONTENT-LENGTH:2\r\n\r\n"), Some(0));
    assert_eq!(suspect("POST /a HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n"), Some(0));
    assert_eq!(suspect("POST /a HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n"), Some(0));
}

#[test]
fn a_bare_line_feed_is_suspect() {
    assert_eq!(suspect("GET / HTTP/1.1\nHost: x\r\n\r\n"), Some(0));
    assert_eq!(suspect("GET / HTTP/1.1\r\nHost: x\n\r\n"), Some(0));
    assert_eq!(suspect("GET / HTTP/1.1\r\nHost: x\r\n\n"), Some(0));
    assert_eq!(suspect(&format!("GET / HTTP/1.1\r\nX: {}\n\r\n", "y".repeat(200))), Some(0));
}

#[test]
fn what_stands_in_a_body_or_in_a_value_is_no_head() {
    let inside = "Content-Length: 1\r\nTransfer-Encoding: chunked\n\n";
    let length = inside.len();
    assert_eq!(suspect(&format!("POST /a HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{inside}GET / HTTP/1.1\r\n\r\n")), None);
    assert_eq!(suspect("POST /a HTTP/1.1\r\nX: content-length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
}

#[test]
fn a_pipelined_head_is_read_behind_a_body() {
    let first = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    let second = "\r\nPOST /a HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(suspect(&format!("{first}{first}{second}")), Some(2));
}

#[test]
fn after_chunks_the_next_head_is_found_where_nothing_was_pipelined() {
    let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let both = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n";
    let mut framing = read(chunked, usize::MAX);
    framing.read(both, true);
    assert_eq!((framing.suspect, framing.lost), (Some(1), None));

    let mut framing = read(&format!("{chunked}POST /a HT"), usize::MAX);
    framing.read(b"TP/1.1\r\n\r\n", true);
    assert_eq!((framing.suspect, framing.lost), (None, Some(1)));
}

proptest! {
    #[test]
    fn anything_is_read_the_same_in_any_pieces(text in "(?s).{0,200}", size in 1usize..50) {
        let (whole, pieces) = (read(&text, usize::MAX), read(&text, size));
        prop_assert_eq!(whole.suspect, pieces.suspect);
        prop_assert_eq!(whole.index, pieces.index);
    }
}
