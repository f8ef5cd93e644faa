//! The call log on a real file.

mod held;
mod parties;
mod refold;
mod refused;

use std::time::Instant;

use ::time::macros::datetime;
use ::time::{Duration as Span, OffsetDateTime};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use super::query::stats::Scope;
use super::query::{CallDetail, CallRow, Filter, Page, Query};
use super::*;
use crate::call::context::{Context, Direction};
use crate::call::record::{AudioTotals, Cause, Ending, Event, Ledger, Limit, Record, Turn};
use crate::carrier::FollowUp;
use crate::dialogue::Speaker;
use crate::id::{CallId, LinkId};
use crate::live::failure::{Failure, Verdict};
use crate::time::WallClock;

const START: OffsetDateTime = datetime!(2026-11-21 09:00:00 UTC);
const SID: &str = "CA0123456789abcdef0123456789abcdef";

/// A folder with a call log, and the numbering of one call.
struct Scene {
    folder: TempDir,
    origin: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), origin: Instant::now() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log/patchcord.db")
    }

    fn ledger(&self, call: u128) -> Ledger {
        Ledger::new(CallId::new(call), WallClock::new(self.origin, START))
    }

    fn entry(&self, ledger: &mut Ledger, at_ms: u64, record: Record) -> Entry {
        ledger.entry(record, self.origin + Duration::from_millis(at_ms))
    }

    async fn store(&self) -> Store {
        Store::open(&self.path()).await.unwrap()
    }

    /// Appends everything, closes the log and reads the call back.
    async fn round_trip(&self, entries: &[Entry]) -> CallDetail {
        let store = self.store().await;
        entries.iter().for_each(|entry| store.handle().append(entry.clone()));
        store.close().await.unwrap();
        self.read(&CallId::new(1).to_string()).await.unwrap()
    }

    async fn read(&self, id: &str) -> Option<CallDetail> {
        let query = Query::open(&self.path()).await.unwrap();
        let call = query.call(id).await.unwrap();
        query.close().await;
        call
    }
}

/// Every call of a log, page by page.
async fn all(query: &Query) -> Vec<CallRow> {
    let (mut calls, mut after) = (Vec::new(), None);
    loop {
        let page = Page::new(Page::LIMIT_MAX, after).unwrap();
        let page = query.calls(&Filter::default(), &page).await.unwrap();
        calls.extend(page.calls);
        after = page.next;
        if after.is_none() {
            return calls;
        }
    }
}

fn context() -> Context {
    Context {
        carrier: "twilio".to_owned(),
        call_sid: SID.to_owned(),
        account_sid: "AC1".to_owned(),
        business_id: "acme".to_owned(),
        model: "gemini-3.8-live".to_owned(),
        agent: "reception".to_owned(),
        direction: Direction::Inbound,
        from: "+14155550123".to_owned(),
        to: "+14155550199".to_owned(),
        prompt: "Be brief.\nBe kind.".to_owned(),
        parameters: [("tier".to_owned(), "gold".to_owned())].into(),
        started_at: START,
    }
}

fn opened() -> Record {
    Record::Opened(Box::new(context()))
}

fn answered() -> Record {
    Record::Answered { stream_sid: "MZ1".to_owned(), parameters: vec![("room".to_owned(), "7".to_owned())] }
}

fn all_failed(cause: Failure) -> Ending {
    Ending::AllFailed { cause: Cause::Live { cause }, follow_up: FollowUp::HangUp }
}

fn turn(speaker: Speaker, text: &str) -> Record {
    Record::Turn(Turn {
        speaker,
        text: text.to_owned(),
        started_at: START + Span::milliseconds(1500),
        ended_at: START + Span::milliseconds(2750),
        interrupted: speaker == Speaker::Agent,
        latency_ms: (speaker == Speaker::Agent).then_some(640),
    })
}

fn story(scene: &Scene) -> Vec<Entry> {
    let mut ledger = scene.ledger(1);
    let totals = AudioTotals { uplink_received_ms: 61_000, ..AudioTotals::default() };
    [
        (0, opened()),
        (500, answered()),
        (
            510,
            Record::Event(Event::LiveReady {
                link: LinkId(0),
                plan: "fresh",
                setup_ms: 210,
                gap_ms: None,
                session_id: None,
            }),
        ),
        (2750, turn(Speaker::Caller, "Hello?")),
        (4000, turn(Speaker::Agent, "Good morning, you have")),
        (61_400, Record::Event(Event::AudioTotals(totals))),
        (61_500, Record::Ended(all_failed(Failure::Closed { code: 1011, reason: "busy".into() }))),
    ]
    .map(|(at, record)| scene.entry(&mut ledger, at, record))
    .into()
}

