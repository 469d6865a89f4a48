//! The RESP door, byte for byte. Answers that Redis gives too are those of redis-server 7.0.15 to the same commands.

use std::time::Duration;

use tokio::time::sleep;

use super::{Doors, hello, tokens};
use crate::conformance::eventually;

#[tokio::test]
async fn commands_are_answered_as_redis_answers_them() {
    let doors = Doors::open();
    let mut client = doors.client().await;
    for (line, answer) in [
        ("PING", "+PONG\r\n"),
        ("ping x", "$1\r\nx\r\n"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
        ("ECHO \"a\\x00b\"", "$3\r\na\0b\r\n"),
        ("SELECT 0", "+OK\r\n"),
        ("SELECT 99", "-ERR DB index is out of range\r\n"),
        ("SELECT x", "-ERR value is not an integer or out of range\r\n"),
        ("PUBLISH a", "-ERR wrong number of arguments for 'publish' command\r\n"),
        ("PUBLISH a b", ":0\r\n"),
        ("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"),
        ("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"),
        ("CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        (
            "AUTH a",
            "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n",
        ),
        ("AUTH a b", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        ("AUTH a b c", "-ERR syntax error\r\n"),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
        ("COMMAND DOCS", "*0\r\n"),
        ("COMMAND INFO nope", "*1\r\n$-1\r\n"),
        ("PUBSUB NUMPAT", ":0\r\n"),
        ("PUBSUB NUMSUB a b", "*4\r\n$1\r\na\r\n:0\r\n$1\r\nb\r\n:0\r\n"),
        ("PUBSUB FOO", "-ERR unknown subcommand 'FOO'. Try PUBSUB HELP.\r\n"),
        ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"),
        ("PUNSUBSCRIBE x", "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:0\r\n"),
        ("RESET", "+RESET\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
    ] {
        client.ask(line, answer).await;
    }
    client.ask("QUIT", "+OK\r\n").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_subscriber_hears_what_matches_and_may_do_little_else_in_resp2() {
    let doors = Doors::open();
    let (mut client, mut publisher) = (doors.client().await, doors.client().await);
    client
        .ask(
            "SUBSCRIBE a a b",
            "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
        )
        .await;
    client.ask("PSUBSCRIBE a*", "*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:3\r\n").await;
    client
        .ask(
            "ECHO x",
            "-ERR Can't execute 'echo': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n",
        )
        .await;
    client.ask("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    client.ask("PING x", "*2\r\n$4\r\npong\r\n$1\r\nx\r\n").await;
    publisher.ask("PUBLISH a hello", ":2\r\n").await;
    client.hears("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n").await;
    client.hears("*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$5\r\nhello\r\n").await;
    publisher.ask("PUBLISH other x", ":0\r\n").await;
    publisher.ask("PUBSUB CHANNELS a*", "*1\r\n$1\r\na\r\n").await;
    publisher.ask("PUBSUB NUMSUB a", "*2\r\n$1\r\na\r\n:1\r\n").await;
    publisher.ask("PUBSUB NUMPAT", ":1\r\n").await;
    client.ask("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n").await;
    client.ask("RESET", "+RESET\r\n").await;
    publisher.ask("PUBLISH a hello", ":0\r\n").await;
    client.hears_nothing().await;
}

#[tokio::test]
async fn resp3_pushes_and_may_do_all_while_it_listens() {
    let doors = Doors::open();
    let mut client = doors.client().await;
    client.ask("HELLO 3 SETNAME me", &hello(1)).await;
    client.ask("UNSUBSCRIBE", ">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n").await;
    client.ask("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n").await;
    client.ask("PING x", "$1\r\nx\r\n").await;
    client.ask("CLIENT GETNAME", "$2\r\nme\r\n").await;
    client.say("PUBLISH a b\r\n").await;
    client.hears(":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n").await;
    client.ask("COMMAND DOCS", "%0\r\n").await;
}

#[tokio::test]
async fn without_a_token_nothing_is_heard_or_said_and_a_grant_is_kept_to() {
    let (_kept, tokens) = tokens("all-of-it\nsome-of-it app:* in:x\n");
    let doors = Doors::with(|settings| settings.tokens = Some(tokens.clone()));
    let mut client = doors.client().await;
    client.ask("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n").await;
    for line in ["PING", "SUBSCRIBE a", "PUBLISH a b", "INFO", "PUBSUB CHANNELS"] {
        client.ask(line, "-NOAUTH Authentication required.\r\n").await;
    }
    client.say("HELLO 3\r\n").await;
    client.hears("-NOAUTH HELLO must be called with the client already authenticated").await;
    client.hears(", otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n").await;
    client.ask("AUTH nobody", "-WRONGPASS invalid username-password pair or user is disabled.\r\n").await;
    client.ask("AUTH some-of-it", "+OK\r\n").await;
    let no = "-NOPERM this user has no permissions to access one of the channels used as arguments\r\n";
    for line in ["SUBSCRIBE other", "SUBSCRIBE app:x other", "PSUBSCRIBE *", "PSUBSCRIBE a*", "PUBLISH other x"] {
        client.ask(line, no).await;
    }
    client.ask("PUBLISH in:x 1", ":0\r\n").await;
    client.ask("PSUBSCRIBE app:a*", "*3\r\n$10\r\npsubscribe\r\n$6\r\napp:a*\r\n:1\r\n").await;
    client.ask("RESET", "+RESET\r\n").await;
    client.ask("PING", "-NOAUTH Authentication required.\r\n").await;
    client.ask("AUTH any-name all-of-it", "+OK\r\n").await;
    client.ask("PUBLISH other x", ":0\r\n").await;

    let mut guesser = doors.client().await;
    for _ in 0..5 {
        guesser.ask("AUTH guess", "-WRONGPASS invalid username-password pair or user is disabled.\r\n").await;
    }
    assert_eq!(guesser.rest().await, "");
    eventually("it is counted", || async { doors.dropped("unauthenticated") == 1 }).await;
}

#[tokio::test]
async fn past_the_last_place_a_client_is_told_so() {
    let doors = Doors::with(|settings| settings.clients = 2);
    let (mut one, mut two) = (doors.client().await, doors.client().await);
    one.ask("PING", "+PONG\r\n").await;
    two.ask("PING", "+PONG\r\n").await;
    assert_eq!(doors.client().await.rest().await, "-ERR max number of clients reached\r\n");
    assert_eq!(doors.dropped("full"), 1);
    drop(one);
    sleep(Duration::from_millis(200)).await;
    doors.client().await.ask("PING", "+PONG\r\n").await;
}

/// A client has a bounded number of subscriptions, and is told where they end.
#[tokio::test]
async fn subscriptions_are_bounded() {
    let doors = Doors::open();
    let mut client = doors.client().await;
    let long = "x".repeat(4097);
    client.ask(&format!("PSUBSCRIBE {long}"), "-ERR a channel or pattern has at most 4096 bytes\r\n").await;
    for hundred in 0..100 {
        let names: Vec<_> = (0..100).map(|n| format!("c{}", hundred * 100 + n)).collect();
        let answer = |(n, name): (usize, &String)| {
            format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{name}\r\n:{}\r\n", name.len(), hundred * 100 + n + 1)
        };
        let answers = names.iter().enumerate().map(answer).collect::<Vec<_>>().concat();
        client.ask(&format!("SUBSCRIBE {}", names.join(" ")), &answers).await;
    }
    client.ask("SUBSCRIBE more", "-ERR a client has at most 10000 subscriptions, with 1048576 bytes in all\r\n").await;
    client.ask("SUBSCRIBE c1", "*3\r\n$9\r\nsubscribe\r\n$2\r\nc1\r\n:10000\r\n").await;
    assert_eq!(doors.house.hub.subscriptions(), 10_000);
    drop(client);
    eventually("they end with it", || async { doors.house.hub.subscriptions() == 0 }).await;
}
