//! Every claim about delivery, proved on a real Kafka broker with the real program.
//!
//! A scenario makes topics of its own ([`support::stage`]), starts workers as processes, hurts them or the broker,
//! waits until the group has read its input, and asks the oracle ([`support::oracle`]): every input in exactly one
//! committed outcome (I1, I2), in order per partition (I4), bytes intact (I7), group offset at the end. The oracle
//! and the rig are tested too (`oracle`, `rig`), and `control` shows that the oracle can fail.
//!
//! Waits have deadlines and wait for conditions; nothing sleeps for a while and hopes.

mod support;

mod alerts;
mod archive;
mod bad_records;
mod bench;
mod broker_faults;
mod check;
mod control;
mod cpu;
mod kills;
mod membership;
mod memory;
mod oracle;
mod positions;
mod protocols;
mod rig;
mod rollout;
mod security;
mod small_device;
mod targets;
mod topics;
