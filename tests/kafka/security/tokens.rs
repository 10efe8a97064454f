//! A worker lives longer than its token.

use super::DEADLINE;
use super::cluster::{CLIENT_SECRET, Cluster, Way, with};
use super::issuer::Issuer;
use crate::support::eventually;
use crate::support::posts;
use crate::support::stage::{Layout, Stage};

#[test]
fn a_worker_outlives_its_tokens() {
    const LIFE: i64 = 6;
    let cluster = Cluster::shared();
    let issuer = Issuer::start(&cluster.authority, CLIENT_SECRET, "impatient-user", LIFE);
    let mut stage = Stage::new(&cluster.open_address(), "renewed", &Layout::partitions(2));
    let settings = cluster.settings(Way::TokenEndpoint);
    let mut worker = with(stage.worker("renewed"), &settings).set("kafka.oauth.token_endpoint", &issuer.url()).start();
    // The broker ends a connection whose token has expired, so three lives of a token cannot be outlived with one.
    for renewals in 1..=4 {
        stage.produce(posts::take(50));
        stage.wait_until_done(DEADLINE);
        eventually(DEADLINE, "the token is renewed", || (issuer.granted() > renewals).then_some(()));
    }
    stage.produce(posts::take(50));
    stage.wait_until_done(DEADLINE);
    assert_eq!(worker.metric("moodstream_client_restarts_total", ""), Some(0.0), "no client had to be made anew");
    stage.finish([worker], DEADLINE);
}
