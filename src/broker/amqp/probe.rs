//! What `check --connect` asks. Nothing is created, published or consumed.

use std::sync::Arc;

use lapin::types::ShortString;
use tokio::time::timeout;

use super::{
    Amqp,
    declare::{look_at_exchange, look_at_queue},
    fault::Fault,
    origin::AmqpOrigin,
    target::{Exchange, Options},
    wire::{OPEN_TIME, Wire},
};
use crate::{
    broker::{House, OpenError, Probe, Target},
    outcome::Reason,
};

/// One sentence per fault.
pub(super) async fn ask(broker: &Arc<Amqp>, what: &Probe<'_>, house: &House) -> Vec<String> {
    let asked = async {
        let wire = Wire::dial(&broker.name, &broker.settings, house).await?;
        let found = look(&wire, what).await;
        wire.close().await;
        found.map_err(OpenError::from)
    };
    match timeout(OPEN_TIME, asked).await {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(fault)) => vec![fault.to_string()],
        Err(_) => vec![format!("{}: no answer within {OPEN_TIME:?}", broker.settings.display())],
    }
}

async fn look(wire: &Wire, what: &Probe<'_>) -> Result<(), Fault> {
    match what {
        Probe::Broker => Ok(()),
        Probe::Origin(origin) => match origin.as_any().downcast_ref::<AmqpOrigin>() {
            Some(origin) => look_at_origin(wire, origin).await,
            None => Err(Fault::new(Reason::Link, format!("{} is not of the kind `amqp`", origin.display()))),
        },
        Probe::Target(target) => look_at_target(wire, target).await,
    }
}

/// A queue that `declare` would create may be missing, but not what it is to be bound to.
async fn look_at_origin(wire: &Wire, origin: &AmqpOrigin) -> Result<(), Fault> {
    match look_at_queue(&wire.channel().await?, &origin.queue).await {
        Ok(_) => {}
        Err(fault) if fault.reason == Reason::Unroutable && origin.declare.is_some() => {}
        Err(fault) => return Err(fault),
    }
    let channel = wire.channel().await?;
    for exchange in origin.declare.iter().flat_map(super::declare::Declare::bound_exchanges) {
        look_at_exchange(&channel, exchange).await?;
    }
    Ok(())
}

/// A template's exchange or queue is only known with a message.
async fn look_at_target(wire: &Wire, target: &Target) -> Result<(), Fault> {
    let Some(options) = Options::of(target) else {
        return Err(Fault::new(Reason::Link, "this target is not of the kind `amqp`"));
    };
    let name = match &options.exchange {
        Exchange::Rendered => return Ok(()),
        Exchange::Fixed(exchange) => &**exchange,
        Exchange::Default if target.address.text.contains(['{', '}']) => return Ok(()),
        Exchange::Default => target.address.text.as_str(),
    };
    let name = ShortString::try_new(name).map_err(|error| Fault::new(Reason::Unroutable, error.to_string()))?;
    let channel = wire.channel().await?;
    match &options.exchange {
        Exchange::Default => look_at_queue(&channel, &name).await.map(drop),
        _ => look_at_exchange(&channel, &name).await,
    }
}
