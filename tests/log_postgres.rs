//! The call log on its way to a real Postgres: nothing lost, nothing doubled, whatever happens to either side.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod postgres;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ::time::macros::datetime;
use ::time::{Duration as Span, OffsetDateTime};
use patchcord::call::context::{Context, Direction};
use patchcord::call::record::{Annotation, AudioTotals, Ending, Entry, Event, Ledger, Record, Rung, Turn};
use patchcord::dialogue::Speaker;
use patchcord::id::CallId;
use patchcord::live::Usage;
use patchcord::secret::Secret;
use patchcord::store::postgres::Target;
use patchcord::store::{Config, Store};
use patchcord::time::WallClock;
use postgres::{Cluster, Database, Fsync};
use rstest::rstest;
use sqlx::{Connection as _, PgConnection, Row as _};
use tempfile::TempDir;

const START: OffsetDateTime = datetime!(2026-11-21 09:00:00 UTC);

/// A journal, and a Postgres that it is shipped to.
struct Scene {
    folder: TempDir,
    url: String,
    origin: Instant,
}

/// What the tables of Postgres have of the log.
#[derive(Debug, PartialEq, Eq)]
struct Tables {
    calls: i64,
    /// Calls that have an end and all entries up to it.
    complete: i64,
    turns: i64,
    events: i64,
    /// Calls that the daily sums have.
    summed: i64,
}

impl Scene {
    fn new(url: &str) -> Self {
        Self { folder: TempDir::new().unwrap(), url: url.to_owned(), origin: Instant::now() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("patchcord.db")
    }

    async fn store(&self) -> Store {
        let target = Target::parse(&Secret::new(self.url.as_str())).unwrap();
        let config = Config { path: self.path(), free_bytes_min: 0, keep_shipped_hours: u32::MAX };
        Store::open_with(&config, Some(target)).await.unwrap()
    }

    /// Starts and stops until Postgres has everything.
    async fn drain(&self) {
        let deadline = Instant::now() + postgres::PATIENCE;
        while !self.is_shipped().await {
            assert!(Instant::now() < deadline, "the journal does not drain");
            self.store().await.close().await.unwrap();
        }
    }

    async fn is_shipped(&self) -> bool {
        let Ok(mut postgres) = PgConnection::connect(&self.url).await else { return false };
        let there = sqlx::query_scalar::<_, i64>("SELECT coalesce(max(position), 0) FROM journals");
        let there = there.fetch_one(&mut postgres).await.unwrap_or(0);
        let mut local = sqlx::SqliteConnection::connect(&self.path().to_string_lossy()).await.unwrap();
        let here: i64 = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM journal")
            .fetch_one(&mut local)
            .await
            .unwrap();
        there >= here
    }

    async fn tables(&self) -> Tables {
        let mut postgres = PgConnection::connect(&self.url).await.unwrap();
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM calls) AS calls,
                    (SELECT count(*) FROM calls
                      WHERE records = 2 + (answered_at IS NOT NULL)::integer
                            + (SELECT count(*) FROM turns WHERE turns.call_id = calls.call_id)
                            + (SELECT count(*) FROM events WHERE events.call_id = calls.call_id)) AS complete,
                    (SELECT count(*) FROM turns) AS turns,
                    (SELECT count(*) FROM events) AS events,
                    (SELECT coalesce(sum(calls), 0)::bigint FROM daily) AS summed",
        );
        let row = row.fetch_one(&mut postgres).await.unwrap();
        Tables {
            calls: row.get("calls"),
            complete: row.get("complete"),
            turns: row.get("turns"),
            events: row.get("events"),
            summed: row.get("summed"),
        }
    }

    /// All entries of a call: five of them are events and two turns.
    fn call(&self, number: u128) -> Vec<Entry> {
        let mut ledger = Ledger::new(CallId::new(number), WallClock::new(self.origin, START));
        let totals = AudioTotals { dead_air_max_ms: 900, ..AudioTotals::default() };
        let usage = Usage {
            prompt_tokens: 100,
            response_tokens: 50,
            thoughts_tokens: 7,
            total_tokens: 157,
            ..Usage::default()
        };
        [
            (0, Record::Opened(Box::new(context()))),
            (
                500,
                Record::Answered { stream_sid: "MZ1".into(), parameters: vec![("room".into(), "7".into())] },
            ),
            (1000, Record::Event(Event::Rung { rung: Rung::Live, cause: None })),
            (2750, turn(Speaker::Caller, "Hello, is anybody there?")),
            (4000, turn(Speaker::Agent, "Good morning.")),
            (4000, Record::Event(Event::Usage(usage))),
            (11_000, Record::Event(Event::Rung { rung: Rung::Fallback, cause: None })),
            (20_000, Record::Event(Event::Dtmf { digit: '7' })),
            (60_400, Record::Event(Event::AudioTotals(totals))),
            (60_500, Record::Ended(Ending::CallerHungUp)),
        ]
        .map(|(at, record)| ledger.entry(record, self.origin + Duration::from_millis(at)))
        .into()
    }
}

