//! moodstream labels a Kafka topic of social-media posts with the emotions they express, exactly once.

pub mod config;
pub mod inference;
