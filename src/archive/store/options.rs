//! `archive.properties` become the options of a bucket's client, by the library's own names.
//!
//! What the environment holds comes first, so that a machine's usual credentials work without any option; the
//! properties come after it. An option that is not known, or that an invariant owns, is refused by its key.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use reqwest::Url;

use super::StoreError;
use super::error::{Settings, Teller};
use super::location::Service;
use crate::config::Properties;

/// Dotted key of the options' table.
const SECTION: &str = "archive.properties";

/// What refusals of a service's answers name.
pub(super) fn settings(service: Option<Service>) -> Settings {
    let (credentials, permissions) = match service {
        None => ("", ""),
        Some(Service::S3) => (
            "check aws_access_key_id, aws_secret_access_key and aws_region, or the role of this machine",
            "s3:PutObject, s3:GetObject, s3:ListBucket and s3:DeleteObject",
        ),
        Some(Service::Gcs) => (
            "check google_service_account_path, or GOOGLE_APPLICATION_CREDENTIALS, or the service account of this machine",
            "storage.objects.create, .get, .list and .delete",
        ),
        Some(Service::Azure) => (
            "check azure_storage_account_name and its key, token or client, or the identity of this machine",
            "the role Storage Blob Data Contributor",
        ),
    };
    Settings { credentials, permissions }
}

/// Makes the client of a bucket.
///
/// # Errors
/// Which property is wrong, and what would be right. No value is in it.
pub(super) fn bucket(
    service: Service,
    name: &str,
    properties: &Properties,
    deadline: Duration,
    teller: &Teller,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    // The library's HTTP client takes the process's provider; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match service {
        Service::S3 => client::<AmazonS3Builder>(name, properties, deadline, teller),
        Service::Gcs => client::<GoogleCloudStorageBuilder>(name, properties, deadline, teller),
        Service::Azure => client::<MicrosoftAzureBuilder>(name, properties, deadline, teller),
    }
}

/// A service's builder, under one set of names.
trait Client: Sized + Clone {
    type Option: FromStr + PartialEq;
    const NAME: &'static str;
    /// What the environment calls the permission to use `http://`.
    const ALLOW_HTTP: &'static str;
    /// The options that people set, for suggestions.
    const KNOWN: &'static [&'static str];
    /// Addresses of servers.
    const ENDPOINTS: &'static [&'static str];

    fn from_environment() -> Self;
    fn of_client(option: ClientConfigKey) -> Self::Option;
    /// Why this option cannot be set, if it cannot.
    fn owned(option: &Self::Option) -> Option<&'static str>;
    fn with(self, option: Self::Option, value: &str) -> Self;
    fn get(&self, option: &Self::Option) -> Option<String>;
    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>>;
}

fn client<C: Client>(
    bucket: &str,
    properties: &Properties,
    deadline: Duration,
    teller: &Teller,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let options = read::<C>(properties)?;
    let base =
        C::from_environment().with(C::of_client(ClientConfigKey::Timeout), &format!("{}ms", deadline.as_millis()));
    let set = |base: C, left_out: Option<&str>| {
        let kept = options.iter().filter(|(key, ..)| Some(*key) != left_out);
        kept.fold(base, |builder, (key, value)| match key.parse() {
            Ok(option) => builder.with(option, value),
            Err(_) => builder,
        })
    };
    let mut builder = set(base.clone(), None);
    if encrypted_or_at_home::<C>(&builder, &options)? {
        builder = builder.with(C::of_client(ClientConfigKey::AllowHttp), "true");
    }
    builder.build(bucket, patience(deadline)).map_err(|error| {
        let reason = reason(&error, teller, &options);
        // The library does not say whose value it did not take: the one without which it takes the rest.
        let culprit = options.iter().map(|(key, _)| *key).find(|key| {
            let without = set(base.clone(), Some(key)).with(C::of_client(ClientConfigKey::AllowHttp), "true");
            without.build(bucket, patience(deadline)).is_ok()
        });
        match culprit {
            Some(key) => StoreError::refused(format!("{SECTION}.{key}"), format!("cannot be used: {reason}")),
            None => StoreError::refused(
                SECTION,
                format!("make no {} client, with what the environment holds: {reason}", C::NAME),
            ),
        }
    })
}

/// The library's words, without the value that they repeat.
fn reason(error: &object_store::Error, teller: &Teller, options: &[(&str, &str)]) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = teller.strike_out(&innermost.to_string());
    options.iter().filter(|(_, value)| !value.is_empty()).fold(text, |text, (_, value)| {
        let quoted = text.replace(&format!("\"{value}\""), "\"…\"");
        if value.len() < 4 { quoted } else { quoted.replace(value, "…") }
    })
}

