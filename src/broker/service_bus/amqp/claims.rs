//! Tokens put on `$cbs`, and put anew before they are over ("AMQP 1.0 in Azure Service Bus: claims-based authorization").
//!
//! A link may be attached once a token for its entity is there, and lives as long as one is. A token that is refused, or that cannot be
//! had in time, ends the incarnation: the source or the link pauses, and no message is to blame.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp_types::primitives::Value;
use tokio::time::{sleep_until, timeout};

use super::{
    super::settings::Access,
    ask::{ANSWER_TIME, Asker, Question},
    fault::Fault,
};
use crate::{
    broker::{House, OpenError},
    outcome::Reason,
};

/// The node that takes tokens.
const NODE: &str = "$cbs";

/// The scheme in the name of what a token is for.
pub(super) const SCHEME: &str = "amqps";

/// A token is put again when so much of its life is left, or four fifths of a short one's.
const BEFORE_END: Duration = Duration::from_secs(300);

/// No token is put more often than this.
const PUT_MIN: Duration = Duration::from_secs(1);

/// A token is put again at the latest after this, whatever it says of its end.
const PUT_MAX: Duration = Duration::from_secs(600);

/// A token that was refused for one queue or topic is put again after this, where it is still wanted.
const PUT_AGAIN: Duration = Duration::from_secs(10);

/// The tokens of one connection.
pub(super) struct Claims {
    asker: Asker,
    /// Of the links to the node.
    session: SessionHandle<()>,
    access: Arc<Access>,
    house: House,
    /// Entities that have a token, in the order in which they got it.
    entities: Vec<String>,
    /// When the first of the tokens is to be put again.
    due: Instant,
}

impl Claims {
    /// The caller bounds its time.
    pub(super) async fn attach(mut session: SessionHandle<()>, access: Arc<Access>, house: &House) -> Result<Self, Fault> {
        let asker = Asker::attach(&mut session, NODE).await?;
        Ok(Self { asker, session, access, house: house.clone(), entities: Vec::new(), due: Instant::now() + PUT_MAX })
    }

    /// Puts a token for an entity, and keeps it in mind for [`Claims::keep`].
    pub(super) async fn put(&mut self, entity: &str) -> Result<(), Fault> {
        let end = self.put_one(entity).await?;
        self.due = self.due.min(renewal(end));
        if !self.entities.iter().any(|known| known == entity) {
            self.entities.push(entity.to_owned());
        }
        Ok(())
    }

    /// Puts every token again. Answers those that are refused for what they are for, and nothing else.
    pub(super) async fn put_all(&mut self) -> Result<Vec<(String, Fault)>, Fault> {
        let mut next = Instant::now() + PUT_MAX;
        let mut refused = Vec::new();
        for at in 0..self.entities.len() {
            let entity = self.entities[at].clone();
            next = next.min(match self.put_one(&entity).await {
                Ok(end) => renewal(end),
                Err(fault) if fault.concerns_the_entity() => {
                    refused.push((entity, fault));
                    Instant::now() + PUT_AGAIN
                }
                Err(fault) => return Err(fault),
            });
        }
        self.due = next;
        Ok(refused)
    }

    /// Puts one token again, or opens the node again where there is none: how an idle link finds out whether the service still answers.
    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        let Some(entity) = self.entities.first().cloned() else {
            let anew = timeout(ANSWER_TIME, Box::pin(Asker::attach(&mut self.session, NODE))).await;
            self.asker = anew.unwrap_or_else(|_| Err(Fault::late(NODE, ANSWER_TIME)))?;
            return Ok(());
        };
        match self.put_one(&entity).await {
            // That is an answer. Whoever sends there hears of it.
            Err(fault) if fault.concerns_the_entity() => Ok(()),
            put => put.map(drop),
        }
    }

    /// No link of this entity is left.
    pub(super) fn forget(&mut self, entity: &str) {
        self.entities.retain(|known| known != entity);
    }

    /// Puts the tokens again before they are over, until that fails.
    pub(super) async fn keep(&mut self) -> Fault {
        loop {
            sleep_until(self.due.into()).await;
            match self.put_all().await.map(|refused| refused.into_iter().next()) {
                Ok(None) => {}
                Ok(Some((_, fault))) | Err(fault) => return fault,
            }
        }
    }

    /// When to put them again.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether that is now.
    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// One token for one entity; when it is over.
    async fn put_one(&mut self, entity: &str) -> Result<Option<SystemTime>, Fault> {
        let name = self.access.resource(SCHEME, entity);
        let token = self.access.credential.token(&name, &self.house).await.map_err(of_token)?;
        let question = Question::new("put-token", Value::String(token.reveal().to_owned()))
            .with("type", token.kind.cbs())
            .with("name", name.as_str());
        let put = self.asker.ask(question).await;
        if let Err(fault) = &put
            && fault.reason == Reason::Unauthenticated
        {
            self.access.credential.refused(&name);
        }
        put?;
        Ok(token.expires_at)
    }
}

/// When to put a token again that ends then.
fn renewal(end: Option<SystemTime>) -> Instant {
    let left = end.map_or(PUT_MAX, |end| end.duration_since(SystemTime::now()).unwrap_or_default());
    let before = if left > BEFORE_END * 2 { left.saturating_sub(BEFORE_END) } else { left * 4 / 5 };
    Instant::now() + before.clamp(PUT_MIN, PUT_MAX)
}

fn of_token(error: OpenError) -> Fault {
    Fault::new(error.reason, error.detail)
}
