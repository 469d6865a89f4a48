//! The codec, for arbitrary bytes.

use proptest::prelude::*;

use super::{
    decode::{Decoder, Garbled, Limits, whole},
    encode::{Version, Writer},
};

const LIMITS: Limits = Limits { arguments: 100, argument_bytes: 1000, bytes: 10_000, known: true };

/// As a client sends it.
fn written(command: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer { out: &mut out, version: Version::Two };
    writer.array(command.len());
    for argument in command {
        writer.bulk(argument);
    }
    out
}

/// What a decoder makes of input that comes in these pieces: the commands, and how it ended.
fn read(pieces: &[&[u8]]) -> (Vec<Vec<Vec<u8>>>, Option<Garbled>) {
    let (mut decoder, mut kept, mut commands) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match decoder.decode(&kept, LIMITS) {
                Err(garbled) => return (commands, Some(garbled)),
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    commands.push(decoder.command(&kept).from(0).map(<[u8]>::to_vec).collect());
                    decoder.next();
                    kept.drain(..bytes);
                }
            }
        }
    }
    (commands, None)
}

fn garbled(input: &[u8]) -> Option<Garbled> {
    read(&[input]).1
}

proptest! {
    #[test]
    fn commands_come_as_they_were_written_wherever_the_bytes_are_split(
        commands in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 1..4)
    ) {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| written(command)).collect();
        for split in 0..bytes.len() {
            prop_assert_eq!(read(&[&bytes[..split], &bytes[split..]]), (commands.clone(), None));
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single), (commands, None));
    }

    #[test]
    fn arbitrary_bytes_are_commands_or_garbled_and_never_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (commands, _) = read(&[&bytes]);
        let said: usize = commands.iter().flatten().map(Vec::len).sum();
        prop_assert!(said <= bytes.len());
    }

    #[test]
    fn bytes_of_the_protocol_in_any_order_are_read_alike_in_pieces_and_whole(
        bytes in prop::collection::vec(prop::sample::select(b"*$0123-\r\na\"'\\ ".to_vec()), 0..60)
    ) {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single), read(&[&bytes]));
    }
}

#[test]
fn an_inline_command_is_taken_apart_as_redis_does() {
    let words = |line: &str| read(&[format!("{line}\r\n").as_bytes()]).0.pop().expect("a command");
    assert_eq!(words(r#"  ECHO "a\x41\n\"" 'b\'c'  d "#), [b"ECHO".to_vec(), b"aA\n\"".to_vec(), b"b'c".to_vec(), b"d".to_vec()]);
    assert_eq!(words(r#"ECHO """#), [b"ECHO".to_vec(), Vec::new()]);
    assert_eq!(words(""), Vec::<Vec<u8>>::new());
    for line in ["SET \"a\r\n", "SET 'a\r\n", "SET \"a\"b\r\n", "SET 'a'b\r\n"] {
        assert_eq!(garbled(line.as_bytes()), Some(Garbled::Quotes), "{line:?}");
    }
}

/// The answers are those of redis-server 7.0.15 to the same bytes.
#[test]
fn what_is_no_command_is_refused_in_redis_words() {
    for (input, words) in [
        ("*1\r\n*1\r\n", "Protocol error: expected '$', got '*'"),
        ("*x\r\n", "Protocol error: invalid multibulk length"),
        ("*99999999\r\n", "Protocol error: invalid multibulk length"),
        ("*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$9999999\r\n", "Protocol error: invalid bulk length"),
        ("*1111111111111111111111111111", "Protocol error: too big mbulk count string"),
        ("*1\r\n$1111111111111111111111111", "Protocol error: too big bulk count string"),
    ] {
        assert_eq!(garbled(input.as_bytes()).expect(input).to_string(), words, "{input:?}");
    }
    assert_eq!(garbled(&vec![b'a'; 70_000]), Some(Garbled::Inline));
    assert_eq!(garbled(b"*1\r\n$1\r\naXX"), Some(Garbled::End), "Redis does not look, and goes astray");
    assert_eq!(read(&[b"*0\r\n*-5\r\n\r\nPING\r\n"]).0.concat(), [b"PING".to_vec()]);
}

/// Naive: each argument within its bound, and all of them together without one.
#[test]
fn a_command_of_many_long_arguments_is_refused_before_it_is_kept() {
    let mut input = b"*50\r\n".to_vec();
    for _ in 0..11 {
        input.extend_from_slice(&written(&[vec![b'x'; 1000]])[4..]);
    }
    assert_eq!(garbled(&input), Some(Garbled::Length));
    let argument_ahead = b"*2\r\n$1000\r\n";
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(argument_ahead, LIMITS), Ok(None));
    assert_eq!(decoder.wants(), argument_ahead.len() + 1000 + 2);
}

#[test]
fn numbers_are_read_as_redis_reads_them() {
    for (text, number) in [("0", Some(0)), ("17", Some(17)), ("-3", Some(-3)), ("9223372036854775807", Some(i64::MAX))] {
        assert_eq!(whole(text.as_bytes()), number);
    }
    for text in ["", "-", "+1", "01", "-0", "1 ", " 1", "1x", "9223372036854775808"] {
        assert_eq!(whole(text.as_bytes()), None, "{text:?}");
    }
}
