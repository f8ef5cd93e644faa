-- The call log. A call's rows are numbered from 0 without a gap over turns, events, its beginning (0), its answer and
-- its end. A call id is a UUID of version 7: it begins with the time of the call, so a month of every table is a range
-- of call ids, and each primary key begins with it. Vocabularies that grow with the program (endings, kinds of events)
-- are not checked: an older schema must take the entries of a newer program.

CREATE TABLE calls (
    call_id         uuid        NOT NULL PRIMARY KEY,
    carrier         text        NOT NULL DEFAULT 'unknown',
    call_sid        text        NOT NULL DEFAULT 'unknown',
    account_sid     text        NOT NULL DEFAULT 'unknown',
    business_id     text        NOT NULL DEFAULT 'unknown',
    agent           text        NOT NULL DEFAULT 'unknown',
    model           text        NOT NULL DEFAULT 'unknown',
    direction       text        NOT NULL DEFAULT 'unknown' CHECK (direction IN ('inbound', 'outbound', 'unknown')),
    caller          text        NOT NULL DEFAULT 'unknown',
    dialled         text        NOT NULL DEFAULT 'unknown',
    prompt          text        NOT NULL DEFAULT '',
    parameters      jsonb       NOT NULL DEFAULT '{}',
    started_at      timestamptz NOT NULL,
    answered_at     timestamptz,
    stream_sid      text,
    ended_at        timestamptz,
    ending          text,
    ending_detail   jsonb,
    ending_text     text,
    duration_ms     bigint      CHECK (duration_ms >= 0),
    records         integer,
    failed          boolean     NOT NULL DEFAULT false,
    had_fallback    boolean     NOT NULL DEFAULT false,
    live_ms         bigint,
    fallback_ms     bigint,
    turn_count      integer,
    dead_air_max_ms bigint,
    cover_ms        bigint,
    prompt_tokens   bigint,
    response_tokens bigint,
    thoughts_tokens bigint,
    total_tokens    bigint,
    erased_at       timestamptz,
    CHECK ((ended_at IS NULL) = (ending IS NULL))
);

-- Text of any length may come from the wire, and an index takes 2,700 bytes: the beginning is enough to find it.
CREATE INDEX calls_by_sid ON calls (left(call_sid, 64), started_at);
CREATE INDEX calls_by_start ON calls (started_at, call_id);
CREATE INDEX calls_by_agent ON calls (left(agent, 64), started_at, call_id);
CREATE INDEX calls_by_business ON calls (left(business_id, 64), started_at, call_id);
CREATE INDEX calls_by_caller ON calls (left(caller, 64), started_at, call_id);
CREATE INDEX calls_by_dialled ON calls (left(dialled, 64), started_at, call_id);
CREATE INDEX calls_by_ending ON calls (ending, started_at, call_id);
CREATE INDEX calls_failed ON calls (started_at, call_id) WHERE failed;
CREATE INDEX calls_with_fallback ON calls (started_at, call_id) WHERE had_fallback;
CREATE INDEX calls_by_dead_air ON calls (dead_air_max_ms) WHERE dead_air_max_ms IS NOT NULL;

COMMENT ON TABLE calls IS 'One row for each call that came in, admitted or refused.';
COMMENT ON COLUMN calls.call_id IS 'UUID version 7: its first 48 bits are started_at in Unix milliseconds.';
COMMENT ON COLUMN calls.call_sid IS 'The carrier''s id of the call. Not unique: a carrier may ask twice.';
COMMENT ON COLUMN calls.business_id IS 'The business the call is accounted to.';
COMMENT ON COLUMN calls.model IS 'Live model of the agent.';
COMMENT ON COLUMN calls.prompt IS 'The full system instruction the call ran with.';
COMMENT ON COLUMN calls.parameters IS 'Parameters of the media stream, by name.';
COMMENT ON COLUMN calls.started_at IS 'When the carrier announced the call.';
COMMENT ON COLUMN calls.answered_at IS 'When the media stream began; null: never.';
COMMENT ON COLUMN calls.ending IS 'How the call ended, as a code; null: it goes on.';
COMMENT ON COLUMN calls.ending_detail IS 'Fields of the ending, its cause among them.';
COMMENT ON COLUMN calls.ending_text IS 'The ending as a sentence.';
COMMENT ON COLUMN calls.duration_ms IS 'From the answer to the end; null: never answered, or going on.';
COMMENT ON COLUMN calls.records IS 'Entries of the call in all: 2 + (answered: 1) + turns + events.';
COMMENT ON COLUMN calls.failed IS 'The call ended otherwise than by the caller or an orderly shutdown.';
COMMENT ON COLUMN calls.had_fallback IS 'Speech to text, a language model and text to speech answered for a while.';
COMMENT ON COLUMN calls.live_ms IS 'How long the live model answered.';
COMMENT ON COLUMN calls.fallback_ms IS 'How long the fallback answered.';
COMMENT ON COLUMN calls.dead_air_max_ms IS 'Longest stretch in which it was the agent''s turn and the caller heard nothing.';
COMMENT ON COLUMN calls.cover_ms IS 'Comfort tones and recorded words that the caller heard while waiting.';
COMMENT ON COLUMN calls.prompt_tokens IS 'Sum of usageMetadata of the live service and usage of the fallback, as for the columns after it.';
COMMENT ON COLUMN calls.erased_at IS 'When personal fields, words and audio were removed.';

