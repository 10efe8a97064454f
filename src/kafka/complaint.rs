//! What a client complains of when it cannot get in, and which setting would cure it. Pure.

use std::fmt;

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

/// What of the settings decides how a complaint is to be read. No secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    protocol: String,
    mechanism: String,
}

impl Door {
    pub(super) fn of(settings: &ClientConfig) -> Self {
        let get = |key| settings.get(key).map(str::to_owned);
        Self {
            protocol: get("security.protocol").unwrap_or_else(|| "plaintext".to_owned()).to_ascii_lowercase(),
            mechanism: get("sasl.mechanisms").or_else(|| get("sasl.mechanism")).unwrap_or_default(),
        }
    }

    /// Reads what librdkafka reports.
    pub(super) fn complaint(&self, code: Option<RDKafkaErrorCode>, reason: &str) -> Complaint {
        let remedy = self.remedy(code, reason);
        Complaint {
            lasting: matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)),
            summary: code == Some(RDKafkaErrorCode::AllBrokersDown),
            reason: reason.to_owned(),
            remedy,
        }
    }

    fn remedy(&self, code: Option<RDKafkaErrorCode>, reason: &str) -> Option<String> {
        let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        let Self { protocol, mechanism } = self;
        let remedy = match code {
            // The error names its key.
            Some(RDKafkaErrorCode::Authentication) if has(&["kafka.oauth"]) => return None,
            Some(RDKafkaErrorCode::Authentication) if has(&["mechanism handshake failed"]) => {
                format!("the broker does not offer kafka.properties sasl.mechanisms = {mechanism} on this listener")
            }
            Some(RDKafkaErrorCode::Authentication) if mechanism == "OAUTHBEARER" => {
                "the broker refuses the token of kafka.oauth: look at its issuer, audience, expiry and key".to_owned()
            }
            Some(RDKafkaErrorCode::Authentication) => format!(
                "the broker refuses this user: check sasl.username and sasl.password (or sasl.password_file) in \
                 kafka.properties, and that the user exists for {mechanism}"
            ),
            _ if has(&["wrong version number", "PLAINTEXT broker listener"]) => format!(
                "the broker's listener seems not to speak TLS: check the port in kafka.brokers and security.protocol = \
                 {protocol} in kafka.properties"
            ),
            _ if has(&["certificate verify failed", "Failed to verify broker certificate"]) => {
                "the broker's certificate is not trusted: ssl.ca.location in kafka.properties must hold the authority that \
                 signed it, and the certificate must name the host as kafka.brokers does (ssl.endpoint.identification.algorithm)"
                    .to_owned()
            }
            _ if has(&["alert", "client SSL authentication"]) => {
                "the broker refuses or misses the client's certificate: check ssl.certificate.location and ssl.key.location in \
                 kafka.properties"
                    .to_owned()
            }
            _ if has(&["security.protocol"]) => format!(
                "the listener may want TLS or a user: check security.protocol = {protocol} in kafka.properties"
            ),
            _ => return None,
        };
        Some(remedy)
    }
}

/// Why a client does not get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// librdkafka's words.
    pub(super) reason: String,
    remedy: Option<String>,
    /// Waiting does not cure it.
    pub(super) lasting: bool,
    /// Says less than what came before it.
    summary: bool,
}

impl Complaint {
    /// Whether it says more than this one.
    pub(super) fn is_worse_than(&self, other: Option<&Self>) -> bool {
        let weight = |complaint: &Self| (complaint.lasting, complaint.remedy.is_some(), !complaint.summary);
        other.is_none_or(|other| weight(self) > weight(other))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
