//! `rialto check --connect`: dials, and asks whether what is named could be read or written, without doing it.

use redis::{Cmd, Value};

use super::{
    answers,
    connect::{Dialer, OPEN_WITHIN, Purpose, bounded},
    nodes,
    origin::{RedisOrigin, What},
    pubsub::Listening,
    settings::Settings,
    target::{Channel, Options},
    wire::Wire,
};
use crate::broker::{House, OpenError, Probe, Target};

/// One sentence per fault.
pub(super) async fn probe(broker: &str, settings: &Settings, what: &Probe<'_>, house: &House) -> Vec<String> {
    let whom = settings.display();
    let probed = bounded(OPEN_WITHIN, &whom, async {
        let dialer = Dialer::new(broker, settings, house)?;
        match what {
            Probe::Broker => dialer.open(Purpose::Listen).await.map(|_| Vec::new()),
            Probe::Origin(origin) => match origin.as_any().downcast_ref::<RedisOrigin>() {
                Some(origin) => probe_origin(&dialer, origin).await,
                None => Ok(vec!["this is no Redis source".into()]),
            },
            Probe::Target(target) => match target.options.downcast_ref::<Options>() {
                Some(options) => probe_target(&dialer, target, *options).await,
                None => Ok(vec!["this is no Redis destination".into()]),
            },
        }
    });
    probed.await.unwrap_or_else(|error| vec![error.to_string()])
}

async fn probe_origin(dialer: &Dialer, origin: &RedisOrigin) -> Result<Vec<String>, OpenError> {
    let mut faults = Vec::new();
    match &origin.what {
        What::Stream(stream) => {
            let mut wire = nodes::owner(dialer, &stream.key).await?;
            stream_type(&mut wire, &stream.key, &mut faults).await?;
            let key = &*stream.key;
            allowed(&mut wire, &["XREADGROUP", "GROUP", "g", "c", "STREAMS", key, ">"], &mut faults).await?;
            allowed(&mut wire, &["XACK", key, "g", "0-0"], &mut faults).await?;
            allowed(&mut wire, &["XAUTOCLAIM", key, "g", "c", "0", "0"], &mut faults).await?;
        }
        What::Listen(listening) => {
            let mut wire = dialer.open(Purpose::Listen).await?;
            let command = match listening {
                Listening::Channel(channel) => ["SUBSCRIBE", channel],
                Listening::Pattern(pattern) => ["PSUBSCRIBE", pattern],
                Listening::Sharded(channel) => ["SSUBSCRIBE", channel],
            };
            allowed(&mut wire, &command, &mut faults).await?;
        }
        What::Tail(key) => stream_type(&mut nodes::owner(dialer, key).await?, key, &mut faults).await?,
    }
    Ok(faults)
}

async fn probe_target(dialer: &Dialer, target: &Target, options: Options) -> Result<Vec<String>, OpenError> {
    let mut faults = Vec::new();
    let address = target.address.text.as_str();
    let fixed = |text: &str| !text.contains(['{', '}']);
    if let Some(channel) = options.channel.filter(|_| fixed(address)) {
        let verb = match channel {
            Channel::Plain => "PUBLISH",
            Channel::Sharded => "SPUBLISH",
        };
        allowed(&mut dialer.open(Purpose::Write).await?, &[verb, address, ""], &mut faults).await?;
    }
    let Some(stream) = options.stream else { return Ok(faults) };
    let key = target.fields.first().map_or(address, |field| field.text.text.as_str());
    let mut wire = if fixed(key) { nodes::owner(dialer, key).await? } else { dialer.open(Purpose::Write).await? };
    if fixed(key) {
        stream_type(&mut wire, key, &mut faults).await?;
        allowed(&mut wire, &["XADD", key, "*", "body", ""], &mut faults).await?;
    }
    if let Some(wanted) = stream.replicas {
        match ask(&mut wire, redis::cmd("WAIT").arg(wanted).arg(1).take()).await? {
            Value::Int(found) if found < i64::from(wanted) => {
                faults.push(format!("`durability: wait({wanted})` wants {wanted} replicas, and {} has {found}", wire.place()));
            }
            Value::ServerError(error) => faults.push(format!("{} answered WAIT with: {}", wire.place(), answers::words(&error))),
            _ => {}
        }
    }
    Ok(faults)
}

/// The key is a stream, or not there yet.
async fn stream_type(wire: &mut Wire, key: &str, faults: &mut Vec<String>) -> Result<(), OpenError> {
    match ask(wire, redis::cmd("TYPE").arg(key).take()).await? {
        Value::SimpleString(kind) if kind != "stream" && kind != "none" => {
            faults.push(format!("`{key}` is a {kind} on {}, not a stream", wire.place()));
        }
        _ => {}
    }
    Ok(())
}

/// Asks whether our user may run a command, where the server can tell (`ACL DRYRUN`, 7.0) and lets us ask.
async fn allowed(wire: &mut Wire, command: &[&str], faults: &mut Vec<String>) -> Result<(), OpenError> {
    let Value::BulkString(user) = ask(wire, redis::cmd("ACL").arg("WHOAMI").take()).await? else { return Ok(()) };
    let dry = redis::cmd("ACL").arg("DRYRUN").arg(user).arg(command).take();
    if let Value::BulkString(refusal) = ask(wire, dry).await? {
        faults.push(format!("{}: {}", wire.place(), String::from_utf8_lossy(&refusal)));
    }
    Ok(())
}

async fn ask(wire: &mut Wire, command: Cmd) -> Result<Value, OpenError> {
    wire.send(&[command]).await?;
    wire.next().await
}
