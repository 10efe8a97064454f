//! The status page: one file that asks no other host for anything.
//!
//! Its script and style are inline; the policy sent with it allows these two by their digests and nothing else,
//! so a text that came from outside cannot become code even if the page had a hole.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        digest("script"),
        digest("style"),
    )
});

/// `/`.
pub(super) async fn answer() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE)
}

/// The digest of the page's only element of that name, as a policy writes it.
fn digest(element: &str) -> String {
    let content =
        PAGE.split_once(&format!("<{element}>")).and_then(|(_, rest)| rest.split_once(&format!("</{element}>")));
    let content = content.map_or("", |(content, _)| content);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_host_and_its_only_code_is_what_the_policy_allows() {
        assert!(!PAGE.contains("://"), "an address");
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\"", " onclick"]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert_ne!(
                digest(element),
                format!("sha256-{}", STANDARD.encode(Sha256::digest(""))),
                "{element} is empty"
            );
        }
        assert!(!POLICY.contains("unsafe"), "{}", *POLICY);
    }
}
