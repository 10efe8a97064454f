//! A rejected line: the reason, where it stood, and its bytes as they came (I7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::lines::{Line, Whole};
use crate::fate::Death;
use crate::labelled::{FORMAT_VERSION, FileLine};
use crate::post::EventTime;

/// One line of the file of rejects.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RejectedLine<'a> {
    /// Version of this format: 1.
    pub v: u8,
    /// Where it failed: `decode`, `classify` or `produce`.
    pub stage: &'a str,
    /// A fixed word for the kind of fault.
    pub class: &'a str,
    /// What was found and what would be right; never any of the text.
    pub message: &'a str,
    /// Where the line stood.
    pub source: FileLine<'a>,
    /// The line as it came, without its line feed; null when it is not UTF-8.
    pub value: Option<&'a str>,
    /// Its bytes in base64 when it is not UTF-8, else null.
    pub value_base64: Option<String>,
    /// Bytes of the whole line.
    pub bytes: u64,
    /// SHA-256 of the whole line, 64 hex digits.
    pub sha256: &'a str,
    /// Whether the value is the beginning of the line only, because it is longer than `input.max_line_bytes`.
    pub truncated: bool,
    /// Content hash of the model in use, 64 hex digits.
    pub model: &'a str,
    /// When it was rejected, UTC, RFC 3339 with milliseconds.
    #[schemars(with = "String")]
    pub rejected_at: EventTime,
}

/// Appends a rejected line, with its line feed.
///
/// # Errors
/// Never for a line: all of it can be JSON.
pub(super) fn reject(
    into: &mut Vec<u8>,
    file: &str,
    line: Line<'_>,
    death: &Death,
    model: &str,
    now: EventTime,
) -> serde_json::Result<()> {
    let sha256;
    let (bytes, sha256) = if let Some(Whole { bytes, sha256 }) = line.whole {
        (*bytes, sha256.as_str())
    } else {
        sha256 = hex::encode(Sha256::digest(line.bytes));
        (line.bytes.len() as u64, sha256.as_str())
    };
    let value = std::str::from_utf8(line.bytes).ok();
    let record = RejectedLine {
        v: FORMAT_VERSION,
        stage: death.stage.as_str(),
        class: death.class,
        message: &death.message,
        source: FileLine { file, line: line.number },
        value,
        value_base64: value.is_none().then(|| STANDARD.encode(line.bytes)),
        bytes,
        sha256,
        truncated: line.whole.is_some(),
        model,
        rejected_at: now,
    };
    serde_json::to_writer(&mut *into, &record)?;
    into.push(b'\n');
    Ok(())
}

/// The JSON schema of a rejected line, as the committed file holds it.
#[must_use]
pub fn schema_text() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<RejectedLine<'static>>();
    schema.insert("title".to_owned(), Value::from("RejectedLine"));
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::committed::assert_committed;
    use crate::fate::Stage;

    #[test]
    fn committed_schema_is_the_generated_one() {
        assert_committed("schemas/rejected-line.schema.json", &schema_text());
    }

    fn rejected(bytes: &[u8], whole: Option<&Whole>) -> Value {
        let mut json = Vec::new();
        let death = Death { stage: Stage::Decode, class: "not_json", message: "no".into() };
        let line = Line { number: 7, bytes, whole };
        reject(&mut json, "f.jsonl", line, &death, "m", EventTime(0)).expect("JSON");
        assert_eq!(json.iter().position(|byte| *byte == b'\n'), Some(json.len() - 1), "one line");
        serde_json::from_slice(&json).expect("JSON")
    }

    #[test]
    fn a_line_of_text_stays_readable_and_any_bytes_survive() {
        let json = rejected("{\"té\u{0}xt\r".as_bytes(), None);
        assert_eq!((&json["value"], &json["value_base64"]), (&json!("{\"té\u{0}xt\r"), &Value::Null));
        assert_eq!((&json["source"], &json["bytes"]), (&json!({"file": "f.jsonl", "line": 7}), &json!(9)));
        let json = rejected(b"\xff\0", None);
        assert_eq!((&json["value"], &json["value_base64"]), (&Value::Null, &json!("/wA=")));
        assert_eq!(json["sha256"], hex::encode(Sha256::digest(b"\xff\0")));
        assert_eq!(json["truncated"], json!(false));
    }

    #[test]
    fn a_cut_line_says_what_the_whole_was() {
        let whole = Whole { bytes: 5_000_000_000, sha256: "ab".repeat(32) };
        let json = rejected(b"begin", Some(&whole));
        assert_eq!((&json["bytes"], &json["truncated"]), (&json!(5_000_000_000_u64), &json!(true)));
        assert_eq!((&json["sha256"], &json["value"]), (&json!("ab".repeat(32)), &json!("begin")));
    }
}
