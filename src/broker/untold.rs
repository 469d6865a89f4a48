//! Sources that have nobody to tell: a subscription, a clock, standard input.

use super::{Ended, SourceError};
use crate::intake::{FeedEnd, Receipts};

/// Runs a reader beside the receipts of a source that has nobody to tell: they only say when all is settled.
pub(super) async fn alongside(
    reading: impl Future<Output = Result<(), SourceError>>,
    mut receipts: Receipts,
) -> Result<Ended, SourceError> {
    let settling = async {
        loop {
            match receipts.next().await {
                Ok(_) => {}
                Err(FeedEnd::Drained) => return Ok(Ended::Drained),
                Err(FeedEnd::Abandoned) => return Ok(Ended::Abandoned),
            }
        }
    };
    tokio::pin!(reading, settling);
    tokio::select! {
        biased;
        ended = &mut settling => ended,
        read = &mut reading => match read {
            Ok(()) => settling.await,
            Err(error) => Err(error),
        },
    }
}
