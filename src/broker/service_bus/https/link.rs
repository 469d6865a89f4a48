//! One link: batches in, outcomes out.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use super::{
    super::{
        entity,
        held_back::{Unread, of_entity},
        settings::Settings,
    },
    delivery::{Delivered, deliver},
    pool::Pool,
    post::Post,
    sheet::Sheet,
    turn::Turns,
};
use crate::{
    broker::{Confirms, House, LinkKey, OpenError, Outgoing, Publisher},
    outcome::{LinkDown, Outcome, Reason, Refusal},
};

/// One try of an opening.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How long `close` waits for what is still on the wire.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A link to a namespace, one incarnation. Dropped, its requests are given up where they are.
pub(in super::super) struct Link {
    post: Arc<Post>,
    turns: HashMap<Box<str>, Turns>,
    sending: JoinSet<()>,
    /// How long a request may take: what the destinations of the last batch say.
    timeout: Duration,
}

/// The messages of a batch that go to one queue or topic, and their places in the batch.
struct Group<'a> {
    entity: &'a str,
    sheet: Sheet,
    places: Vec<usize>,
}

/// What a group's task tells, and what holds back those behind it until it is read.
type Told = Result<(Vec<Outcome>, Option<Unread>), LinkDown>;

impl Link {
    /// Reads the secrets and reaches the namespace. Whether it lets us send, only a message would tell.
    pub(in super::super) async fn open(settings: &Settings, key: &LinkKey, house: &House) -> Result<Self, OpenError> {
        let access = settings.access()?;
        let base = access.https.clone().ok_or_else(|| OpenError {
            reason: Reason::Link,
            detail: "the emulator has no HTTPS side: leave `transport: https` out, or write an `endpoint`".into(),
        })?;
        let pool = Pool::new(&base, &settings.tls, &house.metrics.certificates(&key.broker))?;
        Self::over(Post::new(pool, access, settings.batch_bytes, house.clone())).await
    }

    /// The same over connections of the caller's own making.
    pub(super) async fn over(post: Post) -> Result<Self, OpenError> {
        post.identify().await?;
        let reached = timeout(OPEN_WITHIN, post.ask()).await;
        reached.unwrap_or_else(|_| Err(LinkDown::new(Reason::Timeout, "no answer in 10 s")))?;
        Ok(Self { post: Arc::new(post), turns: HashMap::new(), sending: JoinSet::new(), timeout: OPEN_WITHIN })
    }

    /// Takes the group's place in the line of its queue or topic, and sends it when its turn comes.
    async fn start(&mut self, entity: &str, sheet: Sheet) -> oneshot::Receiver<Told> {
        let turn = of_entity(&mut self.turns, entity, Turns::is_idle).next().await;
        let (tell, told) = oneshot::channel();
        let (post, entity) = (Arc::clone(&self.post), entity.to_owned());
        self.sending.spawn(async move {
            let turn = turn.await;
            let answered = match turn.handed_over.held() {
                Some(outcome) => Ok(Delivered { outcomes: vec![outcome.clone(); sheet.len()], again: Some(outcome) }),
                None => deliver(&post, &entity, &sheet).await,
            };
            let hold = |outcome| turn.handed_over.hold(outcome);
            let answered = answered.map(|Delivered { outcomes, again }| (outcomes, again.map(hold)));
            // Nobody listens any more where the caller gave the batch up.
            let _ = tell.send(answered);
        });
        told
    }
}

#[async_trait]
impl Publisher for Link {
    async fn send(&mut self, batch: &[Outgoing<'_>]) -> Result<Confirms, LinkDown> {
        self.post.check()?;
        while self.sending.try_join_next().is_some() {}
        self.timeout = batch.iter().map(|out| out.timeout).max().unwrap_or(OPEN_WITHIN);
        let mut outcomes = vec![Outcome::Unknown(Reason::Link); batch.len()];
        let mut parts = Vec::with_capacity(1);
        for Group { entity, sheet, places } in grouped(batch, &mut outcomes) {
            parts.push((self.start(entity, sheet).await, places));
        }
        Ok(gather(Arc::clone(&self.post), outcomes, parts).boxed())
    }

    /// A batch of large messages is many requests, one after the other: it is late when one of them is, and not when all of them together
    /// took longer than one may.
    fn held(&self) -> Option<String> {
        let goes_on = self.post.went_on().is_some_and(|began| began.elapsed() < self.timeout);
        (goes_on && !self.sending.is_empty()).then(|| "a batch of many requests is on its way".to_owned())
    }

    async fn ping(&mut self) -> Result<(), LinkDown> {
        self.post.ask().await
    }

    async fn close(mut self: Box<Self>) {
        let flushed = async { while self.sending.join_next().await.is_some() {} };
        if timeout(CLOSE_WITHIN, flushed).await.is_err() {
            tracing::debug!("a link to Service Bus was closed with requests unanswered");
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("post", &self.post).finish_non_exhaustive()
    }
}

/// The batch by queue and topic, in order within each; what cannot be sent has its outcome at once.
fn grouped<'a>(batch: &[Outgoing<'a>], outcomes: &mut [Outcome]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::with_capacity(1);
    for (place, out) in batch.iter().enumerate() {
        // Few queues and topics meet in one batch, mostly one; names mean the same in either case.
        let known = groups.iter().position(|group| group.entity.eq_ignore_ascii_case(out.address));
        let written = match known {
            Some(at) => groups[at].sheet.write(out).map(|()| at),
            None => open(out).map(|group| {
                groups.push(group);
                groups.len() - 1
            }),
        };
        match written {
            Ok(at) => groups[at].places.push(place),
            Err(refusal) => outcomes[place] = Outcome::Refused(refusal),
        }
    }
    groups
}

fn open<'a>(out: &Outgoing<'a>) -> Result<Group<'a>, Refusal> {
    entity::check(out.address).map_err(|why| Refusal::new(Reason::Address, why))?;
    let mut sheet = Sheet::default();
    sheet.write(out)?;
    Ok(Group { entity: out.address, sheet, places: Vec::new() })
}

/// Puts the answers of the groups in the places of the batch. What they hold back goes on when all are read.
async fn gather(
    post: Arc<Post>,
    mut outcomes: Vec<Outcome>,
    parts: Vec<(oneshot::Receiver<Told>, Vec<usize>)>,
) -> Result<Vec<Outcome>, LinkDown> {
    let mut unread = Vec::new();
    for (told, places) in parts {
        let Ok(answered) = told.await else {
            // Its task was given up with the link.
            post.check()?;
            return Err(LinkDown::new(Reason::Link, "the link was dropped"));
        };
        let (answered, holding) = answered?;
        unread.extend(holding);
        for (place, outcome) in places.into_iter().zip(answered) {
            outcomes[place] = outcome;
        }
    }
    drop(unread);
    Ok(outcomes)
}
