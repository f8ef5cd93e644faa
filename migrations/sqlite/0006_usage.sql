-- What calls use of services, and what it costs; latencies by who answered; durations in seconds and minutes.

DROP VIEW calls_per_day;
DROP VIEW fallback_share;
DROP VIEW latency_percentiles;
DROP VIEW longest_dead_air;
DROP VIEW call_costs;

-- JSON: a line for each service, provider, model, modality and direction, with its unit and quantity. No model: the
-- call's live model.
ALTER TABLE calls ADD COLUMN usage TEXT CHECK (usage IS NULL OR json_valid(usage));

-- The same by the day (UTC) on which calls began. model is the calls' live model, used_model what was used.
CREATE TABLE daily_usage (
    day         TEXT NOT NULL,
    agent       TEXT NOT NULL,
    business_id TEXT NOT NULL,
    model       TEXT NOT NULL,
    service     TEXT NOT NULL,
    provider    TEXT NOT NULL,
    used_model  TEXT NOT NULL,
    modality    TEXT NOT NULL,
    direction   TEXT NOT NULL,
    unit        TEXT NOT NULL,
    quantity    INTEGER NOT NULL,
    PRIMARY KEY (day, agent, business_id, model, service, provider, used_model, modality, direction, unit)
) STRICT, WITHOUT ROWID;
-- Of calls before, modalities were not kept.
INSERT INTO daily_usage
SELECT day, agent, business_id, model, 'live', '', model, 'unknown', 'in', 'tokens', prompt_tokens
  FROM daily WHERE prompt_tokens > 0;
INSERT INTO daily_usage
SELECT day, agent, business_id, model, 'live', '', model, 'unknown', 'out', 'tokens',
       response_tokens + thoughts_tokens
  FROM daily WHERE response_tokens + thoughts_tokens > 0;

-- What a line costs from a day on: usd for so many (per) of its unit. Provider '': any. Of several the one of the
-- provider counts, and of these the newest that was valid when the call began. Empty until the operator fills it; a
-- price that changes is a new row.
CREATE TABLE prices_dated (
    service    TEXT NOT NULL CHECK (service IN ('live', 'stt', 'llm', 'tts', 'carrier')),
    provider   TEXT NOT NULL DEFAULT '',
    model      TEXT NOT NULL,
    modality   TEXT NOT NULL CHECK (modality IN ('text', 'audio', 'image', 'video', 'document', 'unknown', 'call')),
    direction  TEXT NOT NULL CHECK (direction IN ('in', 'out', 'cached', 'inbound', 'outbound', 'unknown')),
    valid_from TEXT NOT NULL CHECK (date(valid_from) IS valid_from),
    usd        REAL NOT NULL CHECK (usd >= 0),
    per        INTEGER NOT NULL CHECK (per > 0),
    PRIMARY KEY (service, model, modality, direction, provider, valid_from)
) STRICT, WITHOUT ROWID;
INSERT INTO prices_dated
SELECT 'live', '', model, modality, direction, '1970-01-01',
       iif(direction = 'in', prompt_usd_per_million, response_usd_per_million), 1000000
  FROM prices, (SELECT 'text' AS modality UNION SELECT 'audio' UNION SELECT 'unknown') AS modalities,
       (SELECT 'in' AS direction UNION SELECT 'out') AS directions;
DROP TABLE prices;
ALTER TABLE prices_dated RENAME TO prices;

