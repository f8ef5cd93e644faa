//! Rows into the tables of Postgres, a batch at a time: a few statements for however many rows.
//!
//! Each may be run again: a row that is already there changes nothing. The position of the journal moves in the same
//! transaction, so that a batch is applied exactly once however often it is sent.

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::types::Json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::statement::{query, query_as, query_scalar};
use crate::store::erase;
use crate::store::rows::{self, Batch, Row};
use crate::store::summary::{self, Answer, Closed, Fact, Summary};
use crate::store::words::words;

/// Advisory lock: shared by those who apply rows, held alone by one who erases, so that no row passes unseen.
pub(in crate::store) const ERASURE: i64 = 0x7061_7463_6863_6f72;

/// Applies rows and moves the position of the journal, in one transaction.
pub(in crate::store) async fn apply(
    connection: &mut PgConnection,
    rows: Vec<Row>,
    journal: Uuid,
    position: i64,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    query("SELECT pg_advisory_xact_lock_shared($1)").bind(ERASURE).execute(&mut *transaction).await?;
    let rows = scrub(&mut transaction, rows).await?;
    write(&mut transaction, &Batch::of(rows)).await?;
    query(
        "INSERT INTO journals (journal, position) VALUES ($1, $2)
             ON CONFLICT (journal) DO UPDATE
            SET position = greatest(journals.position, excluded.position), at = now()",
    )
    .bind(journal)
    .bind(position)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Rows of calls that were erased meanwhile come without what is personal.
async fn scrub(connection: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Row>, sqlx::Error> {
    let calls: BTreeSet<_> = rows.iter().filter_map(|row| Uuid::parse_str(row.place()?.0).ok()).collect();
    let calls: Vec<_> = calls.into_iter().collect();
    let erased: Vec<String> =
        query_scalar("SELECT call_id::text FROM calls WHERE call_id = ANY ($1) AND erased_at IS NOT NULL")
            .bind(calls)
            .fetch_all(connection)
            .await?;
    if erased.is_empty() {
        return Ok(rows);
    }
    let is_erased = |row: &Row| row.place().is_some_and(|(call, ..)| erased.iter().any(|id| id == call));
    Ok(rows.into_iter().map(|row| if is_erased(&row) { erase::scrub(row) } else { row }).collect())
}

async fn write(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    run(connection, OPENED, &batch.opened).await?;
    run(connection, PLACEHOLDER, &batch.placeholders()).await?;
    run(connection, ANSWERED, &batch.answered).await?;
    let turns: Vec<_> = batch.turns.iter().map(Indexed::of).collect();
    run(connection, TURNS, &turns).await?;
    run(connection, EVENTS, &batch.events).await?;
    run(connection, FALLBACK, &batch.fallbacks()).await?;
    let annotations: Vec<_> = batch.annotations.iter().map(Keyed::of).collect();
    run(connection, ANNOTATIONS, &annotations).await?;
    end(connection, batch).await
}

/// Runs a statement whose one parameter is the rows as a JSON array.
async fn run<T: Serialize + Sync>(
    connection: &mut PgConnection,
    statement: &'static str,
    rows: &[T],
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        query(statement).bind(Json(rows)).execute(connection).await?;
    }
    Ok(())
}

const OPENED: &str = "INSERT INTO calls (call_id, carrier, call_sid, account_sid, business_id, agent, model, direction,
                    caller, dialled, prompt, parameters, started_at)
SELECT call_id, carrier, call_sid, account_sid, business_id, agent, model, direction, caller, dialled, prompt,
       parameters, started_at
  FROM jsonb_to_recordset($1) AS x (call_id uuid, carrier text, call_sid text, account_sid text, business_id text,
       agent text, model text, direction text, caller text, dialled text, prompt text, parameters jsonb,
       started_at timestamptz)
    ON CONFLICT (call_id) DO UPDATE
   SET carrier = excluded.carrier, call_sid = excluded.call_sid, account_sid = excluded.account_sid,
       business_id = excluded.business_id, agent = excluded.agent, model = excluded.model,
       direction = excluded.direction, caller = excluded.caller, dialled = excluded.dialled,
       prompt = excluded.prompt, parameters = excluded.parameters || calls.parameters,
       started_at = excluded.started_at
 WHERE calls.carrier = 'unknown' AND calls.call_sid = 'unknown'";

/// A row that knows nothing but its time: the call's first entry may have been lost, and the others are worth
/// keeping all the same.
const PLACEHOLDER: &str = "INSERT INTO calls (call_id, started_at)
SELECT call_id, started_at FROM jsonb_to_recordset($1) AS x (call_id uuid, started_at timestamptz)
    ON CONFLICT DO NOTHING";

