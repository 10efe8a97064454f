//! moodstream labels a Kafka topic of social-media posts with the emotions they express, exactly once.

pub mod bench;
mod check;
pub mod cli;
pub mod commands;
#[cfg(test)]
mod committed;
pub mod config;
pub mod demo;
mod fault;
pub mod inference;
mod invocation;
pub mod kafka;
pub mod labelled;
mod lane;
pub mod post;
pub mod telemetry;
pub mod worker;