fn annotation(key: &str, seconds: i64) -> Annotation {
    Annotation {
        call_sid: SID.to_owned(),
        key: key.to_owned(),
        at: START + Span::seconds(seconds),
        kind: "call_status",
        detail: vec![("CallStatus".to_owned(), key.to_owned())],
    }
}

#[tokio::test]
async fn a_whole_call_comes_out_as_it_went_in() {
    let scene = Scene::new();
    let call = scene.round_trip(&story(&scene)).await;
    let summary = json!({
        "business_id": "acme", "model": "gemini-3.8-live", "failed": true, "had_fallback": false,
        "live_ms": 60_990, "fallback_ms": 0, "dead_air_max_ms": 0, "cover_ms": 0,
        "prompt_tokens": 0, "response_tokens": 0, "thoughts_tokens": 0, "total_tokens": 0,
        "records": 7, "erased_at": null,
    });
    let mut expected = json!({
            "call_id": "00000000-0000-0000-0000-000000000001", "call_sid": SID, "direction": "inbound",
            "from": "+14155550123", "to": "+14155550199", "agent": "reception",
            "started_at": "2026-11-21T09:00:00.000Z", "answered_at": "2026-11-21T09:00:00.500Z",
            "ended_at": "2026-11-21T09:01:01.500Z", "duration_ms": 61_000, "ending": "all_failed", "turn_count": 2,
            "carrier": "twilio", "account_sid": "AC1", "prompt": "Be brief.\nBe kind.",
            "parameters": {"tier": "gold", "room": "7"}, "stream_sid": "MZ1",
            "ending_detail": {
                "cause": {"of": "live", "cause": {"failure": "closed", "code": 1011, "reason": "busy"}},
                "follow_up": {"kind": "hang_up"},
            },
            "ending_text": "nobody could answer any more: the live service closed the connection (1011): busy",
            "turns": [
                {"sequence": 3, "speaker": "caller", "text": "Hello?", "interrupted": false, "latency_ms": null,
                 "responder": null, "model": null,
                 "started_at": "2026-11-21T09:00:01.500Z", "ended_at": "2026-11-21T09:00:02.750Z"},
                {"sequence": 4, "speaker": "agent", "text": "Good morning, you have", "interrupted": true,
                 "latency_ms": 640, "responder": "live", "model": "gemini-3.8-live",
                 "started_at": "2026-11-21T09:00:01.500Z",
                 "ended_at": "2026-11-21T09:00:02.750Z"},
            ],
            "events": [
                {"sequence": 2, "at": "2026-11-21T09:00:00.510Z", "kind": "live_ready",
                 "detail": {"link": 0, "plan": "fresh", "setup_ms": 210, "gap_ms": null, "session_id": null}},
                {"sequence": 5, "at": "2026-11-21T09:01:01.400Z", "kind": "audio_totals",
                 "detail": {"uplink_received_ms": 61_000, "uplink_sent_ms": 0, "uplink_dropped_ms": 0,
                            "downlink_received_ms": 0, "downlink_played_ms": 0, "downlink_cleared_ms": 0,
                            "downlink_dropped_ms": 0, "cover_ms": 0, "dead_air_max_ms": 0}},
            ],
            "annotations": [], "calls_with_sid": 1,
            "used": [
                {"service": "carrier", "provider": "twilio", "model": "twilio", "modality": "call",
                 "direction": "inbound", "unit": "minutes", "quantity": 2, "unpriced_quantity": 2,
                 "cost_usd": null},
            ],
    });
    expected.as_object_mut().unwrap().extend(summary.as_object().unwrap().clone());
    assert_eq!(serde_json::to_value(&call).unwrap(), expected);
}

#[tokio::test]
async fn the_same_entries_twice_are_kept_once() {
    let scene = Scene::new();
    let once = scene.round_trip(&story(&scene)).await;
    assert_eq!(scene.round_trip(&story(&scene)).await, once);
}

#[tokio::test]
async fn a_call_whose_first_entry_was_lost_keeps_the_others() {
    let scene = Scene::new();
    let mut entries = story(&scene);
    let first = entries.remove(0);
    let call = scene.round_trip(&entries).await;
    assert_eq!((call.call.call_sid.as_str(), call.turns.len()), ("unknown", 2));
    // It comes after all, for example from a journal.
    let call = scene.round_trip(&[first]).await;
    assert_eq!((call.call.call_sid.as_str(), call.call.started_at), (SID, Stamp(START)));
    assert_eq!(call.circumstances.parameters, json!({"tier": "gold", "room": "7"}));
    assert_eq!(call.call.ending.as_deref(), Some("all_failed"));
}

