-- The log answers questions over millions of calls: a summary of each call, counts by day, and the words of turns.

ALTER TABLE calls ADD COLUMN model TEXT NOT NULL DEFAULT 'unknown';
-- Entries the call has in all, its end among them: 1 + (answered) + turns + events + 1 once it is complete.
ALTER TABLE calls ADD COLUMN records INTEGER;
ALTER TABLE calls ADD COLUMN failed INTEGER NOT NULL DEFAULT 0 CHECK (failed IN (0, 1));
ALTER TABLE calls ADD COLUMN had_fallback INTEGER NOT NULL DEFAULT 0 CHECK (had_fallback IN (0, 1));
-- Who answered for how long; known once the call is over.
ALTER TABLE calls ADD COLUMN live_ms INTEGER;
ALTER TABLE calls ADD COLUMN fallback_ms INTEGER;
ALTER TABLE calls ADD COLUMN turn_count INTEGER;
ALTER TABLE calls ADD COLUMN dead_air_max_ms INTEGER;
ALTER TABLE calls ADD COLUMN cover_ms INTEGER;
ALTER TABLE calls ADD COLUMN prompt_tokens INTEGER;
ALTER TABLE calls ADD COLUMN response_tokens INTEGER;
ALTER TABLE calls ADD COLUMN thoughts_tokens INTEGER;
ALTER TABLE calls ADD COLUMN total_tokens INTEGER;
-- Personal fields, words and audio were removed.
ALTER TABLE calls ADD COLUMN erased_at TEXT;

CREATE INDEX calls_by_agent ON calls (agent, started_at, call_id);
CREATE INDEX calls_by_business ON calls (business_id, started_at, call_id);
CREATE INDEX calls_by_caller ON calls (caller, started_at, call_id);
CREATE INDEX calls_by_dialled ON calls (dialled, started_at, call_id);
CREATE INDEX calls_by_ending ON calls (ending, started_at, call_id);
CREATE INDEX calls_failed ON calls (started_at, call_id) WHERE failed = 1;
CREATE INDEX calls_with_fallback ON calls (started_at, call_id) WHERE had_fallback = 1;
CREATE INDEX calls_by_dead_air ON calls (dead_air_max_ms) WHERE dead_air_max_ms IS NOT NULL;

-- The number of a turn is its place in the index of words.
CREATE TABLE turns_numbered (
    turn_id     INTEGER PRIMARY KEY,
    call_id     TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
    sequence    INTEGER NOT NULL CHECK (sequence >= 0),
    speaker     TEXT NOT NULL CHECK (speaker IN ('caller', 'agent')),
    text        TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    ended_at    TEXT NOT NULL,
    interrupted INTEGER NOT NULL CHECK (interrupted IN (0, 1)),
    latency_ms  INTEGER CHECK (latency_ms >= 0),
    UNIQUE (call_id, sequence)
) STRICT;
INSERT INTO turns_numbered (call_id, sequence, speaker, text, started_at, ended_at, interrupted, latency_ms)
SELECT call_id, sequence, speaker, text, started_at, ended_at, interrupted, latency_ms FROM turns ORDER BY rowid;
DROP TABLE turns;
ALTER TABLE turns_numbered RENAME TO turns;

CREATE TABLE events_compact (
    call_id  TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    detail   TEXT NOT NULL CHECK (json_valid(detail)),
    PRIMARY KEY (call_id, sequence)
) STRICT, WITHOUT ROWID;
INSERT INTO events_compact (call_id, sequence, at, kind, detail)
SELECT call_id, sequence, at, kind, detail FROM events;
DROP TABLE events;
ALTER TABLE events_compact RENAME TO events;
CREATE INDEX events_of_trouble ON events (kind, at)
    WHERE kind IN ('fault', 'job_failed', 'live_lost', 'provider_skipped', 'rung');

-- Words of turns, as the program cuts and folds them; which turns have a word, and no more.
CREATE VIRTUAL TABLE turn_words USING fts5 (
    words, content = '', columnsize = 0, detail = none, tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co'"
);
-- What is deleted leaves no trace in the index.
INSERT INTO turn_words (turn_words, rank) VALUES ('secure-delete', 1);
INSERT INTO turn_words (rowid, words) SELECT turn_id, text FROM turns;

