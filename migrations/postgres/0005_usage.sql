-- What calls use of services, and what it costs; latencies by who answered; durations in seconds and minutes.

DROP VIEW calls_per_day;
DROP VIEW fallback_share;
DROP VIEW latency_percentiles;
DROP VIEW longest_dead_air;
DROP VIEW call_costs;

ALTER TABLE calls ADD COLUMN usage jsonb;

COMMENT ON COLUMN calls.usage IS 'A line for each service, provider, model, modality and direction, with its unit and quantity; see the view call_usage. No model: that of the call.';

CREATE TABLE daily_usage (
    day         date   NOT NULL,
    agent       text   NOT NULL,
    business_id text   NOT NULL,
    model       text   NOT NULL,
    service     text   NOT NULL,
    provider    text   NOT NULL,
    used_model  text   NOT NULL,
    modality    text   NOT NULL,
    direction   text   NOT NULL,
    unit        text   NOT NULL,
    quantity    bigint NOT NULL,
    PRIMARY KEY (day, agent, business_id, model, service, provider, used_model, modality, direction, unit)
);
-- Of calls before, modalities were not kept.
INSERT INTO daily_usage
SELECT day, agent, business_id, model, 'live', '', model, 'unknown', 'in', 'tokens', prompt_tokens
  FROM daily WHERE prompt_tokens > 0;
INSERT INTO daily_usage
SELECT day, agent, business_id, model, 'live', '', model, 'unknown', 'out', 'tokens',
       response_tokens + thoughts_tokens
  FROM daily WHERE response_tokens + thoughts_tokens > 0;

COMMENT ON TABLE daily_usage IS 'What calls used of services, by the day (UTC) on which they began. Stays when calls are erased or deleted.';
COMMENT ON COLUMN daily_usage.model IS 'Live model of the calls.';
COMMENT ON COLUMN daily_usage.used_model IS 'What was used; of the carrier its name.';
COMMENT ON COLUMN daily_usage.unit IS 'tokens, milliseconds, characters, or begun minutes.';

CREATE TABLE prices_dated (
    service    text             NOT NULL CHECK (service IN ('live', 'stt', 'llm', 'tts', 'carrier')),
    provider   text             NOT NULL DEFAULT '',
    model      text             NOT NULL,
    modality   text             NOT NULL CHECK (modality IN ('text', 'audio', 'image', 'video', 'document', 'unknown', 'call')),
    direction  text             NOT NULL CHECK (direction IN ('in', 'out', 'cached', 'inbound', 'outbound', 'unknown')),
    valid_from date             NOT NULL,
    usd        double precision NOT NULL CHECK (usd >= 0),
    per        bigint           NOT NULL CHECK (per > 0),
    PRIMARY KEY (service, model, modality, direction, provider, valid_from)
);
INSERT INTO prices_dated
SELECT 'live', '', model, modality, direction, '1970-01-01',
       CASE WHEN direction = 'in' THEN prompt_usd_per_million ELSE response_usd_per_million END, 1000000
  FROM prices, unnest(ARRAY['text', 'audio', 'unknown']) AS modality, unnest(ARRAY['in', 'out']) AS direction;
DROP TABLE prices;
ALTER TABLE prices_dated RENAME TO prices;

COMMENT ON TABLE prices IS 'What a line of call_usage costs from a day on: usd for so many (per) of its unit. Empty until the operator fills it; a price that changes is a new row.';
COMMENT ON COLUMN prices.provider IS 'Empty: any. A price of the provider goes before one of any.';
COMMENT ON COLUMN prices.valid_from IS 'Calls that begin on this day (UTC) or later have this price, until a newer one.';

ALTER TABLE daily_latencies ADD COLUMN responder text NOT NULL DEFAULT 'live';
ALTER TABLE daily_latencies ALTER COLUMN responder DROP DEFAULT;
ALTER TABLE daily_latencies DROP CONSTRAINT daily_latencies_pkey;
ALTER TABLE daily_latencies ADD PRIMARY KEY (day, agent, business_id, responder, model, latency_ms);
ALTER TABLE monthly_latencies ADD COLUMN responder text NOT NULL DEFAULT 'live';
ALTER TABLE monthly_latencies ALTER COLUMN responder DROP DEFAULT;
ALTER TABLE monthly_latencies DROP CONSTRAINT monthly_latencies_pkey;
ALTER TABLE monthly_latencies ADD PRIMARY KEY (month, agent, business_id, responder, model, latency_ms);