CREATE TABLE turns (
    call_id     uuid        NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
    sequence    integer     NOT NULL CHECK (sequence >= 0),
    speaker     text        NOT NULL CHECK (speaker IN ('caller', 'agent')),
    text        text        NOT NULL,
    words       tsvector    NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    interrupted boolean     NOT NULL,
    latency_ms  bigint      CHECK (latency_ms >= 0),
    PRIMARY KEY (call_id, sequence)
);

CREATE INDEX turns_by_word ON turns USING gin (words) WITH (fastupdate = off);

COMMENT ON TABLE turns IS 'One row for each stretch of speech.';
COMMENT ON COLUMN turns.text IS 'The words: of the caller as transcribed, of the agent cut to what was heard. U+FDD0 stands for NUL.';
COMMENT ON COLUMN turns.words IS 'The words as the program cuts and folds them, for searching.';
COMMENT ON COLUMN turns.interrupted IS 'The agent was cut off by the caller.';
COMMENT ON COLUMN turns.latency_ms IS 'Agent: from the end of caller speech to the agent''s first audio.';

CREATE TABLE events (
    call_id  uuid        NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
    sequence integer     NOT NULL CHECK (sequence >= 0),
    at       timestamptz NOT NULL,
    kind     text        NOT NULL,
    detail   jsonb       NOT NULL,
    PRIMARY KEY (call_id, sequence)
);

CREATE INDEX events_of_trouble ON events (kind, at)
    WHERE kind IN ('fault', 'job_failed', 'live_lost', 'provider_skipped', 'rung');

COMMENT ON TABLE events IS 'What happened in a call: faults, who answers (rung), gaps, key presses, recordings, tokens.';
COMMENT ON COLUMN events.detail IS 'Fields of this kind of event.';

CREATE TABLE annotations (
    digest   bytea       NOT NULL PRIMARY KEY,
    call_sid text        NOT NULL,
    key      text        NOT NULL,
    at       timestamptz NOT NULL,
    kind     text        NOT NULL,
    detail   jsonb       NOT NULL
);

CREATE INDEX annotations_by_sid ON annotations (left(call_sid, 64));

COMMENT ON TABLE annotations IS 'What the carrier told outside the media stream. May come before the call''s own rows.';
COMMENT ON COLUMN annotations.digest IS 'SHA-256 of call_sid and key.';
COMMENT ON COLUMN annotations.key IS 'The same callback twice has the same key and is kept once.';

CREATE TABLE daily (
    day             date    NOT NULL,
    agent           text    NOT NULL,
    business_id     text    NOT NULL,
    model           text    NOT NULL,
    calls           bigint  NOT NULL,
    answered        bigint  NOT NULL,
    failed          bigint  NOT NULL,
    with_fallback   bigint  NOT NULL,
    turns           bigint  NOT NULL,
    duration_ms     bigint  NOT NULL,
    live_ms         bigint  NOT NULL,
    fallback_ms     bigint  NOT NULL,
    dead_air_max_ms bigint  NOT NULL,
    prompt_tokens   bigint  NOT NULL,
    response_tokens bigint  NOT NULL,
    thoughts_tokens bigint  NOT NULL,
    total_tokens    bigint  NOT NULL,
    PRIMARY KEY (day, agent, business_id, model)
);

COMMENT ON TABLE daily IS 'What ended calls add up to, by the day (UTC) on which they began. Stays when calls are erased or deleted.';

CREATE TABLE daily_latencies (
    day         date   NOT NULL,
    agent       text   NOT NULL,
    business_id text   NOT NULL,
    model       text   NOT NULL,
    latency_ms  bigint NOT NULL,
    answers     bigint NOT NULL,
    PRIMARY KEY (day, agent, business_id, model, latency_ms)
);

COMMENT ON TABLE daily_latencies IS 'How often the agent took how long to answer.';
COMMENT ON COLUMN daily_latencies.latency_ms IS 'Rounded to the middle of its range of five binary digits: within 1.6 %.';

CREATE TABLE prices (
    model                    text             NOT NULL PRIMARY KEY,
    prompt_usd_per_million   double precision NOT NULL CHECK (prompt_usd_per_million >= 0),
    response_usd_per_million double precision NOT NULL CHECK (response_usd_per_million >= 0)
);

COMMENT ON TABLE prices IS 'What tokens cost, for call_costs. Empty until somebody fills it.';

CREATE TABLE journals (
    journal  uuid        NOT NULL PRIMARY KEY,
    position bigint      NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE journals IS 'How far the local journal of each server was applied: written in the transaction that applies it.';

CREATE FUNCTION call_id_from(at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

COMMENT ON FUNCTION call_id_from IS 'The smallest call id of that time: a bound of a month, for PARTITION BY RANGE (call_id) or for deleting.';
