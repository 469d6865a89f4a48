//! One link, over the transport that is configured.

use super::{
    amqp, https,
    settings::{Settings, Transport},
};
use crate::broker::{House, LinkKey, OpenError, Publisher};

/// One try, bounded in time.
pub(super) async fn open(settings: &Settings, key: &LinkKey, house: &House) -> Result<Box<dyn Publisher>, OpenError> {
    match settings.transport() {
        Transport::Https => Ok(Box::new(https::Link::open(settings, key, house).await?)),
        Transport::Amqp => Ok(Box::new(amqp::Link::open(settings, key, house).await?)),
    }
}
