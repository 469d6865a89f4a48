//! Sources that read beside what they are told: a subscription, a clock, lines.

use super::{Ended, SourceError};
use crate::intake::{FeedEnd, Receipts, Settled};

/// Runs a reader beside the receipts of a source that has nobody to tell: they only say when all is settled.
pub(super) async fn alongside(
    reading: impl Future<Output = Result<(), SourceError>>,
    receipts: Receipts,
) -> Result<Ended, SourceError> {
    let reading = async { reading.await.map(|()| Ended::Drained) };
    until_settled(reading, receipts, |_| {}).await
}

/// The same for one that notes what is settled, and whose reader answers how it ended: because it was told to, or because nothing
/// more will come.
pub(super) async fn until_settled(
    reading: impl Future<Output = Result<Ended, SourceError>>,
    mut receipts: Receipts,
    mut note: impl FnMut(&Settled),
) -> Result<Ended, SourceError> {
    let settling = async {
        loop {
            match receipts.next().await {
                Ok(settled) => note(&settled),
                Err(end) => return end,
            }
        }
    };
    tokio::pin!(reading, settling);
    let ended = |end, read| if end == FeedEnd::Abandoned { Ended::Abandoned } else { read };
    tokio::select! {
        biased;
        end = &mut settling => Ok(ended(end, Ended::Drained)),
        read = &mut reading => {
            let read = read?;
            Ok(ended(settling.await, read))
        }
    }
}
