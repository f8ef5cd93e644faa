-- Views of what is often asked, with the names and columns that they have in SQLite too.

ALTER TABLE calls ADD COLUMN cause text GENERATED ALWAYS AS (
    coalesce(ending_detail #>> '{cause,job}', ending_detail #>> '{cause,of}')
        || '.' || (ending_detail #>> '{cause,cause,failure}')
) STORED;
CREATE INDEX calls_by_failure ON calls (started_at, ending, cause) WHERE failed;

COMMENT ON COLUMN calls.cause IS 'Who failed and how, where the ending was a consequence of it: live.closed, think.stalled.';

CREATE VIEW calls_per_day AS
SELECT day, agent, sum(calls)::bigint AS calls, sum(answered)::bigint AS answered, sum(failed)::bigint AS failed,
       sum(turns)::bigint AS turns, sum(duration_ms)::bigint AS duration_ms
  FROM daily GROUP BY day, agent;

COMMENT ON VIEW calls_per_day IS 'Ended calls by the day (UTC) on which they began, and agent.';

CREATE VIEW fallback_share AS
SELECT day, agent, sum(calls)::bigint AS calls, sum(with_fallback)::bigint AS with_fallback,
       sum(with_fallback)::double precision / sum(calls)::double precision AS share,
       sum(fallback_ms)::bigint AS fallback_ms
  FROM daily GROUP BY day, agent;

COMMENT ON VIEW fallback_share IS 'How many of the calls of a day and agent needed the fallback.';

CREATE VIEW latency_percentiles AS
SELECT model, max(total)::bigint AS answers,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 50) AS p50_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 90) AS p90_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 95) AS p95_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 99) AS p99_ms
  FROM (SELECT model, latency_ms, sum(sum(answers)) OVER (PARTITION BY model ORDER BY latency_ms) AS running,
               sum(sum(answers)) OVER (PARTITION BY model) AS total
          FROM daily_latencies GROUP BY model, latency_ms) AS histogram
 GROUP BY model;

COMMENT ON VIEW latency_percentiles IS 'How long the agent took to answer, by live model: so many of a hundred answers took no longer.';

CREATE VIEW longest_dead_air AS
SELECT call_id, call_sid, agent, business_id, started_at, dead_air_max_ms, cover_ms, had_fallback
  FROM calls WHERE dead_air_max_ms IS NOT NULL ORDER BY dead_air_max_ms DESC;

COMMENT ON VIEW longest_dead_air IS 'Calls by the longest stretch in which the caller heard nothing, the worst first.';

CREATE VIEW failed_calls AS
SELECT call_id, call_sid, agent, business_id, started_at, ended_at, ending, cause, ending_text
  FROM calls WHERE failed ORDER BY started_at DESC;

COMMENT ON VIEW failed_calls IS 'Calls that ended otherwise than by the caller or an operator, the newest first.';

CREATE VIEW call_costs AS
SELECT call_id, call_sid, agent, business_id, model, started_at, prompt_tokens, response_tokens, thoughts_tokens,
       (prompt_tokens * prompt_usd_per_million
           + (response_tokens + thoughts_tokens) * response_usd_per_million) / 1e6::double precision AS cost_usd
  FROM calls JOIN prices USING (model)
 WHERE prompt_tokens IS NOT NULL;

COMMENT ON VIEW call_costs IS 'What the tokens of a call cost, for models that have a price. Thoughts cost what responses do.';
