//! The call log behind a pooler: every statement of the program, with the real PgBouncer in both of its modes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod postgres;

use std::time::{Duration, Instant};

use ::time::macros::datetime;
use ::time::{Duration as Span, OffsetDateTime};
use patchcord::call::context::{Context, Direction};
use patchcord::call::record::{Annotation, Ending, Entry, Event, Ledger, Record, Rung, Turn};
use patchcord::dialogue::Speaker;
use patchcord::id::CallId;
use patchcord::secret::Secret;
use patchcord::store::erase::{self, Subject};
use patchcord::store::postgres::Target;
use patchcord::store::query::stats::Scope;
use patchcord::store::query::{Filter, Page, Query, Source};
use patchcord::store::{Config, Store};
use patchcord::time::WallClock;
use postgres::pooler::{PoolMode, Pooler};
use postgres::{Cluster, PATIENCE};
use rstest::rstest;
use tempfile::TempDir;

const START: OffsetDateTime = datetime!(2026-11-21 09:00:00 UTC);

fn entries(number: u128) -> Vec<Entry> {
    let origin = Instant::now();
    let mut ledger = Ledger::new(CallId::new(number), WallClock::new(origin, START));
    let context = Context {
        call_sid: format!("CA{number}"),
        agent: "reception".to_owned(),
        direction: Direction::Inbound,
        from: "+14155550123".to_owned(),
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
        Record::Answered { stream_sid: "MZ1".into(), parameters: vec![("room".into(), "7".into())] },
        Record::Event(Event::Rung { rung: Rung::Fallback, cause: None }),
        turn(Speaker::Caller, "A table for two."),
        turn(Speaker::Agent, "Good morning."),
        Record::Ended(Ending::CallerHungUp),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, record)| ledger.entry(record, origin + Duration::from_secs(at as u64)))
    .collect()
}

fn secret(url: &str) -> Secret {
    Secret::new(url)
}

/// One start of the server with one call, until Postgres has it.
async fn start(config: &Config, url: &str, number: u128) {
    let open =
        || async { Store::open_with(config, Some(Target::parse(&secret(url)).unwrap())).await.unwrap() };
    let store = open().await;
    entries(number).into_iter().for_each(|entry| store.handle().append(entry));
    store.handle().annotate(Annotation {
        call_sid: format!("CA{number}"),
        key: "status".to_owned(),
        at: START,
        kind: "status",
        detail: vec![("status".to_owned(), "completed".to_owned())],
    });
    store.close().await.unwrap();
    let query = Query::lazy(Source::Postgres(secret(url))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !query
        .call(&format!("CA{number}"))
        .await
        .is_ok_and(|call| call.is_some_and(|it| it.call.ended_at.is_some()))
    {
        assert!(Instant::now() < deadline, "start {number} ships nothing");
        open().await.close().await.unwrap();
    }
    query.close().await;
}

#[rstest]
#[case::session(PoolMode::Session)]
#[case::transaction(PoolMode::Transaction)]
#[tokio::test]
async fn behind_a_pooler_everything_works_at_every_start(#[case] mode: PoolMode) {
    let cluster = Cluster::start();
    let pooler = Pooler::start(&cluster, mode);
    let url = pooler.url("postgres");
    let folder = TempDir::new().unwrap();
    let config = Config { path: folder.path().join("log.db"), free_bytes_min: 0, keep_shipped_hours: 1 };
    let target = Target::parse(&secret(&url)).unwrap();
    let probe = target.probe(PATIENCE).await.unwrap();
    assert_eq!((probe.schema, probe.rights.may_create), (None, true));
    for number in 1..=3 {
        start(&config, &url, number).await;
    }
    // Four readers at once, on connections that the pooler gives to each in turn.
    let query = Query::open(Source::Postgres(secret(&url))).await.unwrap();
    let ask = |query: Query| async move {
        for _ in 0..10 {
            assert_eq!(query.calls(&Filter::default(), &Page::default()).await.unwrap().calls.len(), 3);
            assert_eq!(query.call("CA2").await.unwrap().unwrap().turns.len(), 2);
            let mut filter = Filter::default();
            filter.set("search", "two tab*", START).unwrap();
            assert_eq!(query.calls(&filter, &Page::default()).await.unwrap().calls.len(), 3);
            assert_eq!(query.stats(&Scope::default()).await.unwrap().total.counts.calls, 3);
        }
    };
    let readers: Vec<_> = (0..4).map(|_| tokio::spawn(ask(query.clone()))).collect();
    for reader in readers {
        reader.await.unwrap();
    }
    query.close().await;

    let found = erase::find(&config, Some(&target), &Subject::Call("CA1".to_owned())).await.unwrap();
    erase::erase(&config, Some(&target), &found.calls).await.unwrap();
    let query = Query::open(Source::Postgres(secret(&url))).await.unwrap();
    let call = query.call("CA1").await.unwrap().unwrap();
    assert!(call.turns.iter().all(|turn| turn.text.is_empty()), "{call:?}");
    let probe = target.probe(PATIENCE).await.unwrap();
    assert!(probe.schema.is_some() && !probe.is_older && probe.rights.closed_tables.is_empty(), "{probe:?}");
}
