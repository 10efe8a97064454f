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
        let refused = matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL));
        Complaint {
            // A broker that wants a client's certificate says so when the connection is in use already.
            lasting: refused || reason.contains(" alert "),
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
            // librdkafka's own advice on these is never printed: it looks for it in the wrong text.
            _ if has(&["security.protocol", "in state APIVERSION_QUERY"])
                || (has(&["in state UP"]) && !protocol.starts_with("sasl_")) => format!(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn door(settings: &[(&str, &str)]) -> Door {
        let mut config = ClientConfig::new();
        for (key, value) in settings {
            config.set(*key, *value);
        }
        Door::of(&config)
    }

    const SSL: Option<RDKafkaErrorCode> = Some(RDKafkaErrorCode::SSL);
    const AUTHENTICATION: Option<RDKafkaErrorCode> = Some(RDKafkaErrorCode::Authentication);

    #[test]
    fn each_complaint_names_the_setting_to_look_at() {
        let scram = door(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-256")]);
        let oauth = door(&[("security.protocol", "SASL_SSL"), ("sasl.mechanisms", "OAUTHBEARER")]);
        for (door, code, reason, setting) in [
            (&scram, AUTHENTICATION, "SASL authentication error: Authentication failed", "sasl.password_file"),
            (&scram, AUTHENTICATION, "SASL SCRAM-SHA-256 mechanism handshake failed: Broker: …", "sasl.mechanisms"),
            (&oauth, AUTHENTICATION, "{\"status\":\"invalid_token\"}", "kafka.oauth"),
            (&scram, SSL, "error:0A000086:SSL routines::certificate verify failed", "ssl.ca.location"),
            (&scram, None, "Disconnected: closed by peer (after 1ms in state APIVERSION_QUERY)", "security.protocol"),
            (&door(&[]), None, "Disconnected: closed by peer (after 1ms in state UP)", "security.protocol"),
            (&scram, None, "SSL routines::ssl/tls alert certificate required", "ssl.certificate.location"),
            (&scram, SSL, "SSL routines::wrong version number", "security.protocol"),
            (
                &scram,
                None,
                "Disconnected: might be caused by incorrect security.protocol configuration",
                "security.protocol",
            ),
        ] {
            let said = door.complaint(code, reason).to_string();
            assert!(said.starts_with(reason) && said[reason.len()..].contains(setting), "{said}");
        }
        let token = "Failed to acquire SASL OAUTHBEARER token: kafka.oauth.token_file: cannot read";
        assert_eq!(oauth.complaint(AUTHENTICATION, token).to_string(), token, "it names its key itself");
    }

    #[test]
    fn the_worst_complaint_is_kept_and_only_what_waiting_does_not_cure_ends_the_wait() {
        let door = door(&[]);
        let down = door.complaint(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let refused = door.complaint(None, "Connect to b:1 failed: Connection refused");
        let plain = door.complaint(None, "Disconnected: check security.protocol");
        let denied = door.complaint(AUTHENTICATION, "SASL authentication error");
        let alert = door.complaint(None, "tlsv13 alert certificate required");
        assert!(down.is_worse_than(None));
        for pair in [&down, &refused, &plain, &denied].windows(2) {
            assert!(pair[1].is_worse_than(Some(pair[0])) && !pair[0].is_worse_than(Some(pair[1])), "{pair:?}");
        }
        assert!(!denied.is_worse_than(Some(&denied)), "told once");
        assert_eq!([down, refused, plain, denied, alert].map(|heard| heard.lasting), [false, false, false, true, true]);
    }
}
