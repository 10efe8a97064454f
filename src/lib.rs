//! moodstream labels a Kafka topic of social-media posts with the emotions they express, exactly once.

mod alerts;
mod archive;
pub mod bench;
mod check;
pub mod cli;
pub mod commands;
#[cfg(test)]
mod committed;
pub mod config;
pub mod demo;
mod evaluation;
mod fate;
mod fault;
pub mod files;
pub mod inference;
mod invocation;
pub mod kafka;
pub mod labelled;
mod labeller;
mod lane;
pub mod post;
mod shadow;
pub mod telemetry;
mod trends;
pub mod worker;

/// Tokenizing allocates dozens of times for a post, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
