//! That the injected faults do what they say, and that the probe finds a store that overwrites.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::faults::{Fault, Faults};
use super::*;

const DEADLINE: Duration = Duration::from_secs(5);

/// A store, the same one without faults, and the faults.
fn faulty() -> (Store, Store, Arc<Faults>) {
    let sound = Store::memory(DEADLINE);
    let faults = Arc::new(Faults::default());
    (sound.with_faults(Arc::clone(&faults)), sound, faults)
}

fn content(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// How a put ends, in a word.
fn word(outcome: &Result<Created, StoreError>) -> &'static str {
    match outcome {
        Ok(Created::New) => "new",
        Ok(Created::Exists) => "exists",
        Err(StoreError::Unknown(_)) => "unknown",
        Err(StoreError::Later(_)) => "later",
        Err(StoreError::Refused { .. }) => "refused",
    }
}

#[tokio::test]
async fn a_put_ends_as_its_fault_says_and_leaves_what_its_fault_leaves() {
    let cases = [
        (Fault::LostRequest, "unknown", None),
        (Fault::LostReply, "unknown", Some("content")),
        (Fault::Conflict, "exists", None),
        (Fault::OwnRetry, "exists", Some("content")),
        (Fault::Unavailable, "later", None),
        (Fault::Torn, "unknown", Some("con")),
        (Fault::Overwrite, "new", Some("content")),
    ];
    for (fault, told, left) in cases {
        let (store, sound, faults) = faulty();
        faults.inject("a/", fault, 1);
        assert_eq!(word(&store.create("b", content("other")).await), "new", "{fault:?} is for another path");
        let outcome = store.create("a/file", content("content")).await;
        let found = sound.get("a/file").await.expect("told");
        assert_eq!((word(&outcome), found), (told, left.map(content)), "{fault:?}");
        assert_eq!(faults.done(), 1);
        assert_eq!(store.get("a/file").await, sound.get("a/file").await, "{fault:?} is over");
    }
}

#[tokio::test]
async fn a_put_if_absent_that_overwrites_takes_the_name_of_another() {
    let (store, sound, faults) = faulty();
    assert_eq!(store.create("claim", content("one")).await, Ok(Created::New));
    faults.inject("claim", Fault::Overwrite, 1);
    assert_eq!(store.create("claim", content("two")).await, Ok(Created::New));
    assert_eq!(sound.get("claim").await, Ok(Some(content("two"))));
}

#[tokio::test]
async fn a_late_put_arrives_when_nobody_waits_for_it() {
    let (store, sound, faults) = faulty();
    faults.inject("claim", Fault::Late(Duration::from_millis(50)), 1);
    assert_eq!(word(&store.create("claim", content("late")).await), "unknown");
    assert_eq!(sound.get("claim").await, Ok(None));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(sound.get("claim").await, Ok(Some(content("late"))));
}

#[tokio::test]
async fn a_torn_file_on_a_disk_has_its_final_name_and_is_replaced_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let url = folder.path().to_str().expect("utf-8");
    let sound = Store::open(url, &Properties::default(), DEADLINE).expect("opened");
    let faults = Arc::new(Faults::default());
    faults.inject("file", Fault::Torn, 2);
    let store = sound.with_faults(faults);
    assert_eq!(word(&store.create("posts/file", content("content")).await), "unknown");
    assert_eq!(sound.get("posts/file").await, Ok(Some(content("con"))));
    assert_eq!(word(&store.create("posts/file", content("content")).await), "exists", "there is something to tear");
    let torn = store.head("posts/file").await.expect("told").expect("there").version;
    assert_eq!(store.replace("posts/file", content("content"), &torn).await, Ok(Created::New));
    assert_eq!(sound.get("posts/file").await, Ok(Some(content("content"))));
}

#[tokio::test]
async fn reads_and_deletions_fail_without_an_effect_or_with_it() {
    let (store, sound, faults) = faulty();
    store.create("file", content("content")).await.expect("created");
    faults.inject("file", Fault::Unavailable, 2);
    assert!(matches!(store.get("file").await, Err(StoreError::Later(_))));
    assert!(matches!(store.delete("file").await, Err(StoreError::Later(_))));
    faults.inject("file", Fault::LostReply, 2);
    assert!(matches!(store.head("file").await, Err(StoreError::Later(_))), "a read leaves nothing behind");
    assert!(sound.get("file").await.is_ok_and(|found| found.is_some()));
    assert!(matches!(store.delete("file").await, Err(StoreError::Unknown(_))));
    assert_eq!(sound.get("file").await, Ok(None));
}

#[tokio::test]
async fn the_probe_refuses_a_store_that_overwrites() {
    for path in ["-twice", "-raced"] {
        let (store, sound, faults) = faulty();
        faults.inject(path, Fault::Overwrite, 100);
        let error = store.probe().await.expect_err("it overwrites");
        assert!(matches!(&error, StoreError::Refused { key, .. } if key == "archive.url"), "{error}");
        assert_eq!(sound.list("_state").await, Ok(vec![]), "the probe cleans up after itself");
    }
}

#[tokio::test]
async fn the_probe_tells_an_outage_from_a_store_that_overwrites() {
    let (store, _, faults) = faulty();
    faults.inject("_state", Fault::Unavailable, 100);
    assert!(matches!(store.probe().await, Err(StoreError::Later(_))));
    faults.clear();
    // Its own first put, sent twice by the client.
    faults.inject("-twice", Fault::OwnRetry, 1);
    assert_eq!(store.probe().await, Ok(()));
    faults.inject("-twice", Fault::Conflict, 1);
    assert!(matches!(store.probe().await, Err(StoreError::Later(_))), "nothing is proven, for or against it");
}

#[test]
fn the_list_of_faults_is_read_and_a_seed_repeats_it() {
    let rolled = |list: &str| {
        let faults = Faults::parse(list).expect("read");
        (0..200).map(|_| faults.next(Doing::Create("a")).is_some()).collect::<Vec<_>>()
    };
    let some = rolled("lost_reply=0.1, torn=0.05,seed=7");
    let hits = some.iter().filter(|hit| **hit).count();
    assert!((10..60).contains(&hits), "{hits} of 200");
    assert_eq!(some, rolled("lost_reply=0.1, torn=0.05,seed=7"));
    assert_ne!(some, rolled("lost_reply=0.1, torn=0.05,seed=8"));
    for wrong in ["lost=0.1", "torn=2", "torn=x", "seed=x", "late_by=x"] {
        assert!(Faults::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_probe_is_spared_where_asked() {
    let faults = Faults::parse("overwrite,spare_probe").expect("read");
    assert_eq!(faults.next(Doing::Create("_state/probe/1-twice")), None);
    assert_eq!(faults.next(Doing::Create("_state/claims/1")), Some(Fault::Overwrite));
    assert_eq!(faults.next(Doing::Read("_state/claims/1")), None, "reads do not overwrite");
}
