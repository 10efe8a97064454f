//! Which options of a bucket are taken and which are refused, for every kind of bucket, without a server.

use std::time::Duration;

use super::*;

/// Properties, by key.
type Given<'a> = &'a [(&'a str, &'a str)];

fn opened(url: &str, properties: Given<'_>) -> Result<Store, StoreError> {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Store::open(url, &properties, Duration::from_mins(1))
}

fn refusal(url: &str, properties: Given<'_>) -> String {
    let error = opened(url, properties).expect_err("refused");
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    let text = format!("{error}");
    assert!(!format!("{text} {error:?}").contains("hunter2"), "{text}");
    text
}

const ACCOUNT: (&str, &str) = ("azure_storage_account_name", "me");
/// A key of Azure is base64.
const KEY: (&str, &str) = ("azure_storage_account_key", "aHVudGVyMg==");

#[test]
fn usual_options_make_a_client_of_each_service() {
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("s3://bucket/prefix", &[("aws_region", "eu-central-1")]),
        ("s3://bucket", &[("region", "eu-central-1"), ("access_key_id", "me"), ("secret_access_key", "hunter2")]),
        ("s3://bucket", &[("aws_endpoint", "http://127.0.0.1:9000")]),
        ("s3://bucket", &[("aws_endpoint", "http://store.example"), ("allow_http", "true"), ("timeout", "5s")]),
        ("gs://bucket/prefix", &[("google_bearer_token", "hunter2")]),
        ("gs://bucket/prefix", &[("google_base_url", "http://localhost:4443"), ("google_skip_signature", "true")]),
        ("az://container/prefix", &[ACCOUNT, KEY]),
        ("az://container", &[ACCOUNT, ("azure_storage_sas_token", "sv=1&sig=hunter2")]),
    ];
    for (url, properties) in cases {
        let store = opened(url, properties).unwrap_or_else(|error| panic!("{url} {properties:?}: {error}"));
        assert_eq!(format!("{store:?}"), format!("Store({url:?})"));
    }
}

#[test]
fn an_unknown_option_is_refused_with_the_nearest_one() {
    let refused = refusal("s3://bucket", &[("aws_regoin", "hunter2")]);
    assert_eq!(refused, "archive.properties.aws_regoin: is no option of S3; did you mean aws_region?");
    let refused = refusal("gs://bucket", &[("aws_region", "hunter2")]);
    assert!(refused.starts_with("archive.properties.aws_region: is no option of Google Cloud Storage"), "{refused}");
    let refused = refusal("az://container", &[ACCOUNT, ("colour", "hunter2")]);
    assert!(refused.contains("there are azure_storage_account_name, "), "{refused}");
}

#[test]
fn a_value_that_is_not_taken_is_refused_by_its_key_alone() {
    let good = ("aws_region", "eu-central-1");
    let refused = refusal("s3://bucket", &[good, ("aws_skip_signature", "hunter2")]);
    assert!(refused.starts_with("archive.properties.aws_skip_signature: "), "{refused}");
    let refused = refusal("s3://bucket", &[good, ("connect_timeout", "hunter2")]);
    assert!(refused.starts_with("archive.properties.connect_timeout: "), "{refused}");
    let refused = refusal("s3://bucket", &[("aws_secret_access_key", "hunter2")]);
    assert!(refused.starts_with("archive.properties.aws_secret_access_key: "), "{refused}");
    let refused = refusal("gs://bucket", &[("google_service_account_key", "{\"private_key\": \"hunter2\"}")]);
    assert!(refused.starts_with("archive.properties.google_service_account_key: "), "{refused}");
    let refused = refusal("az://container", &[ACCOUNT, ("azure_storage_account_key", "hunter2 is no base64")]);
    assert!(refused.starts_with("archive.properties.azure_storage_account_key: "), "{refused}");
}

#[test]
fn options_that_the_archive_owns_are_refused() {
    for (url, key) in [
        ("s3://bucket", "aws_bucket"),
        ("s3://bucket", "aws_conditional_put"),
        ("gs://bucket", "google_bucket"),
        ("az://container", "azure_container_name"),
    ] {
        let refused = refusal(url, &[ACCOUNT, (key, "hunter2")].as_slice()[usize::from(!url.starts_with("az"))..]);
        assert!(refused.starts_with(&format!("archive.properties.{key}: cannot be set: ")), "{refused}");
    }
    let refused = refusal("/tmp", &[("aws_region", "eu-central-1")]);
    assert!(refused.starts_with("archive.properties.aws_region: is an option of buckets"), "{refused}");
}

#[test]
fn posts_leave_this_machine_encrypted_unless_told_otherwise() {
    let cases: [(&str, Given<'_>, &str); 6] = [
        ("s3://bucket", &[("aws_endpoint", "http://store.example")], "aws_endpoint"),
        ("s3://bucket", &[("endpoint_url", "http://10.0.0.1:9000")], "endpoint_url"),
        ("s3://bucket", &[("aws_endpoint", "http://store.example"), ("allow_http", "false")], "aws_endpoint"),
        ("gs://bucket", &[("google_base_url", "http://store.example")], "google_base_url"),
        ("az://container", &[ACCOUNT, KEY, ("azure_endpoint", "http://store.example")], "azure_endpoint"),
        ("s3://bucket", &[("aws_endpoint", "https://me:hunter2@store.example")], "aws_endpoint"),
    ];
    for (url, properties, key) in cases {
        let refused = refusal(url, properties);
        assert!(refused.starts_with(&format!("archive.properties.{key}: ")), "{refused}");
    }
}

#[test]
fn every_suggested_option_is_one() {
    options::check_known();
}

#[test]
fn a_folder_that_cannot_be_opened_is_refused_by_its_setting() {
    let file = tempfile::NamedTempFile::new().expect("file");
    let url = file.path().join("archive");
    let refused = refusal(url.to_str().expect("utf-8"), &[]);
    assert!(refused.starts_with("archive.url: "), "{refused}");
}