const ANSWERED: &str = "UPDATE calls
   SET answered_at = x.at, stream_sid = x.stream_sid, parameters = calls.parameters || x.parameters
  FROM jsonb_to_recordset($1) AS x (call_id uuid, at timestamptz, stream_sid text, parameters jsonb)
 WHERE calls.call_id = x.call_id AND calls.answered_at IS NULL";

const TURNS: &str = "INSERT INTO turns (call_id, sequence, speaker, text, words, started_at, ended_at, interrupted,
                   latency_ms)
SELECT call_id, sequence, speaker, text, array_to_tsvector(words), started_at, ended_at, interrupted, latency_ms
  FROM jsonb_to_recordset($1) AS x (call_id uuid, sequence integer, speaker text, text text, words text[],
       started_at timestamptz, ended_at timestamptz, interrupted boolean, latency_ms bigint)
    ON CONFLICT DO NOTHING";

const EVENTS: &str = "INSERT INTO events (call_id, sequence, at, kind, detail)
SELECT call_id, sequence, at, kind, detail
  FROM jsonb_to_recordset($1) AS x (call_id uuid, sequence integer, at timestamptz, kind text, detail jsonb)
    ON CONFLICT DO NOTHING";

/// Calls in the fallback are marked while they go on.
const FALLBACK: &str = "UPDATE calls SET had_fallback = true FROM jsonb_array_elements_text($1) AS x (id)
 WHERE call_id = id::uuid AND NOT had_fallback";

const ANNOTATIONS: &str = "INSERT INTO annotations (digest, call_sid, key, at, kind, detail)
SELECT decode(digest, 'hex'), call_sid, key, at, kind, detail
  FROM jsonb_to_recordset($1) AS x (digest text, call_sid text, key text, at timestamptz, kind text, detail jsonb)
    ON CONFLICT DO NOTHING";

#[derive(Debug, Serialize)]
struct Indexed<'a> {
    #[serde(flatten)]
    turn: &'a rows::Turn,
    words: Vec<String>,
}

impl<'a> Indexed<'a> {
    fn of(turn: &'a rows::Turn) -> Self {
        Self { turn, words: words(&turn.text) }
    }
}

#[derive(Debug, Serialize)]
struct Keyed<'a> {
    digest: String,
    #[serde(flatten)]
    annotation: &'a rows::Annotation,
}

impl<'a> Keyed<'a> {
    fn of(annotation: &'a rows::Annotation) -> Self {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        let mut digest = Sha256::new();
        digest.update((annotation.call_sid.len() as u64).to_be_bytes());
        digest.update(&annotation.call_sid);
        digest.update(&annotation.key);
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, annotation }
    }
}

/// How a call ended, with what its rows add up to.
#[derive(Debug, Serialize)]
struct End<'a> {
    #[serde(flatten)]
    ended: &'a rows::Ended,
    records: i64,
    #[serde(flatten)]
    summary: &'a Summary,
}

const END: &str = "UPDATE calls
   SET ended_at = x.at, ending = x.ending, ending_detail = x.ending_detail, ending_text = x.ending_text,
       failed = x.failed, records = x.records,
       duration_ms = greatest(0, round(extract(epoch FROM x.at - answered_at) * 1000)::bigint)
                     + CASE WHEN answered_at IS NULL THEN NULL ELSE 0 END,
       had_fallback = x.had_fallback, live_ms = x.live_ms, fallback_ms = x.fallback_ms, turn_count = x.turn_count,
       dead_air_max_ms = x.dead_air_max_ms, cover_ms = x.cover_ms, prompt_tokens = x.prompt_tokens,
       response_tokens = x.response_tokens, thoughts_tokens = x.thoughts_tokens, total_tokens = x.total_tokens,
       usage = x.usage
  FROM jsonb_to_recordset($1) AS x (call_id uuid, at timestamptz, ending text, ending_detail jsonb, ending_text text,
       failed boolean, records integer, had_fallback boolean, live_ms bigint, fallback_ms bigint, turn_count integer,
       dead_air_max_ms bigint, cover_ms bigint, prompt_tokens bigint, response_tokens bigint, thoughts_tokens bigint,
       total_tokens bigint, usage jsonb)
 WHERE calls.call_id = x.call_id AND calls.ended_at IS NULL
RETURNING calls.call_id::text AS call_id, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, agent,
          business_id, model, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS started_at,
          answered_at IS NOT NULL AS was_answered, calls.failed AS failed, calls.ending AS ending, cause,
          carrier, direction, duration_ms";

const FACTS: &str = "SELECT call_id::text AS call_id, kind,
       to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at, detail::text AS detail
  FROM events WHERE call_id = ANY ($1) AND kind IN ('audio_totals', 'live_ready', 'rung', 'usage',
       'provider_used', 'provider_billed')
 ORDER BY call_id, sequence";

