//! Another program's hand on the log: lines wait, and come in once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rstest::rstest;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::{SID, Scene, sqlite, story};
use crate::store::postgres::Target;
use crate::store::{Config, Store, spill};

async fn other(path: &Path) -> SqliteConnection {
    sqlite::options(path).connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

/// Turns of the one call, if it is over.
async fn turns(scene: &Scene) -> Option<usize> {
    scene.read(SID).await.filter(|call| call.call.ending.is_some()).map(|call| call.turns.len())
}

#[rstest]
#[case::an_editor("BEGIN IMMEDIATE; UPDATE calls SET agent = agent")]
#[case::an_exclusive_transaction("BEGIN EXCLUSIVE")]
#[case::an_exclusive_connection(
    "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE calls SET agent = agent; COMMIT"
)]
#[tokio::test]
async fn a_server_starts_and_stops_while_another_program_holds_the_log(#[case] lock: &'static str) {
    let scene = Scene::new();
    scene.store().await.close().await.unwrap();
    let mut holder = other(&scene.path()).await;
    run(&mut holder, lock).await;

    let store = scene.store().await;
    let handle = store.handle();
    story(&scene).into_iter().for_each(|entry| handle.append(entry));
    store.close().await.unwrap();
    assert_eq!(handle.lost(), 0);
    assert!(handle.health().aside_bytes > 0, "{:?}", handle.health());
    let files = spill::files(&scene.path());
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);

    holder.close().await.unwrap();
    let store = scene.store().await;
    assert_eq!(store.handle().health().aside_bytes, 0);
    store.close().await.unwrap();
    assert_eq!(spill::files(&scene.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(turns(&scene).await, Some(2));
}

#[rstest]
#[case::a_reader("BEGIN; SELECT count(*) FROM calls")]
#[case::a_tool_that_changes_the_mode("PRAGMA wal_checkpoint(TRUNCATE)")]
#[case::vacuum("VACUUM")]
#[case::another_table("CREATE TABLE mine (x)")]
#[case::another_column("ALTER TABLE turns ADD COLUMN note TEXT")]
#[tokio::test]
async fn what_others_may_do_costs_nothing(#[case] act: &'static str) {
    let scene = Scene::new();
    let store = scene.store().await;
    let mut entries = story(&scene);
    let rest = entries.split_off(3);
    entries.into_iter().for_each(|entry| store.handle().append(entry));
    store.handle().settled(std::time::Duration::from_secs(30)).await;
    let mut other = other(&scene.path()).await;
    run(&mut other, act).await;
    rest.into_iter().for_each(|entry| store.handle().append(entry));
    let handle = store.handle();
    store.close().await.unwrap();
    assert_eq!((handle.lost(), handle.failures()), (0, 0));
    other.close().await.unwrap();
    assert_eq!(turns(&scene).await, Some(2));
}

#[rstest]
#[case::deleted(false)]
#[case::replaced(true)]
#[tokio::test]
async fn a_file_that_is_gone_is_made_anew(#[case] is_replaced: bool) {
    let scene = Scene::new();
    let store = scene.store().await;
    if is_replaced {
        let newer = scene.path().with_extension("other");
        crate::store::migrate(&newer).await.unwrap();
        fs::rename(newer, scene.path()).unwrap();
    } else {
        fs::remove_file(scene.path()).unwrap();
    }
    let handle = store.handle();
    story(&scene).into_iter().for_each(|entry| handle.append(entry));
    store.close().await.unwrap();
    assert_eq!(handle.lost(), 0);
    assert_eq!(turns(&scene).await, Some(2));
    let mode = fs::metadata(scene.path()).unwrap().permissions().mode() & 0o777;
    assert!(is_replaced || mode == 0o600, "{mode:o}");
}

/// A file beside the log with these lines after its name.
fn beside(scene: &Scene, name: &str, lines: &[String]) {
    let path = format!("{}.unwritten.1.jsonl", scene.path().display());
    fs::write(path, format!("{{\"unwritten\":\"{name}\"}}\n{}", lines.join("\n"))).unwrap();
}

fn lines(scene: &Scene) -> Vec<String> {
    story(scene).iter().map(|entry| crate::store::encode(entry).unwrap()).collect()
}

async fn journalled(scene: &Scene) -> i64 {
    let mut connection = other(&scene.path()).await;
    sqlite::journal::len(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_file_that_outlives_its_transaction_is_taken_in_once() {
    let scene = Scene::new();
    scene.store().await.close().await.unwrap();
    let lines = lines(&scene);
    for _ in 0..2 {
        beside(&scene, "one", &lines);
        let config = Config { path: scene.path(), free_bytes_min: 0, keep_shipped_hours: 1 };
        // Nothing listens there: all stays in the journal.
        let target = Target::parse(&crate::secret::Secret::new("postgres://u@127.0.0.1:1/d")).unwrap();
        Store::open_with(&config, Some(target)).await.unwrap().close().await.unwrap();
        assert_eq!(journalled(&scene).await, lines.len() as i64);
    }
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_lost_alone() {
    let scene = Scene::new();
    scene.store().await.close().await.unwrap();
    let mut lines = lines(&scene);
    lines.push("{\"row\":\"turn\",\"call_i".to_owned());
    beside(&scene, "two", &lines);
    let store = scene.store().await;
    assert_eq!(store.handle().lost(), 1);
    store.close().await.unwrap();
    assert_eq!(turns(&scene).await, Some(2));
}

#[tokio::test]
async fn a_call_whose_end_waited_is_not_ended_as_that_of_a_process_that_died() {
    let scene = Scene::new();
    let store = scene.store().await;
    let mut entries = story(&scene);
    let end = entries.pop().unwrap();
    entries.into_iter().for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();
    beside(&scene, "three", &[crate::store::encode(&end).unwrap()]);
    scene.store().await.close().await.unwrap();
    let call = scene.read(SID).await.unwrap();
    assert_ne!(call.call.ending.as_deref(), Some("process_died"));
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let scene = Scene::new();
    let (handle, _lines) = crate::store::Handle::pair(100_000);
    let text = "x".repeat(1 << 20);
    for call in 1..=100 {
        let record = super::turn(crate::dialogue::Speaker::Caller, &text);
        handle.append(scene.entry(&mut scene.ledger(call), 0, record));
    }
    assert!((30..=40).contains(&handle.lost()), "{}", handle.lost());
}
