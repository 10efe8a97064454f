//! What an error of the broker or the client means for the lane, in the classes of librdkafka's transactions.
//!
//! - *retriable*: the same call may be made again;
//! - *abort required*: the transaction is lost, the producer is not;
//! - anything else (fatal, a flush that timed out, an unknown code): nobody knows whether the
//!   transaction was committed, so the producer is thrown away and the broker is asked (I2).

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::librdkafka_words;

/// An error as the client library reported it.
#[derive(Debug, Clone)]
pub struct BrokerError {
    /// The code, where there is one.
    pub code: Option<RDKafkaErrorCode>,
    /// The library's own words.
    pub message: String,
    /// The client instance is dead.
    pub fatal: bool,
    /// The same call may be made again.
    pub retriable: bool,
    /// The open transaction must be aborted.
    pub requires_abort: bool,
}

/// What the caller of a transactional call does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Call again, until the deadline.
    Retry,
    /// Abort the transaction and rewind to the committed offsets.
    Abort,
    /// Throw the producer away and ask the broker what was committed.
    Recreate,
}

impl BrokerError {
    pub(super) fn local(message: &str) -> Self {
        Self { code: None, message: message.to_owned(), fatal: false, retriable: false, requires_abort: false }
    }

    pub(super) fn of_code(code: RDKafkaErrorCode) -> Self {
        Self { code: Some(code), message: code.to_string(), fatal: false, retriable: false, requires_abort: false }
    }

    /// The position is not in the topic any more.
    pub(super) fn out_of_range(message: &str) -> Self {
        Self { code: Some(RDKafkaErrorCode::OffsetOutOfRange), ..Self::local(message) }
    }

    /// The same, as the client says it.
    pub(crate) fn is_out_of_range(&self) -> bool {
        matches!(self.code, Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset))
    }

    pub(super) fn remedy(&self) -> Remedy {
        if self.fatal {
            Remedy::Recreate
        } else if self.requires_abort {
            Remedy::Abort
        } else if self.retriable {
            Remedy::Retry
        } else {
            Remedy::Recreate
        }
    }

    /// The user lacks a permission.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        use RDKafkaErrorCode::{
            ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed,
            TransactionalIdAuthorizationFailed,
        };
        matches!(
            self.code,
            Some(
                ClusterAuthorizationFailed
                    | GroupAuthorizationFailed
                    | TopicAuthorizationFailed
                    | TransactionalIdAuthorizationFailed
            )
        )
    }

    /// Another client took over this transactional id or this static member.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        use RDKafkaErrorCode::{Fenced, FencedInstanceId, InvalidProducerEpoch, ProducerFenced};
        matches!(self.code, Some(Fenced | FencedInstanceId | InvalidProducerEpoch | ProducerFenced))
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BrokerError {}

impl From<KafkaError> for BrokerError {
    fn from(error: KafkaError) -> Self {
        match &error {
            KafkaError::Transaction(inner) => Self {
                code: Some(inner.code()),
                message: inner.string(),
                fatal: inner.is_fatal(),
                retriable: inner.is_retriable(),
                requires_abort: inner.txn_requires_abort(),
            },
            other => Self {
                code: other.rdkafka_error_code(),
                message: message(other),
                fatal: matches!(other, KafkaError::MessageConsumptionFatal(_)),
                retriable: false,
                requires_abort: false,
            },
        }
    }
}

/// The library's words. Those on a setting repeat its value, which may be a secret.
pub(super) fn message(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => librdkafka_words(description, key, value),
        other => other.to_string(),
    }
}

/// Whether the broker would refuse the same record again, however often it is sent.
pub(super) fn is_permanent(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        InvalidMessage, InvalidRecord, InvalidTimestamp, MessageBatchTooLarge, MessageSizeTooLarge, PolicyViolation,
        UnsupportedCompressionType,
    };
    matches!(
        code,
        InvalidMessage
            | InvalidRecord
            | InvalidTimestamp
            | MessageBatchTooLarge
            | MessageSizeTooLarge
            | PolicyViolation
            | UnsupportedCompressionType
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fatal: bool, retriable: bool, requires_abort: bool) -> BrokerError {
        BrokerError { fatal, retriable, requires_abort, ..BrokerError::local("x") }
    }

    #[test]
    fn a_refused_setting_is_named_without_its_value() {
        for (key, value) in [("sasl.passwrod", "hunter2"), ("security.protocol", "hunter2"), ("acks", "hunter2")] {
            let mut settings = rdkafka::ClientConfig::new();
            settings.set(key, value);
            let refused = settings.create::<rdkafka::producer::BaseProducer>().err().expect("refused");
            let said = BrokerError::from(refused).to_string();
            assert!(said.contains(key) && !said.contains(value), "{said}");
        }
    }

    #[test]
    fn each_class_has_its_remedy_and_the_unknown_is_never_trusted() {
        assert_eq!(error(true, true, true).remedy(), Remedy::Recreate);
        assert_eq!(error(false, true, true).remedy(), Remedy::Abort);
        assert_eq!(error(false, true, false).remedy(), Remedy::Retry);
        assert_eq!(error(false, false, false).remedy(), Remedy::Recreate);
        let flush = KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut);
        assert_eq!(BrokerError::from(flush).remedy(), Remedy::Recreate, "a flush carries no flags");
    }
}
