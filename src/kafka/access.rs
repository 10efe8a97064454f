//! How every client gets into the cluster: the settings, the token of OAUTHBEARER, and an ear for what it complains of.
//!
//! Clients are made here and nowhere else, because each must be given the token before it connects: librdkafka
//! asks for it inside `poll` only, and calls such as `init_transactions` do not poll.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};

use super::complaint::{Complaint, Door};
use super::failure::BrokerError;
use super::oauth::{TokenError, Tokens};
use super::{client, native};
use crate::config::Config;

/// How long another broker may take to answer after one has refused this client for good.
const SECOND_OPINION: Duration = Duration::from_secs(3);
/// The first wait for metadata; each further one is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// How long a client's events are listened to.
const LISTEN: Duration = Duration::from_millis(50);

/// Makes clients.
#[derive(Clone)]
pub(crate) struct Access {
    settings: ClientConfig,
    door: Arc<Door>,
    tokens: Option<Arc<Tokens>>,
}

impl Access {
    /// Gets the first token, where the mechanism wants one.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(crate) fn new(config: &Config) -> Result<Self, TokenError> {
        let oauth = &config.kafka.oauth;
        let tokens = if oauth.is_set() { Some(Arc::new(Tokens::open(oauth)?)) } else { None };
        let settings = client::base(config);
        Ok(Self { door: Arc::new(Door::of(&settings)), settings, tokens })
    }

    /// What all clients have in common.
    pub(crate) fn settings(&self) -> ClientConfig {
        self.settings.clone()
    }

    /// For the context of a client at work: it logs what it complains of.
    pub(crate) fn link(&self) -> Link {
        Link { door: self.door.clone(), tokens: self.tokens.clone(), quiet: false, heard: Mutex::default() }
    }

    /// For the context of a client that asks: whoever asks tells what it complained of.
    pub(crate) fn quiet_link(&self) -> Link {
        Link { quiet: true, ..self.link() }
    }

    /// A producer.
    pub(crate) fn producer<C: ProducerContext>(
        &self,
        settings: &ClientConfig,
        context: C,
    ) -> Result<BaseProducer<C>, BrokerError> {
        let producer: BaseProducer<C> = settings.create_with_context(context)?;
        self.admit(producer.client())?;
        Ok(producer)
    }

    /// A client for questions, which hears why it does not get in.
    pub(crate) fn enquirer(&self) -> Result<BaseProducer<Link>, BrokerError> {
        let mut settings = self.settings();
        settings.set_log_level(RDKafkaLogLevel::Info);
        self.producer(&settings, self.quiet_link())
    }

    /// A consumer.
    pub(crate) fn consumer<C: ConsumerContext>(
        &self,
        settings: &ClientConfig,
        context: C,
    ) -> Result<BaseConsumer<C>, BrokerError> {
        let consumer: BaseConsumer<C> = settings.create_with_context(context)?;
        self.admit(consumer.client())?;
        Ok(consumer)
    }

    /// A client for administrative requests. Nobody polls it, so it lives no longer than its token.
    pub(crate) fn admin(&self) -> Result<AdminClient<Link>, BrokerError> {
        let admin: AdminClient<Link> = self.settings.create_with_context(self.quiet_link())?;
        self.admit(admin.inner())?;
        Ok(admin)
    }

    fn admit<C: ClientContext>(&self, client: &Client<C>) -> Result<(), BrokerError> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let token = tokens.current().map_err(|error| BrokerError::local(&error.to_string()))?;
        native::set_token(client, &token)
    }
}

/// The part of every client's context that has to do with getting in.
pub(crate) struct Link {
    door: Arc<Door>,
    tokens: Option<Arc<Tokens>>,
    quiet: bool,
    heard: Mutex<Option<Complaint>>,
}

impl Link {
    /// The worst that this client has complained of.
    pub(crate) fn heard(&self) -> Option<Complaint> {
        self.heard.lock().ok()?.clone()
    }

    fn hear(&self, complaint: Complaint) {
        let Ok(mut heard) = self.heard.lock() else { return };
        if !complaint.is_worse_than(heard.as_ref()) {
            return;
        }
        // Once for each client, although every attempt to connect repeats it.
        if !self.quiet && complaint.lasting {
            tracing::error!("{complaint}");
        }
        *heard = Some(complaint);
    }
}

impl ClientContext for Link {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(if self.quiet { RDKafkaLogLevel::Debug } else { level }, facility, message);
        // A connection that ends before it was of use is told here only.
        if facility == "FAIL" {
            self.hear(self.door.complaint(None, message.split_once("]: ").map_or(message, |(_, words)| words)));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
        self.hear(self.door.complaint(error.rdkafka_error_code(), reason));
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        match &self.tokens {
            Some(tokens) => Ok(tokens.current()?),
            None => Err("no source of tokens is set in kafka.oauth".into()),
        }
    }
}

impl ConsumerContext for Link {}

impl ProducerContext for Link {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Asks for metadata and waits until a broker answers, at most for `timeout`: no longer than a few seconds once
/// the brokers have refused this client for a reason that waiting does not cure.
pub(super) fn metadata(
    client: &BaseProducer<Link>,
    topic: Option<&str>,
    timeout: Duration,
) -> Result<Metadata, BrokerError> {
    let began = Instant::now();
    let mut look = FIRST_LOOK;
    loop {
        let left = timeout.saturating_sub(began.elapsed());
        let error = match client.client().fetch_metadata(topic, look.min(left.max(LISTEN))) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let error = explain(client, error);
        let hopeless = client.context().heard().is_some_and(|heard| heard.lasting);
        if began.elapsed() >= timeout || (hopeless && began.elapsed() >= SECOND_OPINION) {
            return Err(error);
        }
        look *= 2;
    }
}

/// The error with what the client complained of meanwhile: a failed call only says that it failed.
pub(super) fn explain(producer: &BaseProducer<Link>, error: KafkaError) -> BrokerError {
    // Complaints wait in the event queue; a poll without time serves but one event.
    producer.poll(LISTEN);
    let error = BrokerError::from(error);
    match producer.context().heard() {
        Some(heard) if heard.lasting => BrokerError { message: heard.to_string(), ..error },
        Some(heard) if !error.message.contains(&heard.reason) => {
            BrokerError { message: format!("{error}: {heard}"), ..error }
        }
        _ => error,
    }
}
