//! What both halves open: the properties that every client of ours has, and waiting until it is connected.

use std::{thread, time::Duration};

use rdkafka::{ClientConfig, client::Client};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{fault::Fault, settings::Settings};
use crate::{
    broker::{House, OpenError},
    outcome::Reason,
};

/// All of an opening, over all brokers of a cluster.
pub(super) const OPEN_TIME: Duration = Duration::from_secs(10);

/// How long one blocking question may take: nobody waits longer for its answer.
pub(super) const ASK_TIME: Duration = Duration::from_secs(5);

/// Once every broker has failed at its first address, those that have others get this much time.
pub(super) const OTHERS: Duration = Duration::from_secs(2);

/// A client waits at most so long before it dials a broker again, so that flow resumes within five seconds of its return.
const REDIAL_MAX: Duration = Duration::from_secs(1);

/// The properties of every client: where, who, how. Secrets and certificates are read anew.
pub(super) fn config(settings: &Settings, house: &House) -> Result<ClientConfig, OpenError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", settings.bootstrap_servers()?);
    config.set("client.id", &*house.instance);
    settings.security.apply(&mut config)?;
    // A client must not make a topic by looking at it, with the partitions and the retention of nobody's choice.
    config.set("allow.auto.create.topics", "false");
    config.set("socket.keepalive.enable", "true");
    config.set("socket.connection.setup.timeout.ms", millis(OPEN_TIME));
    config.set("reconnect.backoff.max.ms", millis(REDIAL_MAX));
    // What a cluster's administrator may ask of its clients' inside is no business of a bridge's messages.
    config.set("enable.metrics.push", "false");
    // A broker closes idle connections after ten minutes; that is no event.
    config.set("log.connection.close", "false");
    Ok(config)
}

/// A duration as properties have it.
pub(super) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Asks something that blocks, on a thread of its own: a client answers questions only to those who wait, and a thread that nobody
/// waits for any more ends with its question. The error means that no thread could be started.
pub(super) async fn ask<T: Send + 'static>(question: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let (answer, answered) = oneshot::channel();
    let asking = move || {
        // Nobody waits for the answer any more: nothing to do with it.
        let _ = answer.send(question());
    };
    let lost = |error: &dyn std::fmt::Display| Fault::new(Reason::Link, error.to_string());
    thread::Builder::new().name("kafka-ask".to_owned()).spawn(asking).map_err(|error| lost(&error))?;
    answered.await.map_err(|error| lost(&error))
}

/// Waits until a client has heard from its cluster, or tells why it has not: a login that is refused, a certificate, or that not one
/// of the brokers is there. Bounded by [`OPEN_TIME`].
///
/// `heard` blocks for at most the time given, and answers true once there is metadata.
pub(super) async fn connected<H>(place: &str, mut faults: watch::Receiver<Option<Fault>>, heard: H) -> Result<(), OpenError>
where
    H: Fn(Duration) -> bool + Clone + Send + 'static,
{
    let failed = failure(&mut faults);
    let listening = async {
        loop {
            let heard = heard.clone();
            // In slices, so that an opening that was given up leaves no thread behind for long.
            match ask(move || heard(Duration::from_millis(250))).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(fault) => return Err(fault),
            }
        }
    };
    let both = async {
        tokio::select! {
            biased;
            answer = listening => answer,
            fault = failed => Err(fault),
        }
    };
    match timeout(OPEN_TIME, both).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(fault.while_doing(place).into()),
        Err(_) => Err(Fault::new(Reason::Link, format!("no answer within {OPEN_TIME:?}")).while_doing(place).into()),
    }
}

/// The fault that ends an opening.
async fn failure(faults: &mut watch::Receiver<Option<Fault>>) -> Fault {
    let tells = |fault: &Option<Fault>| fault.as_ref().is_some_and(|fault| fault.is_sum || is_final(fault));
    let told = |faults: &watch::Receiver<Option<Fault>>| faults.borrow().clone();
    let gone = || Fault::new(Reason::Link, "the client is gone");
    if faults.wait_for(tells).await.is_err() {
        return gone();
    }
    // A name may have several addresses, of which the client has tried one: it is given time for the others.
    if timeout(OTHERS, faults.wait_for(|fault| fault.as_ref().is_some_and(is_final))).await.is_ok_and(|told| told.is_err()) {
        return gone();
    }
    told(faults).unwrap_or_else(gone)
}

/// Trying again, or elsewhere, cannot help before somebody has mended something.
pub(super) fn is_final(fault: &Fault) -> bool {
    matches!(fault.reason, Reason::Unauthenticated | Reason::Tls)
}

/// For [`connected`]: whether the cluster has told its id, which comes with the first metadata.
pub(super) fn has_heard<C: rdkafka::ClientContext>(client: &Client<C>, wait: Duration) -> bool {
    client.fetch_cluster_id(wait).is_some()
}