/// What the tables have of so many whole calls.
fn whole(calls: i64) -> Tables {
    Tables { calls, complete: calls, turns: 2 * calls, events: 5 * calls, summed: calls }
}

fn context() -> Context {
    Context {
        call_sid: "CA1".to_owned(),
        agent: "reception".to_owned(),
        direction: Direction::Inbound,
        from: "+14155550123".to_owned(),
        ..Context::unknown(START)
    }
}

fn turn(speaker: Speaker, text: &str) -> Record {
    Record::Turn(Turn {
        speaker,
        text: text.to_owned(),
        started_at: START + Span::milliseconds(1500),
        ended_at: START + Span::milliseconds(2750),
        interrupted: false,
        latency_ms: (speaker == Speaker::Agent).then_some(640),
    })
}

#[tokio::test]
async fn a_call_is_in_postgres_with_what_it_adds_up_to() {
    let database = Database::create().await;
    let scene = Scene::new(database.url());
    let store = scene.store().await;
    scene.call(1).into_iter().for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();
    scene.drain().await;

    assert_eq!(scene.tables().await, whole(1));
    let mut postgres = database.connect().await;
    let call = sqlx::query("SELECT * FROM calls").fetch_one(&mut postgres).await.unwrap();
    assert_eq!(call.get::<i64, _>("duration_ms"), 60_000);
    assert_eq!((call.get::<i64, _>("live_ms"), call.get::<i64, _>("fallback_ms")), (10_000, 49_500));
    assert_eq!((call.get::<i64, _>("total_tokens"), call.get::<i64, _>("dead_air_max_ms")), (157, 900));
    assert!(call.get::<bool, _>("had_fallback") && !call.get::<bool, _>("failed"));
    let latency = sqlx::query("SELECT latency_ms, answers FROM daily_latencies").fetch_one(&mut postgres);
    let latency = latency.await.unwrap();
    assert_eq!((latency.get::<i64, _>("latency_ms"), latency.get::<i64, _>("answers")), (648, 1));
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM turns WHERE words @@ '''anybody'''::tsquery")
        .fetch_one(&mut postgres)
        .await
        .unwrap();
    assert_eq!(found, 1);
}

#[tokio::test]
async fn what_is_shipped_twice_is_there_once() {
    let database = Database::create().await;
    let scene = Scene::new(database.url());
    for _ in 0..2 {
        let store = scene.store().await;
        (1..=20).flat_map(|number| scene.call(number)).for_each(|entry| store.handle().append(entry));
        store.close().await.unwrap();
    }
    scene.drain().await;
    assert_eq!(scene.tables().await, whole(20));
    // The journal is still there: Postgres gets all of it once more.
    sqlx::query("DELETE FROM journals").execute(&mut database.connect().await).await.unwrap();
    scene.drain().await;
    assert_eq!(scene.tables().await, whole(20));
}

#[tokio::test]
async fn postgres_may_be_away_at_the_start_and_die_at_any_time() {
    let cluster = Cluster::start_with(Fsync::On);
    let scene = Scene::new(&cluster.url("postgres"));
    cluster.kill();
    let store = scene.store().await;
    let mut calls = 0;
    for _ in 0..5 {
        for _ in 0..40 {
            calls += 1;
            scene.call(calls).into_iter().for_each(|entry| store.handle().append(entry));
        }
        cluster.restart();
        store.handle().settled(postgres::PATIENCE).await;
        cluster.kill();
    }
    store.close().await.unwrap();
    cluster.restart();
    scene.drain().await;
    assert_eq!(scene.tables().await, whole(200));
}

#[tokio::test]
async fn a_postgres_that_comes_back_empty_gets_everything_again() {
    let cluster = Cluster::start();
    let scene = Scene::new(&cluster.url("postgres"));
    let store = scene.store().await;
    (1..=20).flat_map(|number| scene.call(number)).for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();
    scene.drain().await;
    cluster.wipe();
    scene.drain().await;
    assert_eq!(scene.tables().await, whole(20));
}

