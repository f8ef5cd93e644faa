//! What is left of a call that was erased: its account, and none of its words, wherever they were.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod postgres;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ::time::macros::datetime;
use ::time::{Duration as Span, OffsetDateTime};
use patchcord::call::context::{Context, Direction};
use patchcord::call::record::{Ending, Entry, Event, Ledger, Record, Turn};
use patchcord::dialogue::Speaker;
use patchcord::id::CallId;
use patchcord::secret::Secret;
use patchcord::store::erase::{self, Subject};
use patchcord::store::postgres::Target;
use patchcord::store::{Config, Store};
use patchcord::time::WallClock;
use postgres::Database;
use rstest::rstest;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

const START: OffsetDateTime = datetime!(2026-11-21 09:00:00 UTC);
const CALLER: &str = "+15005550177";

/// Words that occur nowhere else: nothing of them may be found afterwards.
const CANARIES: [&str; 5] = ["quetzalcoatl", CALLER, "xyzzyroom", "plughhandle", "\"digit\":\"9\""];

/// A call with something personal in every kind of row.
fn call(number: u128, from: &str) -> Vec<Entry> {
    let origin = Instant::now();
    let mut ledger = Ledger::new(CallId::new(number), WallClock::new(origin, START));
    let context = Context {
        call_sid: format!("CA{number}"),
        agent: "reception".to_owned(),
        direction: Direction::Inbound,
        from: from.to_owned(),
        parameters: [("room".to_owned(), "xyzzyroom".to_owned())].into(),
        ..Context::unknown(START)
    };
    let turn = |speaker, text: &str| {
        Record::Turn(Turn {
            speaker,
            text: text.to_owned(),
            started_at: START + Span::seconds(1),
            ended_at: START + Span::seconds(2),
            interrupted: false,
            latency_ms: (speaker == Speaker::Agent).then_some(640),
        })
    };
    [
        Record::Opened(Box::new(context)),
        Record::Answered { stream_sid: "MZ1".into(), parameters: vec![("room".into(), "xyzzyroom".into())] },
        turn(Speaker::Caller, "My name is Quetzalcoatl."),
        turn(Speaker::Agent, "Good morning, quetzalcoatl."),
        Record::Event(Event::SessionHandle { handle: "plughhandle".into() }),
        Record::Event(Event::Dtmf { digit: '9' }),
        Record::Ended(Ending::CallerHungUp),
    ]
    .map(|record| ledger.entry(record, origin + Duration::from_secs(1)))
    .into()
}

async fn keep(config: &Config, target: Option<Target>, entries: Vec<Entry>) {
    let store = Store::open_with(config, target).await.unwrap();
    entries.into_iter().for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();
}

/// The canaries that some file of the folder has.
fn found_in(folder: &Path) -> Vec<&'static str> {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<_> = files.map(|bytes| String::from_utf8_lossy(&bytes).to_lowercase()).collect();
    CANARIES.into_iter().filter(|canary| files.iter().any(|file| file.contains(canary))).collect()
}

async fn local(config: &Config) -> SqliteConnection {
    SqliteConnection::connect(&config.path.to_string_lossy()).await.unwrap()
}

fn config(folder: &TempDir) -> Config {
    Config { path: folder.path().join("patchcord.db"), free_bytes_min: 0, keep_shipped_hours: u32::MAX }
}