const ANSWERS: &str = "SELECT call_id::text AS call_id, latency_ms,
       to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS started_at
  FROM turns WHERE call_id = ANY ($1)";

async fn end(connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = batch.ended_ids().iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let facts: Vec<Fact> = query_as(FACTS).bind(&ids).fetch_all(&mut *connection).await?;
    let answers: Vec<Answer> = query_as(ANSWERS).bind(&ids).fetch_all(&mut *connection).await?;
    let ended = batch.ended.iter().map(|row| (row.call_id.as_str(), row.at.as_str()));
    let summaries = summary::summaries(ended, &facts, &answers);
    let ends: Vec<_> = batch
        .ended
        .iter()
        .filter_map(|ended| {
            let summary = summaries.get(&ended.call_id)?;
            Some(End { ended, records: i64::from(ended.sequence) + 1, summary })
        })
        .collect();
    let closed: Vec<Closed> = query_as(END).bind(Json(&ends)).fetch_all(&mut *connection).await?;
    let sums = summary::sums(&closed, &summaries, &answers);
    run(connection, DAILY, &sums.daily).await?;
    run(connection, LATENCIES, &sums.latencies).await?;
    run(connection, MONTHLY, &sums.latencies).await?;
    run(connection, USAGE, &sums.usage).await?;
    run(connection, FAILURES, &sums.failures).await
}

const DAILY: &str = "INSERT INTO daily
SELECT * FROM jsonb_to_recordset($1) AS x (day date, agent text, business_id text, model text, calls bigint,
       answered bigint, failed bigint, with_fallback bigint, turns bigint, duration_ms bigint, live_ms bigint,
       fallback_ms bigint, dead_air_max_ms bigint, prompt_tokens bigint, response_tokens bigint,
       thoughts_tokens bigint, total_tokens bigint)
    ON CONFLICT (day, agent, business_id, model) DO UPDATE
   SET calls = daily.calls + excluded.calls, answered = daily.answered + excluded.answered,
       failed = daily.failed + excluded.failed, with_fallback = daily.with_fallback + excluded.with_fallback,
       turns = daily.turns + excluded.turns, duration_ms = daily.duration_ms + excluded.duration_ms,
       live_ms = daily.live_ms + excluded.live_ms, fallback_ms = daily.fallback_ms + excluded.fallback_ms,
       dead_air_max_ms = greatest(daily.dead_air_max_ms, excluded.dead_air_max_ms),
       prompt_tokens = daily.prompt_tokens + excluded.prompt_tokens,
       response_tokens = daily.response_tokens + excluded.response_tokens,
       thoughts_tokens = daily.thoughts_tokens + excluded.thoughts_tokens,
       total_tokens = daily.total_tokens + excluded.total_tokens";

const LATENCIES: &str =
    "INSERT INTO daily_latencies (day, agent, business_id, responder, model, latency_ms, answers)
SELECT day, agent, business_id, responder, model, latency_ms, answers
  FROM jsonb_to_recordset($1) AS x (day date, agent text, business_id text, responder text, model text,
       latency_ms bigint, answers bigint)
    ON CONFLICT (day, agent, business_id, responder, model, latency_ms) DO UPDATE
   SET answers = daily_latencies.answers + excluded.answers";

const MONTHLY: &str =
    "INSERT INTO monthly_latencies (month, agent, business_id, responder, model, latency_ms, answers)
SELECT date_trunc('month', day)::date, agent, business_id, responder, model, latency_ms, sum(answers)
  FROM jsonb_to_recordset($1) AS x (day date, agent text, business_id text, responder text, model text,
       latency_ms bigint, answers bigint)
 GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (month, agent, business_id, responder, model, latency_ms) DO UPDATE
   SET answers = monthly_latencies.answers + excluded.answers";

const USAGE: &str = "INSERT INTO daily_usage (day, agent, business_id, model, service, provider, used_model, modality,
                         direction, unit, quantity)
SELECT day, agent, business_id, model, line ->> 'service', line ->> 'provider', used_model, line ->> 'modality',
       line ->> 'direction', line ->> 'unit', (line ->> 'quantity')::bigint
  FROM jsonb_to_recordset($1) AS x (day date, agent text, business_id text, model text, used_model text, line jsonb)
    ON CONFLICT (day, agent, business_id, model, service, provider, used_model, modality, direction, unit) DO UPDATE
   SET quantity = daily_usage.quantity + excluded.quantity";

const FAILURES: &str = "INSERT INTO daily_failures
SELECT * FROM jsonb_to_recordset($1) AS x (day date, agent text, business_id text, ending text, cause text,
       calls bigint, newest_at timestamptz)
    ON CONFLICT (day, agent, business_id, ending, cause) DO UPDATE
   SET calls = daily_failures.calls + excluded.calls,
       newest_at = greatest(daily_failures.newest_at, excluded.newest_at)";