/// Every property with its value, all of them options that may be set.
fn read<C: Client>(properties: &Properties) -> Result<Vec<(&str, &str)>, StoreError> {
    properties
        .iter()
        .map(|(key, value)| {
            let refuse = |reason: String| StoreError::refused(format!("{SECTION}.{key}"), reason);
            let Ok(option) = key.parse::<C::Option>() else {
                let nearest = C::KNOWN
                    .iter()
                    .map(|known| (strsim::normalized_damerau_levenshtein(key, known), known))
                    .filter(|(likeness, _)| *likeness >= 0.6)
                    .max_by(|(one, _), (other, _)| one.total_cmp(other));
                return Err(refuse(match nearest {
                    Some((_, known)) => format!("is no option of {}; did you mean {known}?", C::NAME),
                    None => format!("is no option of {}; there are {}", C::NAME, C::KNOWN.join(", ")),
                }));
            };
            match C::owned(&option) {
                Some(reason) => Err(refuse(format!("cannot be set: {reason}"))),
                None => Ok((key, value)),
            }
        })
        .collect()
}

const BUCKET: &str = "archive.url names the bucket";

/// Whether `http://` is to be allowed: where a server's address says so and stays on this machine.
///
/// # Errors
/// When such an address leaves this machine and nobody has said that this is meant.
fn encrypted_or_at_home<C: Client>(builder: &C, options: &[(&str, &str)]) -> Result<bool, StoreError> {
    let is_allow_http =
        |key: &str| key.parse::<C::Option>().is_ok_and(|option| option == C::of_client(ClientConfigKey::AllowHttp));
    let property = options.iter().find(|(key, _)| is_allow_http(key)).map(|(_, value)| (*value).to_owned());
    let asked = property
        .or_else(|| std::env::var(C::ALLOW_HTTP).ok())
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "on" | "yes" | "y"));
    let mut at_home = false;
    for name in C::ENDPOINTS {
        let Ok(option) = name.parse() else { continue };
        let Some(address) = builder.get(&option) else { continue };
        // As the user called it.
        let key = options.iter().find(|(key, _)| key.parse::<C::Option>().is_ok_and(|parsed| parsed == option));
        let key = format!("{SECTION}.{}", key.map_or(*name, |(key, _)| *key));
        let Some(url) = Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return Err(StoreError::refused(key, "must be an https:// URL"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(StoreError::refused(key, "must not hold a user or a password"));
        }
        let here = match url.host_str().unwrap_or_default().trim_matches(['[', ']']) {
            "localhost" => true,
            host => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        };
        if url.scheme() == "http" {
            if !here && !asked {
                return Err(StoreError::refused(
                    key,
                    "is http://, so that anyone on the way could read the posts; write https://, or set archive.properties.allow_http = true",
                ));
            }
            at_home |= here;
        }
    }
    Ok(at_home)
}

/// The library tries again on its own for half of a request's time, so that its last error can still be told.
fn patience(deadline: Duration) -> RetryConfig {
    let mut backoff = BackoffConfig::default();
    // The library panics where the longest pause is not above the first.
    backoff.max_backoff = backoff.max_backoff.min(deadline / 8).max(backoff.init_backoff * 2);
    RetryConfig { backoff, retry_timeout: deadline / 2, ..RetryConfig::default() }
}

impl Client for AmazonS3Builder {
    type Option = AmazonS3ConfigKey;
    const NAME: &'static str = "S3";
    const ALLOW_HTTP: &'static str = "AWS_ALLOW_HTTP";
    const KNOWN: &'static [&'static str] = &[
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_region",
        "aws_endpoint",
        "aws_virtual_hosted_style_request",
        "aws_role_arn",
        "aws_role_session_name",
        "aws_web_identity_token_file",
        "aws_endpoint_url_sts",
        "aws_metadata_endpoint",
        "aws_imdsv1_fallback",
        "aws_skip_signature",
        "aws_unsigned_payload",
        "aws_checksum_algorithm",
        "aws_server_side_encryption",
        "aws_sse_kms_key_id",
        "aws_sse_bucket_key_enabled",
        "aws_disable_tagging",
        "aws_disable_bulk_delete",
        "aws_request_payer",
        "aws_s3_express",
        "allow_http",
        "connect_timeout",
        "timeout",
        "proxy_url",
        "proxy_excludes",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "user_agent",
    ];
    const ENDPOINTS: &'static [&'static str] = &["aws_endpoint", "aws_endpoint_url_s3"];

    fn from_environment() -> Self {
        Self::from_env()
    }

    fn of_client(option: ClientConfigKey) -> Self::Option {
        AmazonS3ConfigKey::Client(option)
    }

    fn owned(option: &Self::Option) -> Option<&'static str> {
        match option {
            AmazonS3ConfigKey::Bucket => Some(BUCKET),
            AmazonS3ConfigKey::ConditionalPut => Some("a claim is won by a conditional put, or rows would double (I6)"),
            _ => None,
        }
    }

    fn with(self, option: Self::Option, value: &str) -> Self {
        self.with_config(option, value)
    }

    fn get(&self, option: &Self::Option) -> Option<String> {
        self.get_config_value(option)
    }

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
        let builder = self.with_bucket_name(bucket).with_retry(retry);
        // Whatever the environment says.
        Ok(Arc::new(builder.with_conditional_put(S3ConditionalPut::ETagMatch).build()?))
    }
}