#[rstest]
#[case::quotes("'; DROP TABLE calls; -- \" ` \\ %s ?1 :a")]
#[case::nul("before\0after\0")]
#[case::controls("\u{1b}[31m\u{7}\u{8}\r\n\t\u{9b}")]
#[case::bidi("\u{202e}abc\u{2066}\u{200f}")]
#[case::emoji("👩‍👩‍👧‍👦 日本語 e\u{301} \u{10ffff}")]
#[case::html("<script>alert(1)</script>&amp;<!--")]
#[case::json("{\"a\":null} \u{2028}")]
#[case::empty("")]
#[case::megabyte(&"ü\0".repeat(350_000))]
#[tokio::test]
async fn hostile_text_survives_everywhere(#[case] text: &str) {
    let scene = Scene::new();
    let hostile = || text.to_owned();
    let mut ledger = scene.ledger(1);
    let context = Context {
        call_sid: hostile(),
        agent: hostile(),
        from: hostile(),
        prompt: hostile(),
        parameters: [(hostile(), hostile())].into(),
        ..context()
    };
    let failure = Failure::Broken { message: hostile() };
    let entries = [
        Record::Opened(Box::new(context)),
        Record::Answered { stream_sid: hostile(), parameters: vec![(hostile(), hostile())] },
        turn(Speaker::Caller, text),
        Record::Event(Event::LiveLost {
            link: LinkId(0),
            endpoint: "live".into(),
            cause: failure.clone(),
            verdict: Verdict::Resume,
            next: None,
        }),
        Record::Ended(all_failed(failure)),
    ]
    .map(|record| scene.entry(&mut ledger, 0, record));
    let store = scene.store().await;
    store.handle().annotate(Annotation {
        call_sid: hostile(),
        key: hostile(),
        detail: vec![(hostile(), hostile())],
        ..annotation("", 0)
    });
    entries.into_iter().for_each(|entry| store.handle().append(entry));
    store.close().await.unwrap();

    let call = scene.read(text).await.unwrap();
    assert_eq!(
        [&call.call.call_sid, &call.call.agent, &call.call.from, &call.circumstances.prompt],
        [text; 4]
    );
    assert_eq!(call.circumstances.parameters, json!({ text: text }));
    assert_eq!(call.circumstances.stream_sid.as_deref(), Some(text));
    assert_eq!(call.turns[0].text, text);
    assert_eq!(call.events[0].detail["cause"]["message"], text);
    assert_eq!(call.circumstances.ending_detail.unwrap()["cause"]["cause"]["message"], text);
    assert_eq!(call.annotations[0].detail, json!({ text: text }));
}

#[tokio::test]
async fn an_annotation_is_kept_once_and_found_by_its_sid_before_and_after_the_call() {
    let scene = Scene::new();
    let store = scene.store().await;
    let handle = store.handle();
    handle.annotate(annotation("ringing", 0));
    story(&scene).into_iter().for_each(|entry| handle.append(entry));
    handle.annotate(annotation("completed", 62));
    handle.annotate(annotation("completed", 70));
    store.close().await.unwrap();
    let call = scene.read(SID).await.unwrap();
    let seen: Vec<_> = call.annotations.iter().map(|row| (row.key.as_str(), row.at.to_string())).collect();
    let [first, second] = ["2026-11-21T09:00:00.000Z", "2026-11-21T09:01:02.000Z"].map(str::to_owned);
    assert_eq!(seen, [("ringing", first), ("completed", second)]);
}

#[tokio::test]
async fn of_several_calls_with_one_sid_the_newest_is_shown() {
    let scene = Scene::new();
    let store = scene.store().await;
    for call in 1..=3_u8 {
        let started_at = START + Span::seconds(i64::from(call % 3));
        let record = Record::Opened(Box::new(Context { started_at, ..context() }));
        store.handle().append(scene.entry(&mut scene.ledger(call.into()), 0, record));
    }
    store.close().await.unwrap();
    let call = scene.read(SID).await.unwrap();
    assert_eq!((call.call.call_id, call.calls_with_sid), (CallId::new(2).to_string(), 3));
    let query = Query::open(&scene.path()).await.unwrap();
    let page = query.calls(&Filter::default(), &Page::new(2, None).unwrap()).await.unwrap();
    let listed: Vec<_> = page.calls.into_iter().map(|call| call.call_id).collect();
    assert_eq!(listed, [2, 1].map(|call| CallId::new(call).to_string()));
}

