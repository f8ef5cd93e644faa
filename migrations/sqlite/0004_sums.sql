-- Questions to the whole log take as long as it has months and agents, and not as it has calls.

-- Failed calls by the day (UTC) on which they began, and how and why they ended. No cause: the ending says it.
CREATE TABLE daily_failures (
    day         TEXT NOT NULL,
    agent       TEXT NOT NULL,
    business_id TEXT NOT NULL,
    ending      TEXT NOT NULL,
    cause       TEXT NOT NULL,
    calls       INTEGER NOT NULL,
    newest_at   TEXT NOT NULL,
    PRIMARY KEY (day, agent, business_id, ending, cause)
) STRICT, WITHOUT ROWID;
INSERT INTO daily_failures
SELECT substr(started_at, 1, 10), substr(agent, 1, 200), substr(business_id, 1, 200), ending,
       coalesce(substr(cause, 1, 200), ''), count(*), max(started_at)
  FROM calls WHERE failed = 1 AND ending IS NOT NULL GROUP BY 1, 2, 3, 4, 5;
DROP INDEX calls_by_failure;

-- daily_latencies by the month, whose first day it is.
CREATE TABLE monthly_latencies (
    month       TEXT NOT NULL,
    agent       TEXT NOT NULL,
    business_id TEXT NOT NULL,
    model       TEXT NOT NULL,
    latency_ms  INTEGER NOT NULL,
    answers     INTEGER NOT NULL,
    PRIMARY KEY (month, agent, business_id, model, latency_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO monthly_latencies
SELECT substr(day, 1, 8) || '01', agent, business_id, model, latency_ms, sum(answers)
  FROM daily_latencies GROUP BY 1, 2, 3, 4, 5;

DROP VIEW latency_percentiles;
CREATE VIEW latency_percentiles AS
SELECT model, max(total) AS answers,
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
CREATE INDEX calls_by_agent_dead_air ON calls (agent, dead_air_max_ms, call_id) WHERE dead_air_max_ms IS NOT NULL;
CREATE INDEX calls_by_business_dead_air ON calls (business_id, dead_air_max_ms, call_id)
    WHERE dead_air_max_ms IS NOT NULL;
