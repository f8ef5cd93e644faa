//! The call log in Postgres against what the carrier saw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, FromRow, PgConnection, SqliteConnection};

use crate::callers::{QUESTION, Seen};
use crate::model::{ANSWER, LENGTH};
use crate::program::Program;

/// What Postgres has of a call.
#[derive(Debug, FromRow)]
struct Row {
    call_id: String,
    call_sid: String,
    caller: String,
    ending: Option<String>,
    /// Entries that the call has in all, by its last one.
    records: Option<i32>,
    answered: i32,
    turns: i64,
    events: i64,
    /// Numbers of its turns and events: how many different ones, the first and the last.
    numbers: i64,
    first: Option<i32>,
    last: Option<i32>,
    annotations: i64,
}

const CALLS: &str = "
SELECT call_id::text AS call_id, call_sid, caller, ending, records, (answered_at IS NOT NULL)::integer AS answered,
       (SELECT count(*) FROM turns WHERE turns.call_id = calls.call_id) AS turns,
       (SELECT count(*) FROM events WHERE events.call_id = calls.call_id) AS events,
       coalesce(numbers, 0) AS numbers, first, last,
       (SELECT count(*) FROM annotations WHERE annotations.call_sid = calls.call_sid) AS annotations
  FROM calls
  LEFT JOIN (SELECT call_id, count(DISTINCT sequence) AS numbers, min(sequence) AS first, max(sequence) AS last
               FROM (SELECT call_id, sequence FROM turns UNION ALL SELECT call_id, sequence FROM events) AS entries
              GROUP BY call_id) AS numbered USING (call_id)";

/// What the daily sums have, and what they should have.
const SUMS: &str = "
SELECT ARRAY[(SELECT coalesce(sum(calls), 0) FROM daily), (SELECT coalesce(sum(answered), 0) FROM daily),
             (SELECT coalesce(sum(failed), 0) FROM daily), (SELECT coalesce(sum(turns), 0) FROM daily),
             (SELECT coalesce(sum(answers), 0) FROM daily_latencies),
             (SELECT coalesce(sum(answers), 0) FROM monthly_latencies),
             (SELECT coalesce(sum(calls), 0) FROM daily_failures)]::bigint[] AS sums,
       ARRAY[(SELECT count(*) FROM calls WHERE ended_at IS NOT NULL), (SELECT count(answered_at) FROM calls),
             (SELECT count(*) FROM calls WHERE failed), (SELECT count(*) FROM turns),
             (SELECT count(latency_ms) FROM turns), (SELECT count(latency_ms) FROM turns),
             (SELECT count(*) FROM calls WHERE failed)]::bigint[] AS counts";

/// What was said in a call, in order.
#[derive(Debug, FromRow)]
struct Said {
    call_id: String,
    speaker: String,
    text: String,
}

/// What the carrier told this long before the server was killed is in the log. It gets no answer to a `stop`: for less
/// than this nobody can know.
const RECORDED: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) calls: usize,
    /// Rows of all tables.
    pub(crate) rows: i64,
    pub(crate) endings: BTreeMap<String, usize>,
    /// Calls in the log whose webhook was never answered.
    pub(crate) unanswered: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) wrong: Vec<String>,
}

/// Compares the log with what the carrier saw; `kills` are the moments at which the server was killed.
pub(crate) async fn audit(url: &str, program: &Program, seen: &[Seen], kills: &[Instant]) -> Findings {
    let mut postgres = PgConnection::connect(url).await.unwrap();
    let rows: Vec<Row> = sqlx::query_as(CALLS).fetch_all(&mut postgres).await.unwrap();
    let mut findings = Findings { calls: rows.len(), ..Findings::default() };
    let said = "SELECT call_id::text AS call_id, speaker, text FROM turns ORDER BY call_id, sequence";
    let said: Vec<Said> = sqlx::query_as(said).fetch_all(&mut postgres).await.unwrap();
    let mut by_sid = BTreeMap::<&str, Vec<&Row>>::new();
    for row in &rows {
        findings.count(row);
        findings.check_entries(row);
        by_sid.entry(&row.call_sid).or_default().push(row);
    }
    for call in seen.iter().filter(|call| call.is_admitted()) {
        match by_sid.remove(call.call_sid()).unwrap_or_default()[..] {
            [] => findings.lost.push(format!("call {}:\n{}", call.call_sid(), call.report)),
            [row] => {
                findings.check_call(row, call, kills);
                let said = said.iter().filter(|said| said.call_id == row.call_id);
                findings.check_turns(&said.collect::<Vec<_>>(), call);
            }
            [_, _, ..] => findings.doubled.push(format!("call {}", call.call_sid())),
        }
    }
    findings.check_rest(&by_sid, seen);
    findings.check_sums(&mut postgres).await;
    findings.check_journal(program).await;
    findings
}

impl Findings {
    pub(crate) fn assert_clean(&self, program: &Program) {
        let is_clean = self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty();
        assert!(is_clean, "{self:#?}\n{}", program.complaints());
    }

    fn count(&mut self, row: &Row) {
        self.rows += 1 + row.turns + row.events + row.annotations;
        let ending = row.ending.clone().unwrap_or_else(|| "none".to_owned());
        *self.endings.entry(ending).or_default() += 1;
    }