#[tokio::test]
async fn closing_writes_everything_that_was_appended() {
    let scene = Scene::new();
    let store = scene.store().await;
    let handle = store.handle();
    for call in 1..=1000 {
        let mut ledger = scene.ledger(call);
        for record in [opened(), answered(), turn(Speaker::Caller, "Hi"), Record::Ended(Ending::CallerHungUp)]
        {
            handle.append(scene.entry(&mut ledger, 20, record));
        }
    }
    store.close().await.unwrap();
    let calls = all(&Query::open(&scene.path()).await.unwrap()).await;
    assert_eq!((calls.len(), handle.lost()), (1000, 0));
    assert!(calls.iter().all(|call| call.summary.turn_count == 1 && call.ending.is_some()));
    // What comes too late is counted.
    handle.annotate(annotation("late", 0));
    assert_eq!(handle.lost(), 1);
}

#[tokio::test]
async fn closing_is_bounded_in_time_while_another_process_holds_the_file() {
    let scene = Scene::new();
    let store = scene.store().await;
    let mut other = sqlx::ConnectOptions::connect(&sqlite::options(&scene.path())).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    story(&scene).into_iter().for_each(|entry| store.handle().append(entry));
    let result = store.close_within(Duration::from_millis(50)).await;
    assert!(matches!(result, Err(Error::Unflushed { left: 7 })), "{result:?}");
}

#[tokio::test]
async fn a_batch_is_kept_until_the_file_can_be_written_again() {
    let scene = Scene::new();
    let store = scene.store().await;
    let mut other = sqlx::ConnectOptions::connect(&sqlite::options(&scene.path())).await.unwrap();
    // What a broken disk and a wrong schema have in common: every statement fails.
    sqlx::query("ALTER TABLE turns RENAME TO away").execute(&mut other).await.unwrap();
    let handle = store.handle();
    story(&scene).into_iter().for_each(|entry| handle.append(entry));
    let closing = tokio::spawn(store.close());
    while handle.failures() == 0 {
        tokio::task::yield_now().await;
    }
    sqlx::query("ALTER TABLE away RENAME TO turns").execute(&mut other).await.unwrap();
    closing.await.unwrap().unwrap();
    assert_eq!(scene.read(SID).await.unwrap().turns.len(), 2);
}