impl Client for GoogleCloudStorageBuilder {
    type Option = GoogleConfigKey;
    const NAME: &'static str = "Google Cloud Storage";
    const ALLOW_HTTP: &'static str = "GOOGLE_ALLOW_HTTP";
    const KNOWN: &'static [&'static str] = &[
        "google_service_account_path",
        "google_service_account_key",
        "google_application_credentials",
        "google_bearer_token",
        "google_base_url",
        "google_skip_signature",
        "allow_http",
        "connect_timeout",
        "timeout",
        "proxy_url",
        "proxy_excludes",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "user_agent",
    ];
    const ENDPOINTS: &'static [&'static str] = &["google_base_url"];

    fn from_environment() -> Self {
        Self::from_env()
    }

    fn of_client(option: ClientConfigKey) -> Self::Option {
        GoogleConfigKey::Client(option)
    }

    fn owned(option: &Self::Option) -> Option<&'static str> {
        matches!(option, GoogleConfigKey::Bucket).then_some(BUCKET)
    }

    fn with(self, option: Self::Option, value: &str) -> Self {
        self.with_config(option, value)
    }

    fn get(&self, option: &Self::Option) -> Option<String> {
        self.get_config_value(option)
    }

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.with_bucket_name(bucket).with_retry(retry).build()?))
    }
}

impl Client for MicrosoftAzureBuilder {
    type Option = AzureConfigKey;
    const NAME: &'static str = "Azure Blob Storage";
    const ALLOW_HTTP: &'static str = "AZURE_ALLOW_HTTP";
    const KNOWN: &'static [&'static str] = &[
        "azure_storage_account_name",
        "azure_storage_account_key",
        "azure_storage_sas_token",
        "azure_storage_token",
        "azure_client_id",
        "azure_client_secret",
        "azure_tenant_id",
        "azure_federated_token_file",
        "azure_authority_host",
        "azure_msi_endpoint",
        "azure_object_id",
        "azure_msi_resource_id",
        "azure_use_azure_cli",
        "azure_endpoint",
        "azure_storage_use_emulator",
        "azure_use_fabric_endpoint",
        "azure_skip_signature",
        "azure_disable_tagging",
        "azure_credential_type",
        "azure_storage_encryption_key",
        "allow_http",
        "connect_timeout",
        "timeout",
        "proxy_url",
        "proxy_excludes",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "user_agent",
    ];
    const ENDPOINTS: &'static [&'static str] = &["azure_endpoint"];

    fn from_environment() -> Self {
        Self::from_env()
    }

    fn of_client(option: ClientConfigKey) -> Self::Option {
        AzureConfigKey::Client(option)
    }

    fn owned(option: &Self::Option) -> Option<&'static str> {
        matches!(option, AzureConfigKey::ContainerName).then_some("archive.url names the container")
    }

    fn with(self, option: Self::Option, value: &str) -> Self {
        self.with_config(option, value)
    }

    fn get(&self, option: &Self::Option) -> Option<String> {
        self.get_config_value(option)
    }

    fn build(self, bucket: &str, retry: RetryConfig) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(self.with_container_name(bucket).with_retry(retry).build()?))
    }
}

/// That every option which a refusal may suggest is one, and may be set.
#[cfg(test)]
pub(super) fn check_known() {
    fn check<C: Client>() {
        for name in C::KNOWN.iter().chain(C::ENDPOINTS) {
            assert!(name.parse().is_ok_and(|option| C::owned(&option).is_none()), "{name}");
        }
    }
    check::<AmazonS3Builder>();
    check::<GoogleCloudStorageBuilder>();
    check::<MicrosoftAzureBuilder>();
}
