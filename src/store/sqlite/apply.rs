//! Rows into the tables of SQLite, a batch at a time: a few statements for however many rows.
//!
//! Each may be run again: a row that is already there changes nothing.

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::store::rows::{self, Batch};
use crate::store::summary::{self, Answer, Closed, Fact, Summary};
use crate::store::words::{fts, words};

/// Applies a batch within the transaction that is open on `connection`.
pub(in crate::store) async fn apply(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    run(connection, OPENED, &batch.opened).await?;
    run(connection, PLACEHOLDER, &batch.placeholders()).await?;
    run(connection, ANSWERED, &batch.answered).await?;
    turns(connection, batch).await?;
    run(connection, EVENTS, &batch.events).await?;
    run(connection, FALLBACK, &batch.fallbacks()).await?;
    run(connection, ANNOTATIONS, &batch.annotations).await?;
    end(connection, batch).await
}

/// Runs a statement whose one parameter is the rows as a JSON array.
async fn run<T: Serialize + Sync>(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: &[T],
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(json(rows)?).execute(connection).await?;
    }
    Ok(())
}

fn json<T: Serialize>(rows: &[T]) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

const OPENED: &str = "INSERT INTO calls (call_id, carrier, call_sid, account_sid, business_id, agent, model, direction,
                    caller, dialled, prompt, parameters, started_at)
SELECT value ->> 'call_id', value ->> 'carrier', value ->> 'call_sid', value ->> 'account_sid',
       value ->> 'business_id', value ->> 'agent', value ->> 'model', value ->> 'direction', value ->> 'caller',
       value ->> 'dialled', value ->> 'prompt', value -> 'parameters', value ->> 'started_at'
  FROM json_each(?) WHERE true
    ON CONFLICT (call_id) DO UPDATE
   SET carrier = excluded.carrier, call_sid = excluded.call_sid, account_sid = excluded.account_sid,
       business_id = excluded.business_id, agent = excluded.agent, model = excluded.model,
       direction = excluded.direction, caller = excluded.caller, dialled = excluded.dialled,
       prompt = excluded.prompt, parameters = json_patch(excluded.parameters, calls.parameters),
       started_at = excluded.started_at
 WHERE calls.carrier = 'unknown' AND calls.call_sid = 'unknown'";

/// A row that knows nothing but its time: the call's first entry may have been lost, and the others are worth
/// keeping all the same.
const PLACEHOLDER: &str = "INSERT INTO calls (call_id, started_at)
SELECT value ->> 'call_id', value ->> 'started_at' FROM json_each(?) WHERE true ON CONFLICT DO NOTHING";

const ANSWERED: &str = "UPDATE calls
   SET answered_at = value ->> 'at', stream_sid = value ->> 'stream_sid',
       parameters = json_patch(parameters, value -> 'parameters')
  FROM json_each(?)
 WHERE call_id = value ->> 'call_id' AND answered_at IS NULL";

const EVENTS: &str = "INSERT INTO events (call_id, sequence, at, kind, detail)
SELECT value ->> 'call_id', value ->> 'sequence', value ->> 'at', value ->> 'kind', value -> 'detail'
  FROM json_each(?) WHERE true ON CONFLICT DO NOTHING";

/// Calls in the fallback are marked while they go on.
const FALLBACK: &str =
    "UPDATE calls SET had_fallback = 1 FROM json_each(?) WHERE call_id = value AND had_fallback = 0";

const ANNOTATIONS: &str = "INSERT INTO annotations (call_sid, key, at, kind, detail)
SELECT value ->> 'call_sid', value ->> 'key', value ->> 'at', value ->> 'kind', value -> 'detail'
  FROM json_each(?) WHERE true ON CONFLICT DO NOTHING";

const TURNS: &str = "INSERT INTO turns (call_id, sequence, speaker, text, started_at, ended_at, interrupted, latency_ms)
SELECT value ->> 'call_id', value ->> 'sequence', value ->> 'speaker', value ->> 'text', value ->> 'started_at',
       value ->> 'ended_at', value ->> 'interrupted', value ->> 'latency_ms'
  FROM json_each(?) WHERE true ON CONFLICT DO NOTHING";

/// The words of a turn, where the index does not have them yet.
#[derive(Debug, Serialize)]
struct Indexed<'a> {
    call_id: &'a str,
    sequence: u32,
    words: String,
}

/// The words are indexed of turns that were not there before.
async fn turns(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.turns.is_empty() {
        return Ok(());
    }
    let last: i64 =
        sqlx::query_scalar("SELECT coalesce(max(turn_id), 0) FROM turns").fetch_one(&mut *connection).await?;
    run(connection, TURNS, &batch.turns).await?;
    let indexed = batch.turns.iter().map(|turn| Indexed {
        call_id: &turn.call_id,
        sequence: turn.sequence,
        words: index_text(&turn.text),
    });
    sqlx::query(
        "INSERT INTO turn_words (rowid, words)
         SELECT turn_id, value ->> 'words'
           FROM json_each(?1) JOIN turns ON call_id = value ->> 'call_id' AND sequence = value ->> 'sequence'
          WHERE turn_id > ?2",
    )
    .bind(json(&indexed.collect::<Vec<_>>())?)
    .bind(last)
    .execute(connection)
    .await?;
    Ok(())
}

