//! Certificates and tokens made on the spot: an authority, a broker's and a client's certificate, signed JWTs.

use std::fs;
use std::path::Path;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::base64::encode_block;
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use serde_json::json;

/// The key id of tokens.
const KEY_ID: &str = "test-key";

/// Who a broker's validator must see as issuer and audience.
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "kafka";

/// Something that signs: certificates as an authority, tokens as an issuer.
pub(crate) struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    /// A new one.
    pub(crate) fn new(name: &str) -> Self {
        let key = key();
        Self { certificate: certificate(name, &key, None), key }
    }

    /// The authority's own certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        text(self.certificate.to_pem().expect("a certificate can be written"))
    }

    /// A certificate for this name, which is also the host's: certificate and key, PEM. The key is encrypted with the
    /// password, if there is one.
    pub(crate) fn issue(&self, name: &str, password: Option<&str>) -> (String, String) {
        let key = key();
        let certificate = certificate(name, &key, Some(self));
        let key = match password {
            Some(password) => key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password.as_bytes()),
            None => key.private_key_to_pem_pkcs8(),
        };
        (text(certificate.to_pem().expect("a certificate can be written")), text(key.expect("a key can be written")))
    }

    /// The public half of the key, as brokers take it (RFC 7517).
    pub(crate) fn write_jwks(&self, file: &Path) {
        let rsa = self.key.rsa().expect("an RSA key");
        let number = |number: &openssl::bn::BigNumRef| url_encoded(&number.to_vec());
        let key = json!({"kty": "RSA", "kid": KEY_ID, "alg": "RS256", "use": "sig", "n": number(rsa.n()), "e": number(rsa.e())});
        fs::write(file, json!({ "keys": [key] }).to_string()).expect("an own folder can be written");
    }

    /// A token for this principal that expires so many seconds from now.
    pub(crate) fn token(&self, principal: &str, seconds: i64) -> String {
        let now = jiff::Timestamp::now().as_second();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": principal, "iat": now - 1, "exp": now + seconds, "scope": "kafka"});
        let content =
            format!("{}.{}", url_encoded(header.to_string().as_bytes()), url_encoded(claims.to_string().as_bytes()));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("an RSA key signs");
        let signature = signer.sign_oneshot_to_vec(content.as_bytes()).expect("an RSA key signs");
        format!("{content}.{}", url_encoded(&signature))
    }
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).expect("a key can be made")).expect("an RSA key")
}

fn certificate(name: &str, key: &PKey<Private>, issuer: Option<&Authority>) -> X509 {
    let build = || -> Result<X509, openssl::error::ErrorStack> {
        let mut subject = X509NameBuilder::new()?;
        subject.append_entry_by_text("CN", name)?;
        let subject = subject.build();
        let mut serial = BigNum::new()?;
        serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
        let serial = Asn1Integer::from_bn(&serial)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&subject)?;
        builder.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.certificate.subject_name()))?;
        builder.set_pubkey(key)?;
        let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(2)?);
        builder.set_not_before(&begin)?;
        builder.set_not_after(&end)?;
        match issuer {
            None => builder.append_extension(BasicConstraints::new().critical().ca().build()?)?,
            Some(issuer) => {
                let names = SubjectAlternativeName::new()
                    .dns(name)
                    .build(&builder.x509v3_context(Some(&issuer.certificate), None))?;
                builder.append_extension(names)?;
            }
        }
        builder.sign(issuer.map_or(key, |issuer| &issuer.key), MessageDigest::sha256())?;
        Ok(builder.build())
    };
    build().expect("a certificate can be made")
}

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).expect("PEM is text")
}

fn url_encoded(bytes: &[u8]) -> String {
    encode_block(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}
