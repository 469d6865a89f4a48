//! What `check --connect` asks over AMQP. Nothing is created, sent or received: a link that is attached without credit gets nothing.

use fe2o3_amqp::{Receiver, Sender, link::CreditMode};
use tokio::time::timeout;

use super::{
    super::{origin::BusOrigin, settings::Settings},
    fault::Fault,
    line::Line,
    management::{Management, node},
    wire::OPEN_TIME,
};
use crate::broker::{House, OpenError, Origin, Target};

/// One sentence per fault: whether the namespace lets us in.
pub(in super::super) async fn namespace(broker: &str, settings: &Settings, house: &House) -> Vec<String> {
    in_time(broker, async {
        let line = Line::open(broker, settings, house).await?;
        line.wire.close().await;
        Ok(())
    })
    .await
}

/// Whether an origin could be opened. No session is taken, so an entity with sessions shows only that it answers.
pub(in super::super) async fn origin(broker: &str, settings: &Settings, origin: &dyn Origin, house: &House) -> Vec<String> {
    let Some(origin) = origin.as_any().downcast_ref::<BusOrigin>() else {
        return vec![format!("{} is not of the kind `service_bus`", origin.display())];
    };
    in_time(broker, async {
        let mut line = Line::open(broker, settings, house).await?;
        let path = &*origin.place.path;
        line.claims.put(path).await?;
        line.claims.put(&node(path)).await?;
        let mut session = line.wire.session().await?;
        if origin.sessions.is_some() {
            Management::attach(&mut session, path).await?;
        } else {
            let receiver = Receiver::builder().name(name_of_check()).source(path).credit_mode(CreditMode::Manual);
            Box::pin(receiver.attach(&mut session)).await.map_err(|error| Fault::from(error).while_doing(path))?;
        }
        line.wire.close().await;
        Ok(())
    })
    .await
}

/// Whether a target could be sent to. A template's name is only known with a message.
pub(in super::super) async fn target(broker: &str, settings: &Settings, target: &Target, house: &House) -> Vec<String> {
    let name = target.address.text.as_str();
    if name.contains(['{', '}']) {
        return namespace(broker, settings, house).await;
    }
    in_time(broker, async {
        let mut line = Line::open(broker, settings, house).await?;
        line.claims.put(name).await?;
        let mut session = line.wire.session().await?;
        let sender = Sender::builder().name(name_of_check()).target(name);
        Box::pin(sender.attach(&mut session)).await.map_err(|error| Fault::from(error).while_doing(name))?;
        line.wire.close().await;
        Ok(())
    })
    .await
}

fn name_of_check() -> String {
    format!("rialto-check-{}", uuid::Uuid::new_v4().simple())
}

async fn in_time(what: &str, asked: impl Future<Output = Result<(), Fault>>) -> Vec<String> {
    match timeout(OPEN_TIME, asked).await {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(fault)) => vec![OpenError::from(fault).to_string()],
        Err(_) => vec![format!("{what}: no answer within {OPEN_TIME:?}")],
    }
}