#[tokio::test]
async fn a_line_the_database_refuses_is_lost_alone() {
    let scene = Scene::new();
    let store = scene.store().await;
    let mut other = sqlx::ConnectOptions::connect(&sqlite::options(&scene.path())).await.unwrap();
    sqlx::query(
        "CREATE TRIGGER refuse BEFORE INSERT ON turns WHEN new.speaker = 'agent' BEGIN
           SELECT RAISE(ABORT, 'no agents'); END",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let handle = store.handle();
    story(&scene).into_iter().for_each(|entry| handle.append(entry));
    store.close().await.unwrap();
    let call = scene.read(SID).await.unwrap();
    assert_eq!((call.turns.len(), call.call.ending.is_some(), handle.lost()), (1, true, 1));
}

#[tokio::test]
async fn a_reader_shares_the_file_and_a_second_writer_is_refused() {
    let scene = Scene::new();
    let path = scene.path();
    let store = scene.store().await;
    let second = Store::open(&path).await;
    assert!(matches!(&second, Err(Error::Locked { .. })), "{second:?}");
    let query = Query::open(&path).await.unwrap();
    for call in 1..=200_u128 {
        store.handle().append(scene.entry(&mut scene.ledger(call), 0, opened()));
    }
    assert!(all(&query).await.len() <= 200);
    store.close().await.unwrap();
    assert_eq!(all(&query).await.len(), 200);
    scene.store().await.close().await.unwrap();
}

#[tokio::test]
async fn calls_of_a_process_that_died_are_ended_once() {
    let scene = Scene::new();
    let store = scene.store().await;
    let entries = story(&scene);
    entries[..6].iter().for_each(|entry| store.handle().append(entry.clone()));
    store.handle().settled(Duration::from_secs(5)).await;
    // The writer is not told to stop: what a killed process leaves.
    store.writer.task.abort();
    drop(store);
    for _ in 0..2 {
        scene.store().await.close().await.unwrap();
        let call = scene.read(SID).await.unwrap();
        assert_eq!(call.call.ending.as_deref(), Some("process_died"));
        assert_eq!(
            call.call.ended_at,
            Some(Stamp(START + Span::milliseconds(61_400))),
            "when it was last heard of"
        );
        assert_eq!((call.turns.len(), call.events.len()), (2, 2));
    }
}

#[rstest]
#[case::its_rows_are_in_the_journal(START, 3)]
#[case::its_rows_have_left_the_journal(START + Span::days(2), 1)]
#[tokio::test]
async fn a_call_on_its_way_to_postgres_is_ended_on_that_way(
    #[case] pruned: OffsetDateTime,
    #[case] rows: usize,
) {
    let scene = Scene::new();
    scene.store().await.close().await.unwrap();
    let mut file = sqlite::open(&sqlite::options(&scene.path()), &scene.path()).await.unwrap();
    let begun = &story(&scene)[..2];
    let begun: Vec<_> = begun.iter().map(|entry| rows::Row::of_entry(entry).unwrap()).collect();
    sqlite::journal::append(&mut file, &begun).await.unwrap();
    sqlite::journal::note(&mut file, &begun).await.unwrap();
    sqlite::journal::prune(&mut file, 2, Stamp(pruned)).await.unwrap();
    for _ in 0..2 {
        sqlite::recover(&mut file, Stamp(OffsetDateTime::now_utc())).await.unwrap();
        let left = sqlite::journal::read(&mut file, 0).await.unwrap();
        assert_eq!(left.len(), rows);
        let Some(Ok(rows::Row::Ended(ended))) = left.last().map(|it| &it.row) else { panic!("{left:?}") };
        assert_eq!((ended.call_id.as_str(), ended.ending.as_str()), (begun[0].subject(), "process_died"));
    }
}

#[test]
fn a_full_queue_counts_what_it_loses_and_watchers_see_it_all_the_same() {
    let scene = Scene::new();
    let (handle, mut lines) = Handle::pair(2);
    let mut watched = handle.watch();
    story(&scene).into_iter().for_each(|entry| handle.append(entry));
    assert_eq!(handle.lost(), 5);
    assert!(matches!(lines.try_recv(), Ok(Line::Entry(entry)) if entry.sequence == 0));
    assert_eq!((0..7).map_while(|_| watched.try_recv().ok()).count(), 7);
}

#[cfg(unix)]
#[tokio::test]
async fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let store = scene.store().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(scene.path().parent().unwrap()), 0o700);
    for name in ["patchcord.db", "patchcord.db-wal", "patchcord.db-shm"] {
        assert_eq!(mode(&scene.path().with_file_name(name)), 0o600, "{name}");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_or_foreign_file_is_an_error_that_names_it() {
    let scene = Scene::new();
    let path = scene.folder.path().join("none.db");
    let error = Query::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("none.db") && !path.exists(), "{error}");
    fs::write(&path, "").unwrap();
    assert!(matches!(Query::open(&path).await, Err(query::Error::Foreign { .. })));
    fs::write(&path, "not a database, but long enough to look like one".repeat(100)).unwrap();
    assert!(matches!(Query::open(&path).await, Err(query::Error::Foreign { .. })));
}

#[tokio::test]
async fn a_log_of_a_newer_program_is_left_alone() {
    let scene = Scene::new();
    scene.store().await.close().await.unwrap();
    let mut other = sqlx::ConnectOptions::connect(&sqlite::options(&scene.path())).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'future', 1, x'00', 0)",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let result = Store::open(&scene.path()).await;
    assert!(matches!(result, Err(Error::Newer { version: 9999, .. })), "{result:?}");
}

#[rstest]
#[case(Limit::MaxCalls, "limits.max_calls")]
#[case(Limit::CallerRate, "limits.caller_rate")]
#[case(Limit::NumberRate, "limits.number_rate")]
#[case(Limit::Lag, "limits.lag")]
#[case(Limit::Tokens, "limits.tokens")]
#[tokio::test]
async fn a_call_that_was_not_admitted_has_its_limit_as_cause(#[case] limit: Limit, #[case] cause: &str) {
    let scene = Scene::new();
    let mut ledger = scene.ledger(1);
    let ended = Record::Ended(Ending::Overloaded { cause: limit });
    let entries = [opened(), ended].map(|record| scene.entry(&mut ledger, 0, record));
    scene.round_trip(&entries).await;
    let query = Query::open(&scene.path()).await.unwrap();
    let failures = query.stats(&Scope::default()).await.unwrap().failures;
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].ending.as_str(), failures[0].cause.as_deref()), ("overloaded", Some(cause)));
    query.close().await;
}