-- By who answered: live, fallback or nobody; model is the one that answered.
CREATE TABLE daily_latencies_by_responder (
    day         TEXT NOT NULL,
    agent       TEXT NOT NULL,
    business_id TEXT NOT NULL,
    responder   TEXT NOT NULL,
    model       TEXT NOT NULL,
    latency_ms  INTEGER NOT NULL,
    answers     INTEGER NOT NULL,
    PRIMARY KEY (day, agent, business_id, responder, model, latency_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO daily_latencies_by_responder
SELECT day, agent, business_id, 'live', model, latency_ms, answers FROM daily_latencies;
DROP TABLE daily_latencies;
ALTER TABLE daily_latencies_by_responder RENAME TO daily_latencies;

CREATE TABLE monthly_latencies_by_responder (
    month       TEXT NOT NULL,
    agent       TEXT NOT NULL,
    business_id TEXT NOT NULL,
    responder   TEXT NOT NULL,
    model       TEXT NOT NULL,
    latency_ms  INTEGER NOT NULL,
    answers     INTEGER NOT NULL,
    PRIMARY KEY (month, agent, business_id, responder, model, latency_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO monthly_latencies_by_responder
SELECT month, agent, business_id, 'live', model, latency_ms, answers FROM monthly_latencies;
DROP TABLE monthly_latencies;
ALTER TABLE monthly_latencies_by_responder RENAME TO monthly_latencies;

CREATE VIEW calls_per_day AS
SELECT day, agent, sum(calls) AS calls, sum(answered) AS answered, sum(failed) AS failed, sum(turns) AS turns,
       sum(duration_ms) AS duration_ms, sum(duration_ms) / 1000.0 AS seconds, sum(duration_ms) / 60000.0 AS minutes
  FROM daily GROUP BY day, agent;

CREATE VIEW fallback_share AS
SELECT day, agent, sum(calls) AS calls, sum(with_fallback) AS with_fallback,
       CAST(sum(with_fallback) AS REAL) / sum(calls) AS share, sum(fallback_ms) AS fallback_ms,
       sum(fallback_ms) / 1000.0 AS fallback_seconds, sum(fallback_ms) / 60000.0 AS fallback_minutes
  FROM daily GROUP BY day, agent;

CREATE VIEW latency_percentiles AS
SELECT responder, model, max(total) AS answers,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 50) AS p50_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 90) AS p90_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 95) AS p95_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 99) AS p99_ms
  FROM (SELECT responder, model, latency_ms,
               sum(sum(answers)) OVER (PARTITION BY responder, model ORDER BY latency_ms) AS running,
               sum(sum(answers)) OVER (PARTITION BY responder, model) AS total
          FROM monthly_latencies GROUP BY responder, model, latency_ms) AS histogram
 GROUP BY responder, model;

CREATE VIEW longest_dead_air AS
SELECT call_id, call_sid, agent, business_id, started_at, dead_air_max_ms, dead_air_max_ms / 1000.0 AS seconds,
       cover_ms, had_fallback
  FROM calls WHERE dead_air_max_ms IS NOT NULL ORDER BY dead_air_max_ms DESC;

-- A row for each line of a call; cost_usd is null where there is no price.
CREATE VIEW call_usage AS
SELECT call_id, call_sid, agent, business_id, started_at, service, provider, used_model AS model, modality, direction,
       unit, quantity,
       quantity * (SELECT usd / per FROM prices
                    WHERE prices.service = used.service AND prices.model = used_model
                      AND prices.modality = used.modality AND prices.direction = used.direction
                      AND prices.provider IN (used.provider, '') AND valid_from <= substr(started_at, 1, 10)
                    ORDER BY prices.provider DESC, valid_from DESC LIMIT 1) AS cost_usd
  FROM (SELECT call_id, call_sid, agent, business_id, started_at, value ->> 'service' AS service,
               value ->> 'provider' AS provider, coalesce(value ->> 'model', calls.model) AS used_model,
               value ->> 'modality' AS modality, value ->> 'direction' AS direction, value ->> 'unit' AS unit,
               value ->> 'quantity' AS quantity
          FROM calls, json_each(calls.usage)
        UNION ALL
        SELECT call_id, call_sid, agent, business_id, started_at, 'live', '', model, 'unknown', 'in', 'tokens',
               prompt_tokens
          FROM calls WHERE usage IS NULL AND prompt_tokens > 0
        UNION ALL
        SELECT call_id, call_sid, agent, business_id, started_at, 'live', '', model, 'unknown', 'out', 'tokens',
               response_tokens + thoughts_tokens
          FROM calls WHERE usage IS NULL AND response_tokens + thoughts_tokens > 0
        UNION ALL
        SELECT call_id, call_sid, agent, business_id, started_at, 'carrier', carrier, carrier, 'call', direction,
               'minutes', (duration_ms + 59999) / 60000
          FROM calls WHERE duration_ms > 0) AS used;

-- A row for each ended call; unpriced lines have no price and are not part of cost_usd.
CREATE VIEW call_costs AS
SELECT calls.call_id, calls.call_sid, calls.agent, calls.business_id, calls.model, calls.started_at,
       duration_ms / 1000.0 AS seconds, duration_ms / 60000.0 AS minutes, prompt_tokens, response_tokens,
       thoughts_tokens, round(sum(cost_usd), 9) AS cost_usd, count(service) - count(cost_usd) AS unpriced
  FROM calls LEFT JOIN call_usage ON call_usage.call_id = calls.call_id
 WHERE ended_at IS NOT NULL GROUP BY calls.call_id;
