//! What `check --connect` asks. Nothing is created, published or consumed.

use std::{sync::Arc, time::Duration};

use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::time::timeout;

use super::{
    Kafka,
    client::{self, ASK_TIME, OPEN_TIME},
    fault::Fault,
    origin::KafkaOrigin,
    source, topics,
    voice::Voice,
};
use crate::{
    broker::{House, OpenError, Probe},
    outcome::Refusal,
};

/// A client that only asks: a producer without idempotence has no identity at the cluster, and belongs to no group.
type Asker = BaseProducer<Voice>;

/// One sentence per fault.
pub(super) async fn ask(broker: &Arc<Kafka>, what: &Probe<'_>, house: &House) -> Vec<String> {
    match timeout(OPEN_TIME, look(broker, what, house)).await {
        Ok(Ok(Ok(()))) => Vec::new(),
        Ok(Ok(Err(refusal))) => vec![refusal.to_string()],
        Ok(Err(fault)) => vec![fault.to_string()],
        Err(_) => vec![format!("{}: no answer within {OPEN_TIME:?}", broker.settings.display())],
    }
}

async fn look(broker: &Arc<Kafka>, what: &Probe<'_>, house: &House) -> Result<Result<(), Refusal>, OpenError> {
    if let Probe::Origin(origin) = what
        && let Some(origin) = origin.as_any().downcast_ref::<KafkaOrigin>()
    {
        source::look(&broker.settings, &origin.plan, house).await?;
        return Ok(Ok(()));
    }
    let asker = connect(broker, house).await?;
    match what {
        // A template's topic is only known with a message.
        Probe::Target(target) if !target.address.text.contains(['{', '}']) => topic(&asker, &target.address.text).await,
        _ => Ok(Ok(())),
    }
}

async fn connect(broker: &Arc<Kafka>, house: &House) -> Result<Arc<Asker>, OpenError> {
    let config = client::config(&broker.settings, house)?;
    let asker: Asker = config.create_with_context(Voice::of(&broker.settings, house).await?).map_err(|error| Fault::of(&error))?;
    let asker = Arc::new(asker);
    let (served, faults) = (Arc::clone(&asker), asker.client().context().listen());
    let heard = move |wait| {
        // Nobody else serves this client's events, its faults among them.
        served.poll(wait);
        client::has_heard(served.client(), Duration::ZERO)
    };
    client::connected(&broker.settings.display(), faults, heard).await?;
    Ok(asker)
}

/// Whether a topic is there, and ours to see. Whether it may be written is not to be had without writing.
async fn topic(asker: &Arc<Asker>, topic: &str) -> Result<Result<(), Refusal>, OpenError> {
    let (asker, name) = (Arc::clone(asker), topic.to_owned());
    let metadata = client::ask(move || asker.client().fetch_metadata(Some(&name), ASK_TIME)).await?;
    let metadata = metadata.map_err(|error| Fault::of(&error).while_doing(format_args!("topic `{topic}`")))?;
    Ok(topics::verdict(topic, &metadata))
}
