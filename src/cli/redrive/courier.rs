//! Sends letters again, each on the link of its lane, and reads the answers.

use std::{collections::BTreeMap, sync::Arc};

use super::desk::Parcel;
use crate::{
    broker::{Broker, House, LinkKey, OpenError, Outgoing, Publisher, Target},
    outcome::{LinkDown, Outcome, Proof},
    route::NoReceivers,
};

/// The links opened so far.
pub(super) struct Courier {
    house: House,
    links: BTreeMap<LinkKey, Box<dyn Publisher>>,
}

/// Nothing can be sent any more; whether the letters on the wire arrived is unknown, so they stay.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the link was lost: {0}")]
    Down(#[from] LinkDown),
    #[error("no answer within {} s", .0.as_secs())]
    Late(std::time::Duration),
}

/// `None`: delivered. Else why the letter stays.
pub(super) type Answer = Option<String>;

impl Courier {
    pub(super) fn new(house: House) -> Self {
        Self { house, links: BTreeMap::new() }
    }

    /// Sends parcels of one lane's link, in order, and answers for each. At most as many as the link takes at once.
    pub(super) async fn send(&mut self, parcels: &[Parcel]) -> Result<Vec<Answer>, Broken> {
        let Some(first) = parcels.first() else { return Ok(Vec::new()) };
        let timeout = first.lane.rules.timeout;
        let link = self.link(&first.lane.broker, &first.lane.target).await?;
        let rendered: Vec<Rendered<'_>> = parcels.iter().map(Rendered::new).collect();
        let batch: Vec<Outgoing<'_>> = rendered.iter().map(Rendered::outgoing).collect();
        let sent = tokio::time::timeout(timeout, async { link.send(&batch).await?.await });
        let outcomes = sent.await.map_err(|_| Broken::Late(timeout))??;
        Ok(outcomes.iter().zip(parcels).map(|(outcome, parcel)| answer(outcome, parcel)).collect())
    }

    async fn link(&mut self, broker: &Arc<dyn Broker>, target: &Target) -> Result<&mut Box<dyn Publisher>, OpenError> {
        if !self.links.contains_key(&target.link) {
            let link = broker.link(&target.link, &self.house).await?;
            self.links.insert(target.link.clone(), link);
        }
        Ok(self.links.get_mut(&target.link).expect("the link was put there"))
    }

    pub(super) async fn close(self) {
        for link in self.links.into_values() {
            link.close().await;
        }
    }
}

/// A parcel's borrowed parts.
struct Rendered<'a> {
    parcel: &'a Parcel,
    headers: Vec<(&'a str, &'a str)>,
    fields: Vec<Option<&'a str>>,
}

impl<'a> Rendered<'a> {
    fn new(parcel: &'a Parcel) -> Self {
        Self {
            parcel,
            headers: parcel.headers.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect(),
            fields: parcel.fields.iter().map(Option::as_deref).collect(),
        }
    }

    fn outgoing(&'a self) -> Outgoing<'a> {
        Outgoing {
            target: &self.parcel.lane.target,
            message: &self.parcel.message,
            address: &self.parcel.record.address,
            key: &self.parcel.key,
            body: &self.parcel.body,
            content_type: &self.parcel.content_type,
            headers: &self.headers,
            fields: &self.fields,
            attempt: 1,
            timeout: self.parcel.lane.rules.timeout,
        }
    }
}

fn answer(outcome: &Outcome, parcel: &Parcel) -> Answer {
    match outcome {
        Outcome::Delivered(Proof::Receivers(0)) if parcel.lane.rules.on_no_receivers != NoReceivers::Ok => {
            Some("nobody listens there".to_owned())
        }
        Outcome::Delivered(_) => None,
        Outcome::Throttled { detail, .. } => Some(detail.clone()),
        Outcome::Refused(refusal) => Some(format!("{}: {}", refusal.reason, refusal.detail)),
        Outcome::Unknown(reason) => Some(format!("unknown whether it arrived: {reason}")),
        Outcome::Unsent => Some("not sent: another message beside it was refused".to_owned()),
    }
}
