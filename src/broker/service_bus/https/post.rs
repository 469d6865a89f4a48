//! One request, with who we are.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::Semaphore;

use super::{
    super::settings::Access,
    answer::{Answer, Meaning},
    errand,
    pool::Pool,
};
use crate::{
    broker::{House, OpenError},
    outcome::{LinkDown, Outcome, Reason},
};

/// Requests on the wire at once, to different queues and topics.
const REQUESTS_MAX: usize = 16;

/// What all requests of a link share.
#[derive(Debug)]
pub(super) struct Post {
    pool: Pool,
    access: Access,
    house: House,
    batch_bytes: usize,
    places: Arc<Semaphore>,
    /// Set once: nothing is sent any more.
    ended: Mutex<Option<LinkDown>>,
    /// When the last request began that was not the first of its batch.
    further: Mutex<Option<Instant>>,
}

impl Post {
    pub(super) fn new(pool: Pool, access: Access, batch_bytes: usize, house: House) -> Self {
        Self {
            pool,
            access,
            house,
            batch_bytes,
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
            ended: Mutex::default(),
            further: Mutex::default(),
        }
    }

    /// A request with several messages is not larger.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// A batch goes on with a further request.
    pub(super) fn goes_on(&self) {
        *self.further.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When a batch last went on.
    pub(super) fn went_on(&self) -> Option<Instant> {
        *self.further.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request and its answer. A token that is refused is made anew once.
    pub(super) async fn post(&self, entity: &str, body: &str) -> Result<Answer, LinkDown> {
        let _place = self.places.acquire().await.map_err(|error| LinkDown::new(Reason::Link, error))?;
        let resource = self.access.resource("https", entity);
        let mut answer = self.once(&resource, entity, body).await?;
        if is_stale(&answer) {
            self.access.credential.refused(&resource);
            answer = self.once(&resource, entity, body).await?;
        }
        Ok(answer)
    }

    async fn once(&self, resource: &str, entity: &str, body: &str) -> Result<Answer, LinkDown> {
        self.check()?;
        let token = self.access.credential.token(resource, &self.house).await;
        let token = token.map_err(|OpenError { reason, detail }| LinkDown::new(reason, detail));
        let answered = match token {
            Ok(token) => errand::run(&self.pool, token.authorization(), entity, body).await,
            Err(down) => Err(down),
        };
        answered.inspect_err(|down| self.end(down))
    }

    /// Whether something answers at all.
    pub(super) async fn ask(&self) -> Result<(), LinkDown> {
        self.check()?;
        self.pool.ask().await
    }

    /// Whether we know who we are.
    pub(super) async fn identify(&self) -> Result<(), OpenError> {
        self.access.identify("https", &self.house).await
    }

    pub(super) fn check(&self) -> Result<(), LinkDown> {
        match &*self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(down) => Err(down.clone()),
            None => Ok(()),
        }
    }

    pub(super) fn end(&self, down: &LinkDown) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| down.clone());
    }
}

fn is_stale(answer: &Answer) -> bool {
    matches!(answer.meaning(), Meaning::Nobody(Outcome::Refused(refusal)) if refusal.reason == Reason::Unauthenticated)
}