    /// Every number up to the last once: the first is the call, the last its end, one is the answer.
    fn check_entries(&mut self, row: &Row) {
        let Some(records) = row.records.filter(|_| row.ending.is_some()) else {
            return self.lost.push(format!("the end of {row:?}"));
        };
        let there = 2 + i64::from(row.answered) + row.turns + row.events;
        if there < i64::from(records) {
            self.lost.push(format!("entries of {row:?}"));
        }
        if there > i64::from(records) || row.numbers < row.turns + row.events {
            self.doubled.push(format!("entries of {row:?}"));
        }
        if row.first.is_some_and(|first| first < 1) || row.last.is_some_and(|last| last > records - 2) {
            self.wrong.push(format!("the numbers of {row:?}"));
        }
    }

    fn check_call(&mut self, row: &Row, call: &Seen, kills: &[Instant]) {
        let is_killed = |from, until| kills.iter().any(|kill| (from..=until).contains(kill));
        let ending = row.ending.as_deref().unwrap_or_default();
        let died_beside = is_killed(call.placed, call.over);
        let is_right = match call.hung_up_at() {
            Some(at) if is_killed(at, at + RECORDED) => matches!(ending, "caller_hung_up" | "process_died"),
            Some(_) => ending == "caller_hung_up",
            None => died_beside && ending == "process_died",
        };
        if !is_right || row.caller != call.report.caller.from {
            self.wrong.push(format!("{row:?} is of\n{}", call.report));
        }
        if !is_killed(call.placed, call.over + RECORDED) && row.annotations < call.callbacks() {
            self.lost.push(format!("annotations of {row:?}:\n{}", call.report));
        }
    }

    /// What the caller heard to its end was said, and was said to a question. Nothing else was said.
    fn check_turns(&mut self, said: &[&Said], call: &Seen) {
        if call.hung_up_at().is_none() {
            return;
        }
        let words = |speaker: &str| -> Vec<&str> {
            said.iter().filter(|said| said.speaker == speaker).map(|said| said.text.as_str()).collect()
        };
        let (questions, answers) = (words("caller"), words("agent"));
        let heard = whole_answers(call.report.audio.heard_s);
        if questions.len() < heard || answers.len() < heard {
            self.lost.push(format!("turns of {}, who heard {heard} answers: {said:?}", call.call_sid()));
        }
        // Who hangs up or asks again in the middle of an answer has heard its beginning.
        let is_said = questions.iter().all(|text| *text == QUESTION)
            && answers.iter().all(|text| ANSWER.starts_with(text));
        if !is_said || questions.len() > 2 || answers.len() > 2 {
            self.wrong.push(format!("turns of {}: {said:?}", call.call_sid()));
        }
    }

    /// Calls that the carrier was not told to connect: it placed them, and the server died before it could answer.
    fn check_rest(&mut self, rest: &BTreeMap<&str, Vec<&Row>>, seen: &[Seen]) {
        let placed: BTreeSet<&str> = seen.iter().map(Seen::call_sid).collect();
        for (call_sid, rows) in rest {
            self.unanswered += 1;
            let died = |row: &&Row| row.ending.as_deref() == Some("process_died");
            if rows.len() > 1 || !placed.contains(call_sid) || !rows.iter().all(died) {
                self.wrong.push(format!("nobody placed {rows:?}"));
            }
        }
    }

    async fn check_sums(&mut self, postgres: &mut PgConnection) {
        let (sums, counts): (Vec<i64>, Vec<i64>) = sqlx::query_as(SUMS).fetch_one(postgres).await.unwrap();
        if sums != counts {
            self.wrong.push(format!("daily sums {sums:?} of {counts:?}"));
        }
    }

    async fn check_journal(&mut self, program: &Program) {
        let mut journal = SqliteConnection::connect(&program.journal().to_string_lossy()).await.unwrap();
        let aside: Vec<(String, String)> =
            sqlx::query_as("SELECT row, reason FROM journal_refused").fetch_all(&mut journal).await.unwrap();
        self.wrong.extend(aside.iter().map(|(row, reason)| format!("{row} was refused: {reason}")));
        let open: Vec<(String,)> =
            sqlx::query_as("SELECT call_id FROM open_calls").fetch_all(&mut journal).await.unwrap();
        self.wrong.extend(open.iter().map(|(call_id,)| format!("{call_id} was left open")));
    }
}

/// Answers in so many seconds of sound; a frame may be missing at the end of each.
fn whole_answers(heard_s: f64) -> usize {
    (heard_s / LENGTH.as_secs_f64() + 0.05) as usize
}

/// Whether Postgres has everything that the journal has.
pub(crate) async fn is_shipped(url: &str, program: &Program) -> bool {
    let Ok(mut postgres) = PgConnection::connect(url).await else { return false };
    let there = sqlx::query_scalar::<_, i64>("SELECT coalesce(max(position), 0) FROM journals");
    let there = there.fetch_one(&mut postgres).await.unwrap_or(0);
    let mut journal = SqliteConnection::connect(&program.journal().to_string_lossy()).await.unwrap();
    let here = sqlx::query_scalar::<_, i64>("SELECT coalesce(max(position), 0) FROM journal");
    there >= here.fetch_one(&mut journal).await.unwrap()
}
