//! An open connection with its tokens: what every link of this kind begins with.

use std::sync::Arc;

use super::{
    super::settings::{Access, Settings},
    claims::{Claims, SCHEME},
    fault::Fault,
    wire::Wire,
};
use crate::broker::{House, OpenError};

/// One connection and its tokens.
pub(super) struct Line {
    // Dropped first: no byte is sent after it.
    pub(super) wire: Wire,
    pub(super) claims: Claims,
}

impl Line {
    /// Reads the secrets, dials and opens `$cbs`. One try; the caller bounds its time.
    pub(super) async fn open(broker: &str, settings: &Settings, house: &House) -> Result<Self, Fault> {
        let of = |OpenError { reason, detail }| Fault::new(reason, detail);
        let access: Arc<Access> = Arc::new(settings.access().map_err(of)?);
        access.identify(SCHEME, house).await.map_err(of)?;
        // On the heap, as all of the client library's futures that attach something: they are large, and awaited once.
        let mut wire = Box::pin(Wire::dial(broker, &settings.tls, &access, house)).await?;
        let session = wire.session().await?;
        let claims = Box::pin(Claims::attach(session, access, house)).await?;
        Ok(Self { wire, claims })
    }
}