#[tokio::test]
async fn a_postgres_that_hangs_and_goes_on_has_everything_once() {
    let cluster = Cluster::start();
    let scene = Scene::new(&cluster.url("postgres"));
    let store = scene.store().await;
    for number in 1..=50 {
        scene.call(number).into_iter().for_each(|entry| store.handle().append(entry));
        if number % 10 == 0 {
            cluster.stop_silently();
            store.handle().settled(postgres::PATIENCE).await;
            cluster.resume();
        }
    }
    store.close().await.unwrap();
    scene.drain().await;
    assert_eq!(scene.tables().await, whole(50));
}

#[tokio::test]
async fn what_postgres_refuses_is_put_aside_alone() {
    let database = Database::create().await;
    let scene = Scene::new(database.url());
    scene.store().await.close().await.unwrap();
    let mut postgres = database.connect().await;
    sqlx::query("ALTER TABLE turns ADD CHECK (speaker <> 'agent')").execute(&mut postgres).await.unwrap();
    let store = scene.store().await;
    scene.call(1).into_iter().for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();
    scene.drain().await;
    assert_eq!(scene.tables().await, Tables { calls: 1, complete: 0, turns: 1, events: 5, summed: 1 });
    let mut local = sqlx::SqliteConnection::connect(&scene.path().to_string_lossy()).await.unwrap();
    let aside: Vec<(String, String)> = sqlx::query_as("SELECT row ->> 'text', reason FROM journal_refused")
        .fetch_all(&mut local)
        .await
        .unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].0, "Good morning.");
    assert!(aside[0].1.contains("turns_speaker_check1"), "{}", aside[0].1);
}

#[rstest]
#[case::quotes("'; DROP TABLE calls; -- \" ` \\ %s $1 :a")]
#[case::nul("before\0after\0")]
#[case::controls("\u{1b}[31m\u{7}\u{8}\r\n\t\u{9b}")]
#[case::bidi("\u{202e}abc\u{2066}\u{200f}")]
#[case::emoji("👩‍👩‍👧‍👦 日本語 e\u{301} \u{10ffff}")]
#[case::json("{\"a\":null} \u{2028}")]
#[case::empty("")]
#[case::megabyte(&"ü\0".repeat(350_000))]
#[case::megabyte_that_does_not_compress(&incompressible(1_000_000))]
#[tokio::test]
async fn hostile_text_survives_in_every_field(#[case] text: &str) {
    let database = Database::create().await;
    let scene = Scene::new(database.url());
    let hostile = || text.to_owned();
    let mut ledger = Ledger::new(CallId::new(1), WallClock::new(scene.origin, START));
    let context = Context {
        carrier: hostile(),
        call_sid: hostile(),
        account_sid: hostile(),
        business_id: hostile(),
        agent: hostile(),
        model: hostile(),
        from: hostile(),
        to: hostile(),
        prompt: hostile(),
        parameters: [(hostile(), hostile())].into(),
        ..context()
    };
    let store = scene.store().await;
    store.handle().annotate(Annotation {
        call_sid: hostile(),
        key: hostile(),
        at: START,
        kind: "call_status",
        detail: vec![(hostile(), hostile())],
    });
    let records = [
        Record::Opened(Box::new(context)),
        Record::Answered { stream_sid: hostile(), parameters: vec![(hostile(), hostile())] },
        turn(Speaker::Caller, text),
        Record::Event(Event::ToolRefused { name: hostile() }),
        Record::Ended(Ending::CallerHungUp),
    ];
    for record in records {
        store.handle().append(ledger.entry(record, scene.origin));
    }
    store.close().await.unwrap();
    scene.drain().await;
    let expected = Tables { calls: 1, complete: 1, turns: 1, events: 1, summed: 1 };
    assert_eq!(scene.tables().await, expected);
    let refused: i64 = sqlx::query_scalar("SELECT count(*) FROM journal_refused")
        .fetch_one(&mut sqlx::SqliteConnection::connect(&scene.path().to_string_lossy()).await.unwrap())
        .await
        .unwrap();
    assert_eq!(refused, 0);
    let said: String =
        sqlx::query_scalar("SELECT text FROM turns").fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!(said.replace('\u{fdd0}', "\0"), text);
}

/// Letters and digits without a pattern.
fn incompressible(len: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_digit(state >> 8 & 31, 32).unwrap()
    };
    (0..len).map(|_| next()).collect()
}

#[tokio::test]
async fn calls_of_a_process_that_died_are_ended_in_postgres_too() {
    let database = Database::create().await;
    let scene = Scene::new(database.url());
    let store = scene.store().await;
    scene.call(1).into_iter().take(6).for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();
    scene.store().await.close().await.unwrap();
    scene.drain().await;
    let ending: String = sqlx::query_scalar("SELECT ending FROM calls")
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap();
    assert_eq!(ending, "process_died");
    assert_eq!(scene.tables().await.complete, 1);
}
