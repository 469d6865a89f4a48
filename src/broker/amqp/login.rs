//! Who we are: a password, our certificate (EXTERNAL), or a token as the password.
//!
//! RabbitMQ takes a token where a password stands and ignores the user's name (`rabbitmq_auth_backend_oauth2`). It judges an open
//! connection by its token's time too, so the next token is told to it in time (`connection.update-secret`).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use lapin::{Connection, uri::SASLMechanism};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::fault::Fault;
use crate::{
    broker::{
        House, OpenError,
        bearer::{Bearer, Token},
    },
    written::{Node, Problems},
};

/// The broker asks its own authorities before it answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Who we are.
#[derive(Debug, Clone, Default)]
pub(super) enum Login {
    /// By `username` and `password`, or those of the URL.
    #[default]
    Password,
    /// By our certificate: `rabbitmq_auth_mechanism_ssl`.
    External,
    /// By a token.
    Token(Arc<Bearer>),
}

impl Login {
    /// Reads `auth` and the token's blocks, which leave nothing for a password to say.
    pub(super) fn read(broker: &str, node: &Node, faults: &mut Problems) -> Self {
        let external = node.choice("auth", &[("password", false), ("external", true)], faults).unwrap_or_default();
        let written = Bearer::is_written(node);
        let bearer = Bearer::read(broker, node, None, faults);
        if let Some(password) = node.peek("password").or_else(|| node.peek("password_file")).filter(|_| external || written) {
            let instead = if external { "`auth: external`" } else { "a token" };
            faults.fault(password.at(), format!("`{}` and {instead} exclude each other", password.name())).hint("keep one of them");
        }
        if external && written {
            faults.fault(node.peek("auth").unwrap_or(node).at(), "`auth: external` and a token exclude each other");
        }
        match bearer {
            _ if external => Self::External,
            Some(bearer) => Self::Token(Arc::new(bearer)),
            None => Self::Password,
        }
    }

    /// What the broker is told in the handshake.
    pub(super) fn mechanism(&self) -> SASLMechanism {
        match self {
            Self::External => SASLMechanism::External,
            Self::Password | Self::Token(_) => SASLMechanism::Plain,
        }
    }

    /// The token to log in with, where it is by token.
    pub(super) async fn token(&self, house: &House) -> Result<Option<Token>, OpenError> {
        match self {
            Self::Token(bearer) => bearer.token(house).await.map(Some),
            Self::Password | Self::External => Ok(None),
        }
    }

    /// The broker would not have us.
    pub(super) fn refused(&self, token: Option<&Token>) {
        if let (Self::Token(bearer), Some(token)) = (self, token) {
            bearer.refused(token);
        }
    }

    /// Tells the broker each further token, until it is dropped or the connection is.
    pub(super) fn keep(&self, token: Option<Token>, connection: &Arc<Connection>, house: &House) -> Option<AbortOnDropHandle<()>> {
        let (Self::Token(bearer), Some(token)) = (self, token) else { return None };
        let renewal = renew(Arc::clone(bearer), token, Arc::downgrade(connection), house.clone());
        Some(AbortOnDropHandle::new(tokio::spawn(renewal)))
    }
}

async fn renew(bearer: Arc<Bearer>, mut token: Token, connection: Weak<Connection>, house: House) {
    loop {
        token = bearer.after(&token, &house).await;
        let Some(connection) = connection.upgrade() else { return };
        let told = timeout(ANSWER_WITHIN, connection.update_secret(token.reveal().into(), "a new token".into())).await;
        match told {
            Ok(Ok(())) => tracing::debug!("RabbitMQ took the new token"),
            // A broker that refuses it closes the connection, and the link is opened anew.
            Ok(Err(error)) => tracing::warn!(error = %Fault::of(&error).detail, "RabbitMQ did not take the new token"),
            Err(_) => tracing::warn!("RabbitMQ did not answer to the new token in time"),
        }
    }
}
