//! How the mapping of records to posts is written: presets, pointers and conditions.
//!
//! The language is as small as the topics that people have allow; `post` runs it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Settings of `[input]` for the records of one platform, below those of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The defaults.
    None,
    /// Bluesky's events as Jetstream writes them.
    BlueskyJetstream,
    /// Mastodon's streaming events, or bare statuses.
    Mastodon,
    /// Posts as the streams of X's API v2 deliver them.
    XV2,
}

impl Preset {
    /// The preset's settings in TOML; nothing for [`Preset::None`].
    pub(super) fn toml(self) -> &'static str {
        match self {
            Self::None => "",
            Self::BlueskyJetstream => include_str!("../../config/presets/bluesky-jetstream.toml"),
            Self::Mastodon => include_str!("../../config/presets/mastodon.toml"),
            Self::XV2 => include_str!("../../config/presets/x-v2.toml"),
        }
    }
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

impl fmt::Display for OneOrMore {
    /// As TOML: `"/a"`, `["/a", "/b"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(one) => write!(f, "{one:?}"),
            Self::More(more) => write!(f, "{more:?}"),
        }
    }
}

/// What the value at a pointer must be. One that is missing or null counts as the text `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// One of these.
    Is(OneOrMore),
    /// None of these.
    IsNot(Not),
}

/// Values that are not wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Not {
    /// None of these; an empty list takes any value.
    pub not: OneOrMore,
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a condition",
            "examples": ["create", ["public", "unlisted"], {"not": "retweeted"}],
            "anyOf": [generator.subschema_for::<OneOrMore>(), generator.subschema_for::<Not>()],
        })
    }
}
