//! moodstream labels a Kafka topic of social-media posts with the emotions they express, exactly once.

pub mod cli;
pub mod commands;
#[cfg(test)]
mod committed;
pub mod config;
pub mod inference;
pub mod telemetry;
