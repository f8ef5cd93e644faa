-- Questions to the whole log take as long as it has months and agents, and not as it has calls.

CREATE TABLE daily_failures (
    day         date        NOT NULL,
    agent       text        NOT NULL,
    business_id text        NOT NULL,
    ending      text        NOT NULL,
    cause       text        NOT NULL,
    calls       bigint      NOT NULL,
    newest_at   timestamptz NOT NULL,
    PRIMARY KEY (day, agent, business_id, ending, cause)
);
INSERT INTO daily_failures
SELECT (started_at AT TIME ZONE 'UTC')::date, left(agent, 200), left(business_id, 200), ending,
       coalesce(left(cause, 200), ''), count(*), max(started_at)
  FROM calls WHERE failed AND ending IS NOT NULL GROUP BY 1, 2, 3, 4, 5;
DROP INDEX calls_by_failure;

COMMENT ON TABLE daily_failures IS 'Failed calls by the day (UTC) on which they began. Stays when calls are erased or deleted.';
COMMENT ON COLUMN daily_failures.ending IS 'How they ended, as in calls.';
COMMENT ON COLUMN daily_failures.cause IS 'Who failed and how, as in calls; empty: the ending says it.';
COMMENT ON COLUMN daily_failures.newest_at IS 'When the last of them began.';

CREATE TABLE monthly_latencies (
    month       date   NOT NULL,
    agent       text   NOT NULL,
    business_id text   NOT NULL,
    model       text   NOT NULL,
    latency_ms  bigint NOT NULL,
    answers     bigint NOT NULL,
    PRIMARY KEY (month, agent, business_id, model, latency_ms)
);
INSERT INTO monthly_latencies
SELECT date_trunc('month', day)::date, agent, business_id, model, latency_ms, sum(answers)
  FROM daily_latencies GROUP BY 1, 2, 3, 4, 5;

COMMENT ON TABLE monthly_latencies IS 'daily_latencies by the month (UTC).';
COMMENT ON COLUMN monthly_latencies.month IS 'Its first day.';

CREATE OR REPLACE VIEW latency_percentiles AS
SELECT model, max(total)::bigint AS answers,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 50) AS p50_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 90) AS p90_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 95) AS p95_ms,
       min(latency_ms) FILTER (WHERE running * 100 >= total * 99) AS p99_ms
  FROM (SELECT model, latency_ms, sum(sum(answers)) OVER (PARTITION BY model ORDER BY latency_ms) AS running,
               sum(sum(answers)) OVER (PARTITION BY model) AS total
          FROM monthly_latencies GROUP BY model, latency_ms) AS histogram
 GROUP BY model;

-- The longest waits of all, of an agent and of a business.
DROP INDEX calls_by_dead_air;
CREATE INDEX calls_by_dead_air ON calls (dead_air_max_ms, call_id) WHERE dead_air_max_ms IS NOT NULL;
CREATE INDEX calls_by_agent_dead_air ON calls (left(agent, 64), dead_air_max_ms, call_id)
    WHERE dead_air_max_ms IS NOT NULL;
CREATE INDEX calls_by_business_dead_air ON calls (left(business_id, 64), dead_air_max_ms, call_id)
    WHERE dead_air_max_ms IS NOT NULL;