COMMENT ON COLUMN daily_latencies.responder IS 'Who answered: live, fallback or nobody.';
COMMENT ON COLUMN daily_latencies.model IS 'The model that answered.';

CREATE VIEW calls_per_day AS
SELECT day, agent, sum(calls)::bigint AS calls, sum(answered)::bigint AS answered, sum(failed)::bigint AS failed,
       sum(turns)::bigint AS turns, sum(duration_ms)::bigint AS duration_ms,
       sum(duration_ms)::double precision / 1000 AS seconds, sum(duration_ms)::double precision / 60000 AS minutes
  FROM daily GROUP BY day, agent;

COMMENT ON VIEW calls_per_day IS 'Ended calls by the day (UTC) on which they began, and agent.';

CREATE VIEW fallback_share AS
SELECT day, agent, sum(calls)::bigint AS calls, sum(with_fallback)::bigint AS with_fallback,
       sum(with_fallback)::double precision / sum(calls)::double precision AS share,
       sum(fallback_ms)::bigint AS fallback_ms, sum(fallback_ms)::double precision / 1000 AS fallback_seconds,
       sum(fallback_ms)::double precision / 60000 AS fallback_minutes
  FROM daily GROUP BY day, agent;

COMMENT ON VIEW fallback_share IS 'How many of the calls of a day and agent needed the fallback.';

CREATE VIEW latency_percentiles AS
SELECT responder, model, max(total)::bigint AS answers,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 50) AS p50_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 90) AS p90_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 95) AS p95_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 99) AS p99_ms
  FROM (SELECT responder, model, latency_ms,
               sum(sum(answers)) OVER (PARTITION BY responder, model ORDER BY latency_ms) AS running,
               sum(sum(answers)) OVER (PARTITION BY responder, model) AS total
          FROM monthly_latencies GROUP BY responder, model, latency_ms) AS histogram
 GROUP BY responder, model;

COMMENT ON VIEW latency_percentiles IS 'How long the agent took to answer, by who answered and model: so many of a hundred answers took no longer.';

CREATE VIEW longest_dead_air AS
SELECT call_id, call_sid, agent, business_id, started_at, dead_air_max_ms,
       dead_air_max_ms::double precision / 1000 AS seconds, cover_ms, had_fallback
  FROM calls WHERE dead_air_max_ms IS NOT NULL ORDER BY dead_air_max_ms DESC;

COMMENT ON VIEW longest_dead_air IS 'Calls by the longest stretch in which the caller heard nothing, the worst first.';

CREATE VIEW call_usage AS
SELECT call_id, call_sid, agent, business_id, started_at, service, provider, used_model AS model, modality, direction,
       unit, quantity,
       quantity::double precision
           * (SELECT usd / per::double precision FROM prices
               WHERE prices.service = used.service AND prices.model = used_model
                 AND prices.modality = used.modality AND prices.direction = used.direction
                 AND prices.provider IN (used.provider, '') AND valid_from <= (started_at AT TIME ZONE 'UTC')::date
               ORDER BY prices.provider DESC, valid_from DESC LIMIT 1) AS cost_usd
  FROM (SELECT call_id, call_sid, agent, business_id, started_at, line.service, line.provider,
               coalesce(line.model, calls.model) AS used_model, line.modality, line.direction, line.unit,
               line.quantity
          FROM calls CROSS JOIN LATERAL jsonb_to_recordset(calls.usage) AS line (service text, provider text,
               model text, modality text, direction text, unit text, quantity bigint)
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

COMMENT ON VIEW call_usage IS 'What each call used of services, a row for each line; cost_usd is null where there is no price.';

CREATE VIEW call_costs AS
SELECT calls.call_id, calls.call_sid, calls.agent, calls.business_id, calls.model, calls.started_at,
       duration_ms::double precision / 1000 AS seconds, duration_ms::double precision / 60000 AS minutes,
       prompt_tokens, response_tokens, thoughts_tokens,
       round(sum(cost_usd)::numeric, 9)::double precision AS cost_usd, count(service) - count(cost_usd) AS unpriced
  FROM calls LEFT JOIN call_usage ON call_usage.call_id = calls.call_id
 WHERE ended_at IS NOT NULL GROUP BY calls.call_id;

COMMENT ON VIEW call_costs IS 'What each ended call cost; unpriced lines have no price and are not part of cost_usd.';
