//! The commands of the door, with Redis' own replies and errors.

use bytes::Bytes;

use super::{
    answers,
    decode::{Arguments, whole},
    encode::{Version, Writer},
    session::{Access, Expelled, Flow, Kind, Session, WRONG_MAX},
};
use crate::live::hub::Topic;

/// One command.
pub(super) struct Command {
    /// In lower case.
    pub(super) name: &'static str,
    /// As Redis counts: the name is one; below zero: at least so many.
    arity: i8,
    /// Allowed in RESP2 while it listens.
    pub(super) while_subscribed: bool,
    /// Allowed before it has logged in.
    pub(super) for_strangers: bool,
    pub(super) run: fn(&mut Session, Arguments<'_>, &mut Writer<'_>) -> Flow,
}

impl Command {
    const fn new(name: &'static str, arity: i8, run: fn(&mut Session, Arguments<'_>, &mut Writer<'_>) -> Flow) -> Self {
        Self { name, arity, while_subscribed: false, for_strangers: false, run }
    }

    const fn while_subscribed(self) -> Self {
        Self { while_subscribed: true, ..self }
    }

    const fn for_strangers(self) -> Self {
        Self { for_strangers: true, ..self }
    }

    /// Whether it may have so many arguments.
    pub(super) fn takes(&self, arguments: usize) -> bool {
        let due = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { arguments >= due } else { arguments == due }
    }
}

/// All of them.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("auth", -2, auth).for_strangers(),
    Command::new("client", -2, client),
    Command::new("command", -1, command),
    Command::new("echo", 2, echo),
    Command::new("hello", -1, hello).for_strangers(),
    Command::new("info", -1, info),
    Command::new("ping", -1, ping).while_subscribed(),
    Command::new("psubscribe", -2, |session, arguments, writer| subscribe(session, Kind::Pattern, arguments, writer))
        .while_subscribed(),
    Command::new("publish", 3, publish),
    Command::new("pubsub", -2, pubsub),
    Command::new("punsubscribe", -1, |session, arguments, writer| unsubscribe(session, Kind::Pattern, arguments, writer))
        .while_subscribed(),
    Command::new("quit", -1, quit).while_subscribed().for_strangers(),
    Command::new("reset", 1, reset).while_subscribed().for_strangers(),
    Command::new("select", 2, select),
    Command::new("subscribe", -2, |session, arguments, writer| subscribe(session, Kind::Channel, arguments, writer))
        .while_subscribed(),
    Command::new("unsubscribe", -1, |session, arguments, writer| unsubscribe(session, Kind::Channel, arguments, writer))
        .while_subscribed(),
];

/// The command of a name, in letters of either case.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

fn subscribe(session: &mut Session, kind: Kind, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    let names: Vec<_> = arguments.from(1).collect();
    session.subscribe(kind, &names, writer)
}

fn unsubscribe(session: &mut Session, kind: Kind, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    let names: Vec<_> = arguments.from(1).collect();
    session.unsubscribe(kind, &names, writer);
    Flow::Go
}

fn publish(session: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    // Of the two that are kept, what was read holds neither: it is used again.
    let channel = Bytes::copy_from_slice(arguments.at(1));
    if session.access != Access::Open && !session.may_use(&Topic::Channel(channel.clone()), writer) {
        return Flow::Go;
    }
    if let Some(receivers) = session.publishing.publish(channel, Bytes::copy_from_slice(arguments.at(2))) {
        writer.integer(i64::try_from(receivers).unwrap_or(i64::MAX));
    }
    Flow::Go
}

fn ping(session: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    if arguments.len() > 2 {
        writer.error("ERR wrong number of arguments for 'ping' command");
    } else if session.version == Version::Two && session.listens() {
        writer.array(2);
        writer.bulk(b"pong");
        writer.bulk(arguments.at(1));
    } else if arguments.len() == 2 {
        writer.bulk(arguments.at(1));
    } else {
        writer.simple("PONG");
    }
    Flow::Go
}

fn echo(_: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    writer.bulk(arguments.at(1));
    Flow::Go
}

fn select(_: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    match whole(arguments.at(1)) {
        Some(0) => writer.simple("OK"),
        Some(_) => writer.error("ERR DB index is out of range"),
        None => writer.error("ERR value is not an integer or out of range"),
    }
    Flow::Go
}

fn quit(_: &mut Session, _: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    writer.simple("OK");
    Flow::Close
}

fn reset(session: &mut Session, _: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    session.reset();
    writer.simple("RESET");
    Flow::Go
}

fn auth(session: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    let password = match arguments.len() {
        2 if session.access == Access::Open => {
            writer.error("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?");
            return Flow::Go;
        }
        2 => arguments.at(1),
        3 => arguments.at(2),
        _ => {
            writer.error("ERR syntax error");
            return Flow::Go;
        }
    };
    let flow = log_in(session, password, writer);
    if flow == Some(Flow::Go) {
        writer.simple("OK");
    }
    flow.unwrap_or(Flow::Go)
}

/// Asks for a token's grant. `None`: it was refused, which has been said. Names of users mean nothing here.
fn log_in(session: &mut Session, password: &[u8], writer: &mut Writer<'_>) -> Option<Flow> {
    let Some(tokens) = &session.house.tokens else {
        writer.error("WRONGPASS invalid username-password pair or user is disabled.");
        return None;
    };
    match tokens.grant(password) {
        Ok(Some(grant)) => {
            session.access = Access::Granted(grant.into());
            session.wrong = 0;
            Some(Flow::Go)
        }
        Ok(None) => {
            session.wrong += 1;
            writer.error("WRONGPASS invalid username-password pair or user is disabled.");
            (session.wrong >= WRONG_MAX).then_some(Flow::Expel(Expelled::Stranger))
        }
        Err(error) => {
            tracing::error!(%error, "gateway.tokens_file cannot be read: nobody can log in");
            writer.error("ERR the tokens cannot be read now");
            None
        }
    }
}