/// What the index of words is given for a text.
pub(in crate::store) fn index_text(text: &str) -> String {
    words(text).iter().map(|word| fts(word)).collect::<Vec<_>>().join(" ")
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
   SET ended_at = value ->> 'at', ending = value ->> 'ending', ending_detail = value -> 'ending_detail',
       ending_text = value ->> 'ending_text', failed = value ->> 'failed', records = value ->> 'records',
       duration_ms = max(0, CAST(round((julianday(value ->> 'at') - julianday(answered_at)) * 86400000) AS INTEGER)),
       had_fallback = value ->> 'had_fallback', live_ms = value ->> 'live_ms', fallback_ms = value ->> 'fallback_ms',
       turn_count = value ->> 'turn_count', dead_air_max_ms = value ->> 'dead_air_max_ms',
       cover_ms = value ->> 'cover_ms', prompt_tokens = value ->> 'prompt_tokens',
       response_tokens = value ->> 'response_tokens', thoughts_tokens = value ->> 'thoughts_tokens',
       total_tokens = value ->> 'total_tokens', usage = value -> 'usage'
  FROM json_each(?)
 WHERE call_id = value ->> 'call_id' AND ended_at IS NULL
RETURNING call_id, substr(started_at, 1, 10) AS day, agent, business_id, model,
          started_at, answered_at IS NOT NULL AS was_answered, failed, ending, cause, carrier, direction,
          duration_ms";

const FACTS: &str = "SELECT call_id, kind, at, detail FROM events
 WHERE call_id IN (SELECT value FROM json_each(?)) AND kind IN ('audio_totals', 'live_ready', 'rung', 'usage', 'provider_used',
       'provider_billed')
 ORDER BY call_id, sequence";

async fn end(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.ended.is_empty() {
        return Ok(());
    }
    let ids = json(&batch.ended_ids())?;
    let facts: Vec<Fact> = sqlx::query_as(FACTS).bind(&ids).fetch_all(&mut *connection).await?;
    let answers: Vec<Answer> = sqlx::query_as(
        "SELECT call_id, latency_ms, started_at FROM turns WHERE call_id IN (SELECT value FROM json_each(?))",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
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
    let closed: Vec<Closed> = sqlx::query_as(END).bind(json(&ends)?).fetch_all(&mut *connection).await?;
    let sums = summary::sums(&closed, &summaries, &answers);
    run(connection, DAILY, &sums.daily).await?;
    run(connection, LATENCIES, &sums.latencies).await?;
    run(connection, MONTHLY, &sums.latencies).await?;
    run(connection, USAGE, &sums.usage).await?;
    run(connection, FAILURES, &sums.failures).await
}

const DAILY: &str = "INSERT INTO daily
SELECT value ->> 'day', value ->> 'agent', value ->> 'business_id', value ->> 'model', value ->> 'calls',
       value ->> 'answered', value ->> 'failed', value ->> 'with_fallback', value ->> 'turns',
       value ->> 'duration_ms', value ->> 'live_ms', value ->> 'fallback_ms', value ->> 'dead_air_max_ms',
       value ->> 'prompt_tokens', value ->> 'response_tokens', value ->> 'thoughts_tokens', value ->> 'total_tokens'
  FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE
   SET calls = calls + excluded.calls, answered = answered + excluded.answered, failed = failed + excluded.failed,
       with_fallback = with_fallback + excluded.with_fallback, turns = turns + excluded.turns,
       duration_ms = duration_ms + excluded.duration_ms, live_ms = live_ms + excluded.live_ms,
       fallback_ms = fallback_ms + excluded.fallback_ms,
       dead_air_max_ms = max(dead_air_max_ms, excluded.dead_air_max_ms),
       prompt_tokens = prompt_tokens + excluded.prompt_tokens,
       response_tokens = response_tokens + excluded.response_tokens,
       thoughts_tokens = thoughts_tokens + excluded.thoughts_tokens,
       total_tokens = total_tokens + excluded.total_tokens";

const LATENCIES: &str =
    "INSERT INTO daily_latencies (day, agent, business_id, responder, model, latency_ms, answers)
SELECT value ->> 'day', value ->> 'agent', value ->> 'business_id', value ->> 'responder', value ->> 'model',
       value ->> 'latency_ms', value ->> 'answers'
  FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET answers = answers + excluded.answers";

const MONTHLY: &str =
    "INSERT INTO monthly_latencies (month, agent, business_id, responder, model, latency_ms, answers)
SELECT substr(value ->> 'day', 1, 8) || '01', value ->> 'agent', value ->> 'business_id', value ->> 'responder',
       value ->> 'model', value ->> 'latency_ms', sum(value ->> 'answers')
  FROM json_each(?) GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT DO UPDATE SET answers = answers + excluded.answers";

const USAGE: &str = "INSERT INTO daily_usage (day, agent, business_id, model, service, provider, used_model, modality,
                         direction, unit, quantity)
SELECT value ->> 'day', value ->> 'agent', value ->> 'business_id', value ->> 'model', value ->> '$.line.service',
       value ->> '$.line.provider', value ->> 'used_model', value ->> '$.line.modality',
       value ->> '$.line.direction', value ->> '$.line.unit', value ->> '$.line.quantity'
  FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET quantity = quantity + excluded.quantity";

const FAILURES: &str = "INSERT INTO daily_failures
SELECT value ->> 'day', value ->> 'agent', value ->> 'business_id', value ->> 'ending', value ->> 'cause',
       value ->> 'calls', value ->> 'newest_at'
  FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE
   SET calls = calls + excluded.calls, newest_at = max(newest_at, excluded.newest_at)";
