//! What every store promises, asked of a folder, of memory, and (`s3_tests`) of a real S3 server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;

use super::*;

/// A store to ask, and what must live as long as it.
pub(super) struct Asked<T> {
    pub(super) store: Store,
    pub(super) _held: T,
}

/// Every promise as a test of its own, for a store that this expression opens.
macro_rules! keeps_the_contract {
    (@tests $open:tt $($promise:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let Some(asked) = $open else { return };
            $crate::archive::store::contract_tests::$promise(&asked.store).await;
        })+
    };
    ($($open:tt)+) => {
        $crate::archive::store::contract_tests::keeps_the_contract! { @tests ($($open)+)
            a_name_is_given_once
            of_rivals_for_a_name_one_wins
            a_file_is_replaced_whole
            what_is_not_there_is_told_so
            the_end_of_a_file_is_read
            parts_of_a_file_are_read_in_the_order_asked_for
            listings_are_by_folder_and_in_order
            a_listing_goes_on_beyond_a_path
            the_probe_passes_and_leaves_nothing
        }
    };
}
pub(super) use keeps_the_contract;

const DEADLINE: Duration = Duration::from_secs(20);

mod folder {
    use super::*;

    keeps_the_contract! { opened() }

    #[expect(clippy::unnecessary_wraps, reason = "other stores may be missing")]
    fn opened() -> Option<Asked<tempfile::TempDir>> {
        let folder = tempfile::tempdir().expect("folder");
        let url = folder.path().join("archive");
        let store = Store::open(url.to_str().expect("utf-8"), &Properties::default(), DEADLINE).expect("opened");
        Some(Asked { store, _held: folder })
    }
}

mod memory {
    use super::*;

    keeps_the_contract! { Some(Asked { store: Store::memory(DEADLINE), _held: () }) }
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

async fn put(store: &Store, paths: &[&str]) {
    for path in paths {
        assert_eq!(store.create(path, bytes(path)).await, Ok(Created::New), "{path}");
    }
}

fn paths(found: &[Meta]) -> Vec<&str> {
    found.iter().map(|meta| meta.path.as_str()).collect()
}

pub(super) async fn a_name_is_given_once(store: &Store) {
    let path = "_state/claims/x-Y_z/0/00000000000000000000.json";
    assert_eq!(store.create(path, bytes("one")).await, Ok(Created::New));
    assert_eq!(store.create(path, bytes("two")).await, Ok(Created::Exists));
    assert_eq!(store.create(path, bytes("one")).await, Ok(Created::Exists));
    assert_eq!(store.get(path).await, Ok(Some(bytes("one"))));
}

pub(super) async fn of_rivals_for_a_name_one_wins(store: &Store) {
    for round in 0..5 {
        let path = format!("raced/{round}");
        let rivals = (0..12).map(|rival| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(async move { store.create(&path, bytes(&rival.to_string())).await })
        });
        let outcomes: Vec<_> = join_all(rivals).await.into_iter().map(|done| done.expect("no panic")).collect();
        let won: Vec<_> = (0..outcomes.len()).filter(|rival| outcomes[*rival] == Ok(Created::New)).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        assert_eq!(store.get(&path).await, Ok(Some(bytes(&won[0].to_string()))));
    }
}

pub(super) async fn a_file_is_replaced_whole(store: &Store) {
    put(store, &["torn"]).await;
    let torn = store.head("torn").await.expect("told").expect("there").version;
    assert_eq!(store.replace("torn", bytes("whole"), &torn).await, Ok(Created::New));
    assert_eq!(store.replace("torn", bytes("later"), &torn).await, Ok(Created::Exists), "it is another one by now");
    assert_eq!(store.get("torn").await, Ok(Some(bytes("whole"))));
    assert_eq!(store.replace("new/torn", bytes("whole"), &torn).await, Ok(Created::Exists), "there is none");
}

pub(super) async fn what_is_not_there_is_told_so(store: &Store) {
    put(store, &["a/here"]).await;
    assert_eq!(store.get("a/there").await, Ok(None));
    assert_eq!(store.tail("a/there", 8).await, Ok(None));
    assert_eq!(store.head("a/there").await, Ok(None));
    assert_eq!(store.list("b").await, Ok(vec![]));
    assert_eq!(store.list_after("b", "b/c").await, Ok(vec![]));
    assert_eq!(store.folders("b").await, Ok(vec![]));
    assert_eq!(store.delete("a/there").await, Ok(()));
    assert_eq!(store.delete("a/here").await, Ok(()));
    assert_eq!(store.get("a/here").await, Ok(None));
    assert_eq!(store.list("a").await, Ok(vec![]));
}