#[rstest]
#[case::by_call(Subject::Call("CA1".to_owned()))]
#[case::by_caller(Subject::Caller(CALLER.to_owned()))]
#[tokio::test]
async fn nothing_personal_is_left_in_the_local_files(#[case] subject: Subject) {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    keep(&config, None, call(1, CALLER)).await;
    assert_eq!(found_in(folder.path()), CANARIES, "the test sees what is there");

    let found = erase::find(&config, None, &subject).await.unwrap();
    assert_eq!((found.calls.len(), found.going_on.len()), (1, 0));
    erase::erase(&config, None, &found.calls).await.unwrap();

    assert_eq!(found_in(folder.path()), [] as [&str; 0]);
    let row: (String, String, i64, i64, bool) = sqlx::query_as(
        "SELECT caller, agent, turn_count, (SELECT sum(answers) FROM daily_latencies), erased_at IS NOT NULL FROM calls",
    )
    .fetch_one(&mut local(&config).await)
    .await
    .unwrap();
    assert_eq!(row, ("erased".to_owned(), "reception".to_owned(), 2, 1, true));
    let again = erase::find(&config, None, &Subject::Call("CA1".to_owned())).await.unwrap();
    erase::erase(&config, None, &again.calls).await.unwrap();
}

#[tokio::test]
async fn the_words_of_other_calls_can_still_be_found() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    keep(&config, None, [call(1, CALLER), call(2, "+15005550188")].concat()).await;
    let found = erase::find(&config, None, &Subject::Caller(CALLER.to_owned())).await.unwrap();
    erase::erase(&config, None, &found.calls).await.unwrap();
    let turns: Vec<i64> = sqlx::query_scalar(
        "SELECT turn_id FROM turns WHERE turn_id IN (SELECT rowid FROM turn_words WHERE turn_words MATCH 'quetzalcoatl')",
    )
    .fetch_all(&mut local(&config).await)
    .await
    .unwrap();
    assert_eq!(turns, [3, 4]);
}

#[tokio::test]
async fn what_is_still_on_its_way_to_postgres_comes_without_what_is_personal() {
    let database = Database::create().await;
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let target = || Target::parse(&Secret::new(database.url())).unwrap();
    // One call is there, one is only in the journal.
    keep(&config, Some(target()), call(1, CALLER)).await;
    keep(&config, Some(target()), Vec::new()).await;
    let nowhere = Target::parse(&Secret::new("postgres://nobody@127.0.0.1:1/nothing")).unwrap();
    keep(&config, Some(nowhere), call(2, CALLER)).await;

    let found = erase::find(&config, Some(&target()), &Subject::Caller(CALLER.to_owned())).await.unwrap();
    assert_eq!(found.calls.len(), 2);
    erase::erase(&config, Some(&target()), &found.calls).await.unwrap();
    assert_eq!(found_in(folder.path()), [] as [&str; 0]);
    keep(&config, Some(target()), Vec::new()).await;

    let mut postgres = database.connect().await;
    assert_eq!(dump(&mut postgres).await, [] as [&str; 0]);
    let calls: Vec<(String, bool, i32)> = sqlx::query_as(
        "SELECT agent, erased_at IS NOT NULL, turn_count FROM calls WHERE ended_at IS NOT NULL",
    )
    .fetch_all(&mut postgres)
    .await
    .unwrap();
    assert_eq!(calls, vec![("reception".to_owned(), true, 2); 2]);
}

/// The canaries that some row of Postgres has.
async fn dump(postgres: &mut PgConnection) -> Vec<&'static str> {
    let text: String = sqlx::query_scalar(
        "SELECT concat((SELECT json_agg(calls) FROM calls), (SELECT json_agg(turns) FROM turns),
                       (SELECT json_agg(events) FROM events))",
    )
    .fetch_one(postgres)
    .await
    .unwrap();
    let text = text.to_lowercase().replace("\": \"", "\":\"");
    CANARIES.into_iter().filter(|canary| text.contains(canary)).collect()
}

#[tokio::test]
async fn a_call_that_goes_on_is_not_erased() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let store = Store::open_with(&config, None).await.unwrap();
    call(1, CALLER).into_iter().take(4).for_each(|entry| store.handle().append(entry));
    store.handle().settled(postgres::PATIENCE).await;
    let found = erase::find(&config, None, &Subject::Caller(CALLER.to_owned())).await.unwrap();
    assert_eq!((found.calls.len(), found.going_on.len()), (0, 1));
    store.close().await.unwrap();
}