-- What ended calls add up to, by the day (UTC) on which they began.
CREATE TABLE daily (
    day             TEXT NOT NULL,
    agent           TEXT NOT NULL,
    business_id     TEXT NOT NULL,
    model           TEXT NOT NULL,
    calls           INTEGER NOT NULL,
    answered        INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    with_fallback   INTEGER NOT NULL,
    turns           INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    live_ms         INTEGER NOT NULL,
    fallback_ms     INTEGER NOT NULL,
    dead_air_max_ms INTEGER NOT NULL,
    prompt_tokens   INTEGER NOT NULL,
    response_tokens INTEGER NOT NULL,
    thoughts_tokens INTEGER NOT NULL,
    total_tokens    INTEGER NOT NULL,
    PRIMARY KEY (day, agent, business_id, model)
) STRICT, WITHOUT ROWID;

-- How often the agent took how long to answer. latency_ms is rounded to its five leading binary digits after the
-- first, to the middle of that range: within 1.6 %.
CREATE TABLE daily_latencies (
    day         TEXT NOT NULL,
    agent       TEXT NOT NULL,
    business_id TEXT NOT NULL,
    model       TEXT NOT NULL,
    latency_ms  INTEGER NOT NULL,
    answers     INTEGER NOT NULL,
    PRIMARY KEY (day, agent, business_id, model, latency_ms)
) STRICT, WITHOUT ROWID;

-- What tokens cost, for call_costs. Empty until somebody fills it.
CREATE TABLE prices (
    model                    TEXT NOT NULL PRIMARY KEY,
    prompt_usd_per_million   REAL NOT NULL CHECK (prompt_usd_per_million >= 0),
    response_usd_per_million REAL NOT NULL CHECK (response_usd_per_million >= 0)
) STRICT;

-- What was known before: calls that ended under the schema before this one.
UPDATE calls SET
    failed = ending NOT IN ('caller_hung_up', 'drained', 'superseded'),
    had_fallback = EXISTS (SELECT 1 FROM events WHERE events.call_id = calls.call_id AND kind = 'rung'
                              AND detail ->> '$.rung' = 'fallback'),
    turn_count = (SELECT count(*) FROM turns WHERE turns.call_id = calls.call_id),
    dead_air_max_ms = (SELECT max(detail ->> '$.dead_air_max_ms') FROM events
                        WHERE events.call_id = calls.call_id AND kind = 'audio_totals')
 WHERE ended_at IS NOT NULL;
INSERT INTO daily
SELECT substr(started_at, 1, 10), agent, business_id, model, count(*), count(answered_at), sum(failed),
       sum(had_fallback), sum(turn_count), coalesce(sum(duration_ms), 0), 0, 0, coalesce(max(dead_air_max_ms), 0),
       0, 0, 0, 0
  FROM calls WHERE ended_at IS NOT NULL GROUP BY 1, 2, 3, 4;

-- Records on their way to Postgres, when there is one. Kept for a while after that, so that a Postgres which comes
-- back without them gets them again.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at       TEXT NOT NULL,
    -- Of the call, or the SID an annotation belongs to.
    subject  TEXT NOT NULL,
    row      TEXT NOT NULL
) STRICT;
CREATE INDEX journal_by_subject ON journal (subject);

-- What Postgres will never take, and why.
CREATE TABLE journal_refused (
    position INTEGER PRIMARY KEY,
    at       TEXT NOT NULL,
    subject  TEXT NOT NULL,
    row      TEXT NOT NULL,
    reason   TEXT NOT NULL
) STRICT;

-- Calls that this journal has begun and not ended. After a crash they are ended with the next number.
CREATE TABLE open_calls (
    call_id       TEXT NOT NULL PRIMARY KEY,
    next_sequence INTEGER NOT NULL,
    -- When it was last heard of.
    at            TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO open_calls
SELECT call_id, 2 + max(coalesce((SELECT max(sequence) FROM turns WHERE turns.call_id = calls.call_id), 0),
                        coalesce((SELECT max(sequence) FROM events WHERE events.call_id = calls.call_id), 0)), coalesce(answered_at, started_at)
  FROM calls WHERE ended_at IS NULL;

-- One row: which journal this is.
CREATE TABLE journal_identity (
    id TEXT NOT NULL
) STRICT;
