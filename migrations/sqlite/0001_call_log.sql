-- The call log. Times are RFC 3339 in UTC with three decimals, so that text order is time order and SQLite's
-- date functions read them. Vocabularies that grow with the program (endings, kinds of events) are not checked:
-- an old file must take the entries of a new program.

CREATE TABLE calls (
    call_id       TEXT NOT NULL PRIMARY KEY,
    carrier       TEXT NOT NULL DEFAULT 'unknown',
    call_sid      TEXT NOT NULL DEFAULT 'unknown',
    account_sid   TEXT NOT NULL DEFAULT 'unknown',
    business_id   TEXT NOT NULL DEFAULT 'unknown',
    agent         TEXT NOT NULL DEFAULT 'unknown',
    direction     TEXT NOT NULL DEFAULT 'unknown' CHECK (direction IN ('inbound', 'outbound', 'unknown')),
    caller        TEXT NOT NULL DEFAULT 'unknown',
    dialled       TEXT NOT NULL DEFAULT 'unknown',
    prompt        TEXT NOT NULL DEFAULT '',
    parameters    TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(parameters)),
    started_at    TEXT NOT NULL,
    answered_at   TEXT,
    stream_sid    TEXT,
    ended_at      TEXT,
    ending        TEXT,
    ending_detail TEXT CHECK (ending_detail IS NULL OR json_valid(ending_detail)),
    ending_text   TEXT,
    -- From the answer to the end; a call that was never answered has none.
    duration_ms   INTEGER CHECK (duration_ms >= 0),
    CHECK ((ended_at IS NULL) = (ending IS NULL))
) STRICT;

CREATE INDEX calls_by_sid ON calls (call_sid, started_at);
CREATE INDEX calls_by_start ON calls (started_at, call_id);

CREATE TABLE turns (
    call_id     TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
    sequence    INTEGER NOT NULL CHECK (sequence >= 0),
    speaker     TEXT NOT NULL CHECK (speaker IN ('caller', 'agent')),
    text        TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    ended_at    TEXT NOT NULL,
    interrupted INTEGER NOT NULL CHECK (interrupted IN (0, 1)),
    latency_ms  INTEGER CHECK (latency_ms >= 0),
    PRIMARY KEY (call_id, sequence)
) STRICT;

CREATE TABLE events (
    call_id  TEXT NOT NULL REFERENCES calls (call_id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    detail   TEXT NOT NULL CHECK (json_valid(detail)),
    PRIMARY KEY (call_id, sequence)
) STRICT;

-- What the carrier told outside the media stream. No reference to a call: it may come before the call's entries.
CREATE TABLE annotations (
    call_sid TEXT NOT NULL,
    key      TEXT NOT NULL,
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    detail   TEXT NOT NULL CHECK (json_valid(detail)),
    PRIMARY KEY (call_sid, key)
) STRICT;