fn hello(session: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    let mut version = session.version;
    if arguments.len() > 1 {
        version = match whole(arguments.at(1)) {
            Some(2) => Version::Two,
            Some(3) => Version::Three,
            Some(_) => {
                writer.error("NOPROTO unsupported protocol version");
                return Flow::Go;
            }
            None => {
                writer.error("ERR Protocol version is not an integer or out of range");
                return Flow::Go;
            }
        };
    }
    let (mut at, mut name, mut password) = (2, None, None);
    while at < arguments.len() {
        let (option, left) = (arguments.at(at), arguments.len() - at - 1);
        if option.eq_ignore_ascii_case(b"auth") && left >= 2 {
            password = Some(arguments.at(at + 2));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && left >= 1 {
            name = Some(arguments.at(at + 1));
            at += 2;
        } else {
            writer.error(&format!("ERR Syntax error in HELLO option '{}'", String::from_utf8_lossy(option)));
            return Flow::Go;
        }
    }
    if let Some(password) = password {
        match log_in(session, password, writer) {
            Some(Flow::Go) => {}
            refused => return refused.unwrap_or(Flow::Go),
        }
    }
    if session.access == Access::Locked {
        writer.error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time");
        return Flow::Go;
    }
    if let Some(name) = name
        && !set_name(session, name, writer)
    {
        return Flow::Go;
    }
    session.version = version;
    writer.version = version;
    answers::hello(session, writer);
    Flow::Go
}

/// Sets a client's name; says why not.
fn set_name(session: &mut Session, name: &[u8], writer: &mut Writer<'_>) -> bool {
    const NAME_BYTES_MAX: usize = 1024;
    let legal = name.len() <= NAME_BYTES_MAX && name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    if legal {
        session.name = Bytes::copy_from_slice(name);
    } else {
        writer.error("ERR Client names cannot contain spaces, newlines or special characters.");
    }
    legal
}

fn client(session: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    let asked = arguments.at(1).to_ascii_lowercase();
    match (&asked[..], arguments.len()) {
        (b"id", 2) => writer.integer(i64::try_from(session.id).unwrap_or(i64::MAX)),
        (b"getname", 2) if session.name.is_empty() => writer.null(),
        (b"getname", 2) => writer.bulk(&session.name),
        (b"setname", 3) => {
            if set_name(session, arguments.at(2), writer) {
                writer.simple("OK");
            }
        }
        (b"info", 2) => writer.verbatim(&answers::client(session)),
        // What a library calls itself, and what it wishes of a cache, changes nothing here.
        (b"setinfo", 4) | (b"no-evict" | b"no-touch", 3) => writer.simple("OK"),
        (b"id" | b"getname" | b"setname" | b"info" | b"setinfo" | b"no-evict" | b"no-touch", _) => {
            writer.error(&format!("ERR wrong number of arguments for 'client|{}' command", String::from_utf8_lossy(&asked)));
        }
        _ => unknown_part("CLIENT", arguments.at(1), writer),
    }
    Flow::Go
}

fn command(_: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    match &arguments.at(1).to_ascii_lowercase()[..] {
        b"" => {
            writer.array(COMMANDS.len());
            for command in COMMANDS {
                answers::command(command.name, command.arity, writer);
            }
        }
        b"count" => writer.integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX)),
        b"docs" => writer.map(0),
        b"list" => {
            writer.array(COMMANDS.len());
            for command in COMMANDS {
                writer.bulk(command.name.as_bytes());
            }
        }
        b"info" => {
            writer.array(arguments.len() - 2);
            for name in arguments.from(2) {
                match find(name) {
                    Some(command) => answers::command(command.name, command.arity, writer),
                    None => writer.null(),
                }
            }
        }
        _ => unknown_part("COMMAND", arguments.at(1), writer),
    }
    Flow::Go
}

fn info(session: &mut Session, _: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    writer.verbatim(&answers::info(session));
    Flow::Go
}

fn pubsub(session: &mut Session, arguments: Arguments<'_>, writer: &mut Writer<'_>) -> Flow {
    let hub = &session.house.hub;
    match (&arguments.at(1).to_ascii_lowercase()[..], arguments.len()) {
        (b"numpat", 2) => writer.integer(i64::try_from(hub.patterns()).unwrap_or(i64::MAX)),
        (b"numsub", _) => {
            writer.array(2 * (arguments.len() - 2));
            for channel in arguments.from(2) {
                writer.bulk(channel);
                writer.integer(i64::try_from(hub.listeners(channel)).unwrap_or(i64::MAX));
            }
        }
        (b"channels", 2 | 3) => {
            let glob = (arguments.len() == 3).then(|| arguments.at(2));
            let channels = session.channels(glob);
            writer.array(channels.len());
            for channel in &channels {
                writer.bulk(channel);
            }
        }
        _ => unknown_part("PUBSUB", arguments.at(1), writer),
    }
    Flow::Go
}

fn unknown_part(of: &str, asked: &[u8], writer: &mut Writer<'_>) {
    let asked = String::from_utf8_lossy(&asked[..asked.len().min(128)]);
    writer.error(&format!("ERR unknown subcommand '{asked}'. Try {of} HELP."));
}