pub(super) async fn the_end_of_a_file_is_read(store: &Store) {
    assert_eq!(store.create("a/file", bytes("0123456789")).await, Ok(Created::New));
    assert_eq!(store.create("a/empty", Bytes::new()).await, Ok(Created::New));
    assert_eq!(
        store.tail("a/file", 4).await.map(|found| found.map(|(meta, end)| (meta.size, end))),
        Ok(Some((10, bytes("6789"))))
    );
    assert_eq!(
        store.tail("a/file", 10).await.map(|found| found.map(|(meta, end)| (meta.size, end))),
        Ok(Some((10, bytes("0123456789"))))
    );
    assert_eq!(
        store.tail("a/file", 1000).await.map(|found| found.map(|(meta, end)| (meta.size, end))),
        Ok(Some((10, bytes("0123456789"))))
    );
    assert_eq!(
        store.tail("a/empty", 8).await.map(|found| found.map(|(meta, end)| (meta.size, end))),
        Ok(Some((0, Bytes::new())))
    );
    assert_eq!(store.get("a/empty").await, Ok(Some(Bytes::new())));

    let meta = store.head("a/file").await.expect("told").expect("there");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let age = i64::try_from(now).expect("fits") - meta.modified_ms;
    assert_eq!((meta.path.as_str(), meta.size), ("a/file", 10));
    assert!((-2_000..60_000).contains(&age), "{age} ms");
}

pub(super) async fn parts_of_a_file_are_read_in_the_order_asked_for(store: &Store) {
    let path = "posts/date=2025-10-09/hour=08/a.parquet";
    assert_eq!(store.create(path, bytes("0123456789")).await, Ok(Created::New));
    let parts = store.ranges(path, &[2..4, 0..1, 9..10]).await.expect("read").expect("there");
    assert_eq!(parts, [bytes("23"), bytes("0"), bytes("9")]);
    assert_eq!(store.ranges("posts/date=2025-10-09/hour=08/b.parquet", &[0..1, 2..3]).await, Ok(None));
}

pub(super) async fn listings_are_by_folder_and_in_order(store: &Store) {
    put(store, &["p/date=2025-10-10/hour=00/b.parquet", "p/date=2025-10-09/hour=08/x.parquet"]).await;
    put(store, &["p/date=2025-10-09/hour=07/a.parquet", "p/top", "pp/date=2025-10-09/hour=07/a.parquet"]).await;
    let all = [
        "p/date=2025-10-09/hour=07/a.parquet",
        "p/date=2025-10-09/hour=08/x.parquet",
        "p/date=2025-10-10/hour=00/b.parquet",
        "p/top",
    ];
    let found = store.list("p").await.expect("listed");
    assert_eq!(paths(&found), all);
    assert_eq!(found[0].size, all[0].len() as u64);
    assert_eq!(store.list("p/date=2025-10-09/hour=08").await.map(|found| found.len()), Ok(1));
    assert_eq!(store.list("p/date=2025-10").await, Ok(vec![]), "half of a name is no folder");
    let folders = |folders: &[&str]| Ok(folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>());
    assert_eq!(store.folders("p").await, folders(&["p/date=2025-10-09", "p/date=2025-10-10"]));
    assert_eq!(store.folders("p/date=2025-10-09/hour=07").await, folders(&[]));
    store.delete(all[2]).await.expect("deleted");
    assert_eq!(store.folders("p").await, folders(&["p/date=2025-10-09"]), "a folder goes with its last file");
}

pub(super) async fn a_listing_goes_on_beyond_a_path(store: &Store) {
    let names: Vec<String> = (0..30).map(|number| format!("claims/7/{:020}.json", number * 3)).collect();
    for name in names.iter().rev() {
        put(store, &[name]).await;
    }
    let after = store.list_after("claims/7", &names[20]).await.expect("listed");
    assert_eq!(paths(&after), names[21..].iter().map(String::as_str).collect::<Vec<_>>());
    let between = format!("claims/7/{:020}", 1);
    assert_eq!(store.list_after("claims/7", &between).await.map(|found| found.len()), Ok(29));
    assert_eq!(store.list_after("claims/7", &names[29]).await, Ok(vec![]));
}

pub(super) async fn the_probe_passes_and_leaves_nothing(store: &Store) {
    assert_eq!(store.probe().await, Ok(()));
    assert_eq!(store.list("_state").await, Ok(vec![]));
}
