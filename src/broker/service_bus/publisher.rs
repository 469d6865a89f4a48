//! One link, over the transport that is configured.

use super::{
    https,
    settings::{Settings, Transport},
};
use crate::{
    broker::{House, LinkKey, OpenError, Publisher},
    outcome::Reason,
};

/// One try, bounded in time.
pub(super) async fn open(settings: &Settings, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
    match settings.transport() {
        Transport::Https => Ok(Box::new(https::Link::open(settings, key, house).await?)),
        Transport::Amqp => {
            let detail = "publishing over AMQP is not built yet: write `transport: https`".into();
            Err(OpenError { reason: Reason::Link, detail })
        }
    }
}
