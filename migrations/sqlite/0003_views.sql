-- Views of what is often asked, with the names and columns that they have in PostgreSQL too.

-- Who failed and how, where the ending was a consequence of it: live.closed, think.stalled.
ALTER TABLE calls ADD COLUMN cause TEXT GENERATED ALWAYS AS (
    coalesce(ending_detail ->> '$.cause.job', ending_detail ->> '$.cause.of')
        || '.' || (ending_detail ->> '$.cause.cause.failure')
) VIRTUAL;
CREATE INDEX calls_by_failure ON calls (started_at, ending, cause, agent, business_id) WHERE failed = 1;

-- Ended calls by the day (UTC) on which they began, and agent.
CREATE VIEW calls_per_day AS
SELECT day, agent, sum(calls) AS calls, sum(answered) AS answered, sum(failed) AS failed, sum(turns) AS turns,
       sum(duration_ms) AS duration_ms
  FROM daily GROUP BY day, agent;

-- How many of them needed the fallback.
CREATE VIEW fallback_share AS
SELECT day, agent, sum(calls) AS calls, sum(with_fallback) AS with_fallback,
       CAST(sum(with_fallback) AS REAL) / sum(calls) AS share, sum(fallback_ms) AS fallback_ms
  FROM daily GROUP BY day, agent;

-- How long the agent took to answer, by live model: so many of a hundred answers took no longer.
CREATE VIEW latency_percentiles AS
SELECT model, max(total) AS answers,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 50) AS p50_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 90) AS p90_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 95) AS p95_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 99) AS p99_ms
  FROM (SELECT model, latency_ms, sum(sum(answers)) OVER (PARTITION BY model ORDER BY latency_ms) AS running,
               sum(sum(answers)) OVER (PARTITION BY model) AS total
          FROM daily_latencies GROUP BY model, latency_ms) AS histogram
 GROUP BY model;

-- Calls by the longest stretch in which the caller heard nothing, the worst first.
CREATE VIEW longest_dead_air AS
SELECT call_id, call_sid, agent, business_id, started_at, dead_air_max_ms, cover_ms, had_fallback
  FROM calls WHERE dead_air_max_ms IS NOT NULL ORDER BY dead_air_max_ms DESC;

-- Calls that ended otherwise than by the caller or an operator, the newest first.
CREATE VIEW failed_calls AS
SELECT call_id, call_sid, agent, business_id, started_at, ended_at, ending, cause, ending_text
  FROM calls WHERE failed = 1 ORDER BY started_at DESC;

-- What the tokens of a call cost, for models that have a price. Thoughts cost what responses do.
CREATE VIEW call_costs AS
SELECT call_id, call_sid, agent, business_id, model, started_at, prompt_tokens, response_tokens, thoughts_tokens,
       (prompt_tokens * prompt_usd_per_million
           + (response_tokens + thoughts_tokens) * response_usd_per_million) / 1e6 AS cost_usd
  FROM calls JOIN prices USING (model)
 WHERE prompt_tokens IS NOT NULL;
