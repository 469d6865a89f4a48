//! What an error of librdkafka or of a broker means to us.
//!
//! The codes are those of the Kafka protocol (<https://kafka.apache.org/protocol#protocol_error_codes>), and below zero those that
//! librdkafka adds of its own.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::outcome::{LinkDown, Reason};

/// In an error that says nothing else of it: OpenSSL's own, and the state in which a connection was lost.
const TLS_WORDS: [&str; 2] = ["SSL routines", "in state SSL_HANDSHAKE"];

/// OpenSSL's words for a certificate of the other side that does not hold. Why it does not, librdkafka keeps to itself.
const UNVERIFIED: &str = "certificate verify failed";

/// A classified error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// It sums up failures of single brokers that were told before: not one of them is reached.
    pub(super) is_sum: bool,
}

impl Fault {
    /// One that the library did not raise.
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), is_sum: false }
    }

    /// An error that something asked was answered with.
    pub(super) fn of(error: &KafkaError) -> Self {
        let reason = error.rdkafka_error_code().map_or_else(|| of_words(error), of_code);
        Self::new(reason, error.to_string())
    }

    /// An event of the whole client. `words` name the broker and what it said.
    pub(super) fn of_client(error: &KafkaError, words: &str) -> Self {
        let code = error.rdkafka_error_code();
        let detail = if words.is_empty() { error.to_string() } else { explained(words) };
        let is_sum = code == Some(Code::AllBrokersDown);
        let reason = code.map_or(Reason::Link, of_code);
        // What the other side says of a handshake comes as a lost connection, with these words in it.
        let is_handshake = reason == Reason::Link && TLS_WORDS.iter().any(|words| detail.contains(words));
        Self { reason: if is_handshake { Reason::Tls } else { reason }, detail, is_sum }
    }

    /// The same, when no other broker is reached either.
    pub(super) fn with_sum(self) -> Self {
        Self { is_sum: true, ..self }
    }

    /// With what was being done in front.
    pub(super) fn while_doing(mut self, what: impl std::fmt::Display) -> Self {
        self.detail = format!("{what}: {}", self.detail);
        self
    }
}

/// The words of an event, where one of them needs more: of a certificate that does not hold librdkafka guesses one reason of three.
fn explained(words: &str) -> String {
    let Some(at) = words.find(UNVERIFIED) else { return words.to_owned() };
    let upto = &words[..at + UNVERIFIED.len()];
    format!(
        "{upto}: the broker's certificate is signed by nobody that we trust (`tls.ca_file`), or for another name, or out of its dates; \
         `openssl s_client -connect` tells which"
    )
}

/// What a code means for whatever it answers; what says nothing of a reason is the link's.
pub(super) fn of_code(code: Code) -> Reason {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            Reason::Unauthenticated
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed => Reason::Forbidden,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => Reason::Unroutable,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Reason::TooLarge,
        // The record itself is at fault, and will be tomorrow.
        Code::InvalidRecord | Code::InvalidTimestamp | Code::InvalidMessageSize | Code::UnsupportedForMessageFormat => {
            Reason::Final
        }
        Code::PolicyViolation => Reason::Refused,
        Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::ISRInsufficient
        | Code::ThrottlingQuotaExceeded
        | Code::KafkaStorageError
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable => Reason::Throttled,
        Code::Resolve => Reason::Dns,
        Code::SSL => Reason::Tls,
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => Reason::Timeout,
        _ => Reason::Link,
    }
}

/// A client that could not be made has no code: files that TLS needs are read then.
fn of_words(error: &KafkaError) -> Reason {
    match error {
        KafkaError::ClientCreation(words) if words.contains("ssl.") || words.contains("SSL") => Reason::Tls,
        _ => Reason::Link,
    }
}

impl From<Fault> for LinkDown {
    fn from(fault: Fault) -> Self {
        Self::new(fault.reason, fault.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_does_not_hold_is_explained_without_a_guess() {
        let error = KafkaError::Global(Code::SSL);
        let said = "ssl://k:9093/1: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate \
                    could not be verified, verify that ssl.ca.location is correctly configured (after 7ms in state SSL_HANDSHAKE)";
        let fault = Fault::of_client(&error, said);
        assert_eq!(fault.reason, Reason::Tls);
        assert!(fault.detail.starts_with("ssl://k:9093/1: SSL handshake failed"), "{}", fault.detail);
        assert!(fault.detail.contains("out of its dates") && !fault.detail.contains("ssl.ca.location"), "{}", fault.detail);
        assert_eq!(Fault::of_client(&error, "k: no cipher").detail, "k: no cipher");
    }
}
