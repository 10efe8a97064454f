//! Where an archive is: a folder, or a bucket and a prefix.

use std::path::PathBuf;

use object_store::path::Path as ObjectPath;
use reqwest::Url;

use super::StoreError;

const KEY: &str = "archive.url";

/// What `archive.url` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A place in a bucket.
    Bucket {
        /// Whose bucket.
        service: Service,
        /// Its name; a container for Azure.
        bucket: String,
        /// The place below it.
        prefix: ObjectPath,
    },
}

/// A service that keeps objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Amazon S3 and servers that speak its language.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Location {
    /// # Errors
    /// What is wrong with the URL, and what would be right.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let refuse = |reason: &str| Err(StoreError::refused(KEY, reason));
        let Some((scheme, _)) = url.split_once("://") else {
            return match url {
                "" => refuse("must name a folder, or a URL such as \"s3://bucket/prefix\""),
                _ if url.starts_with("~/") => refuse("~ is not resolved here; write the whole path"),
                folder => Ok(Self::Folder(PathBuf::from(folder))),
            };
        };
        let service = match scheme {
            "file" => None,
            "s3" => Some(Service::S3),
            "gs" => Some(Service::Gcs),
            "az" => Some(Service::Azure),
            _ => {
                return refuse(
                    "must be a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; the address of another S3 server is archive.properties.aws_endpoint",
                );
            }
        };
        let Ok(parsed) = Url::parse(url) else { return refuse("is no URL") };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return refuse(
                "must not hold a user or a password; credentials are archive.properties or the environment's",
            );
        }
        if parsed.query().is_some() || parsed.fragment().is_some() || parsed.port().is_some() {
            return refuse("must hold neither a port nor anything after ? or #");
        }
        let Some(service) = service else {
            return match parsed.to_file_path() {
                Ok(folder) => Ok(Self::Folder(folder)),
                Err(()) => refuse("must be file:///folder, with three slashes, for a folder of this machine"),
            };
        };
        let Some(bucket) = parsed.host_str().filter(|bucket| !bucket.is_empty()) else {
            return refuse("names no bucket");
        };
        let Ok(prefix) = ObjectPath::from_url_path(parsed.path()) else {
            return refuse("has a prefix that is no name for a store");
        };
        Ok(Self::Bucket { service, bucket: bucket.to_owned(), prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(service: Service, bucket: &str, prefix: &str) -> Location {
        Location::Bucket { service, bucket: bucket.to_owned(), prefix: ObjectPath::from(prefix) }
    }

    #[test]
    fn folders_and_buckets_are_told_apart() {
        let cases = [
            ("archive", Location::Folder("archive".into())),
            ("./a/b", Location::Folder("./a/b".into())),
            ("/var/lib/a b", Location::Folder("/var/lib/a b".into())),
            ("file:///var/lib/a%20b", Location::Folder("/var/lib/a b".into())),
            ("s3://bucket", bucket(Service::S3, "bucket", "")),
            ("s3://bucket/", bucket(Service::S3, "bucket", "")),
            ("s3://bucket/one/two/", bucket(Service::S3, "bucket", "one/two")),
            ("gs://my_bucket.example/one", bucket(Service::Gcs, "my_bucket.example", "one")),
            ("az://container/one", bucket(Service::Azure, "container", "one")),
        ];
        for (url, expected) in cases {
            assert_eq!(Location::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_names_no_place_or_holds_a_password_is_refused_without_it() {
        for url in [
            "",
            "~/archive",
            "s3://",
            "s3:///prefix",
            "s3://me:hunter2@bucket/prefix",
            "az://container@account/prefix",
            "s3://bucket/prefix?token=hunter2",
            "s3://bucket:9000/prefix",
            "file://host/folder",
            "https://bucket.example/hunter2",
            "ftp://bucket",
        ] {
            let error = Location::parse(url).expect_err(url);
            assert!(error.to_string().starts_with("archive.url: "), "{url}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{url}: {error}");
        }
    }
}
