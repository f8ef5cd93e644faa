//! Calls in which words were said.
//!
//! Every word must be in one and the same turn. A common word is found quickly by reading the newest calls, a rare
//! one by the index: each database is asked in the way that is quick for both.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::cursor::Cursor;
use super::error::Error;
use super::filter::{Filter, Invalid};
use super::list::{Position, newest, positions};
use super::session::Session;
use super::sql::{Dialect, Sql, Value};
use crate::store::words::{folded, fts, is_part, wanted, words};

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    word: String,
    is_prefix: bool,
}

/// A sentence; each word costs a look into the index.
pub(super) const TERMS_MAX: usize = 16;

/// A shorter beginning has too many endings.
const PREFIX_CHARS_MIN: usize = 2;

impl Words {
    /// Words in any order; `book*` stands for every word that begins like that.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = folded(text);
        let mut terms: Vec<Term> = Vec::new();
        let mut pairs: Vec<Term> = Vec::new();
        let exact = |word: String| Term { word, is_prefix: false };
        let mut parts = text.split('*').peekable();
        while let Some(part) = parts.next() {
            let (before, last) = part
                .char_indices()
                .rev()
                .find(|(_, c)| !is_part(*c))
                .map_or(("", part), |(at, c)| part.split_at(at + c.len_utf8()));
            let is_starred = parts.peek().is_some();
            let (before, last) = (wanted(before), wanted(last));
            let is_one = last.words.len() == 1 && last.pairs.is_empty();
            let is_prefix = |word: &str| is_starred && is_one && word.chars().count() >= PREFIX_CHARS_MIN;
            terms.extend(before.words.into_iter().map(exact));
            terms.extend(last.words.into_iter().map(|word| Term { is_prefix: is_prefix(&word), word }));
            pairs.extend(before.pairs.into_iter().chain(last.pairs).map(exact));
        }
        sort(&mut terms);
        sort(&mut pairs);
        if terms.len() > TERMS_MAX {
            return Err(Invalid::TooManyWords);
        }
        pairs.truncate(TERMS_MAX - terms.len());
        terms.extend(pairs);
        if terms.is_empty() { Err(Invalid::NoWords) } else { Ok(Self(terms)) }
    }

    /// Whether all of them are in this text.
    fn are_in(&self, text: &str) -> bool {
        let said = words(text);
        self.0.iter().all(|Term { word, is_prefix }| {
            let at = said.partition_point(|other| other < word);
            said.get(at).is_some_and(|other| other == word || (*is_prefix && other.starts_with(word)))
        })
    }

    /// For FTS5 (<https://sqlite.org/fts5.html#full_text_query_syntax>). Words have letters and digits alone.
    fn to_fts(&self) -> Value {
        let terms = self.0.iter().map(|Term { word, is_prefix }| {
            if !is_prefix {
                return format!("\"{}\"", fts(word));
            }
            // A word with this beginning may go on with a letter for which it is encoded as a whole.
            let encoded = word.bytes().fold("\u{e000}".to_owned(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            if word.is_ascii() {
                format!("(\"{word}\" * OR \"{encoded}\" *)")
            } else {
                format!("\"{encoded}\" *")
            }
        });
        Value::Match(terms.collect::<Vec<_>>().join(" AND "))
    }

    /// For Postgres (<https://www.postgresql.org/docs/current/datatype-textsearch.html>).
    fn to_tsquery(&self) -> Value {
        let terms = self
            .0
            .iter()
            .map(|Term { word, is_prefix }| format!("'{word}'{}", if *is_prefix { ":*" } else { "" }));
        Value::Match(terms.collect::<Vec<_>>().join(" & "))
    }
}

fn sort(terms: &mut Vec<Term>) {
    terms.sort_by(|a, b| (&a.word, a.is_prefix).cmp(&(&b.word, b.is_prefix)));
    terms.dedup();
}

/// The newest `limit` calls after a place that a filter with words lets through.
pub(super) async fn find(
    session: &mut Session,
    filter: &Filter,
    words: &Words,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<Position>, Error> {
    let asked = Asked { filter, words, limit };
    match session.dialect() {
        Dialect::Sqlite => asked.in_sqlite(session, after).await,
        Dialect::Postgres => asked.in_postgres(session, after).await,
    }
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    filter: &'a Filter,
    words: &'a Words,
    limit: usize,
}

/// Turns that the index may give to be looked up one by one, at ten microseconds each. Words in more turns of
/// ten million are in so many calls that a page of them is among some hundred.
const RARE_TURNS: i64 = 10_000;

/// Calls whose turns are read at once, and how many more the next time.
const STEP: usize = 100;
const STEP_FACTOR: usize = 3;

/// Calls that are read before the index is asked after all.
const READ_MAX: usize = 20_000;

/// Calls that Postgres looks through for a word before it asks the index.
const WINDOW: usize = 2000;

impl Asked<'_> {
    async fn in_sqlite(self, session: &mut Session, after: Option<Cursor>) -> Result<Vec<Position>, Error> {
        let mut count = session.sql("SELECT count(*) FROM (SELECT 1 FROM turn_words WHERE turn_words MATCH ");
        count.bind(self.words.to_fts()).text(" LIMIT ").bind(Value::Integer(RARE_TURNS + 1)).text(")");
        if session.number(&count).await? <= RARE_TURNS {
            return self.by_index(session, after).await;
        }
        let (mut found, mut place, mut step) = (Vec::new(), after, STEP);
        while step <= READ_MAX {
            let window = positions(session, self.filter, place, step).await?;
            found.extend(self.read(session, place, &window).await?);
            if found.len() >= self.limit || window.len() < step {
                found.truncate(self.limit);
                return Ok(found);
            }
            place = window.last().map(Position::cursor).transpose()?;
            step *= STEP_FACTOR;
        }
        self.by_index(session, after).await
    }

    /// Those of the calls that say the words.
    async fn read(
        self,
        session: &mut Session,
        after: Option<Cursor>,
        window: &[Position],
    ) -> Result<Vec<Position>, Error> {
        let mut sql = session.sql("SELECT turns.call_id, turns.text FROM (");
        newest(&mut sql, self.filter, after, window.len());
        sql.text(") AS newest CROSS JOIN turns ON turns.call_id = newest.call_id");
        let turns: Vec<(String, String)> = session.all(&sql).await?;
        let hits = turns.iter().filter(|(_, text)| self.words.are_in(text));
        let hits: BTreeSet<_> = hits.map(|(call_id, _)| call_id.as_str()).collect();
        Ok(window.iter().filter(|position| hits.contains(position.call_id.as_str())).cloned().collect())
    }

    /// Turns that Postgres expects to have the words. Its index for words cannot stop early: counting them costs as
    /// much as finding them.
    async fn expected(self, session: &mut Session) -> Result<i64, Error> {
        let mut sql = session.sql("EXPLAIN SELECT 1 FROM turns WHERE turns.words @@ ");
        sql.bind(self.words.to_tsquery()).text("::tsquery");
        let plan: Option<(String,)> = session.first(&sql).await?;
        Ok(plan.and_then(|(line,)| rows(&line)).unwrap_or(i64::MAX))
    }

    async fn in_postgres(self, session: &mut Session, after: Option<Cursor>) -> Result<Vec<Position>, Error> {
        if self.expected(session).await? <= RARE_TURNS {
            return self.by_index(session, after).await;
        }
        let mut sql = session.sql("SELECT call_id::text, started_at FROM (");
        newest(&mut sql, self.filter, after, WINDOW);
        // A subquery that gives a value is run for one call after the other, until there are enough.
        sql.text(
            ") AS newest WHERE (SELECT true FROM turns WHERE turns.call_id = newest.call_id AND turns.words @@ ",
        );
        sql.bind(self.words.to_tsquery());
        sql.text("::tsquery LIMIT 1) ORDER BY started_at DESC, newest.call_id DESC LIMIT ");
        sql.bind(Value::Integer(self.limit as i64));
        let found: Vec<Position> = session.all(&sql).await?;
        if found.len() >= self.limit {
            return Ok(found);
        }
        self.by_index(session, after).await
    }

    async fn by_index(self, session: &mut Session, after: Option<Cursor>) -> Result<Vec<Position>, Error> {
        let mut sql = session.sql("");
        self.hits(&mut sql);
        sql.either(
            "SELECT calls.call_id, calls.started_at FROM hits CROSS JOIN calls ON calls.call_id = hits.call_id",
            // Looked up one by one: no plan goes through all calls for some of them.
            "SELECT calls.call_id::text, calls.started_at FROM hits CROSS JOIN LATERAL
                 (SELECT calls.* FROM calls WHERE calls.call_id = hits.call_id OFFSET 0) AS calls",
        );
        sql.text(" WHERE ").either("1", "true");
        self.filter.conditions(&mut sql);
        if let Some(number) = &self.filter.number {
            sql.text(" AND (calls.caller").listed(number.texts().iter().cloned());
            sql.text(" OR calls.dialled").listed(number.texts().iter().cloned()).text(")");
        }
        super::list::below(&mut sql, after);
        sql.text(" ORDER BY calls.started_at DESC, calls.call_id DESC LIMIT ");
        sql.bind(Value::Integer(self.limit as i64));
        session.all(&sql).await
    }

    /// Calls with the words, all of them, found first.
    fn hits(self, sql: &mut Sql) {
        sql.text("WITH hits AS MATERIALIZED (SELECT DISTINCT turns.call_id FROM ");
        sql.either(
            "turn_words CROSS JOIN turns ON turns.turn_id = turn_words.rowid WHERE turn_words MATCH ",
            "turns WHERE turns.words @@ ",
        );
        sql.bind(match sql.dialect() {
            Dialect::Sqlite => self.words.to_fts(),
            Dialect::Postgres => self.words.to_tsquery(),
        });
        sql.either(") ", "::tsquery) ");
    }
}

/// Rows that the first line of a plan expects
/// (<https://www.postgresql.org/docs/current/using-explain.html>).
fn rows(line: &str) -> Option<i64> {
    let (_, rows) = line.split_once("rows=")?;
    rows.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Refund please", "'please' & 'refund'", "\"please\" AND \"refund\"")]
    #[case("book*", "'book':*", "(\"book\" * OR \"\u{e000}626f6f6b\" *)")]
    #[case("größ* x", "'gröss':* & 'x'", "\"\u{e000}6772c3b67373\" * AND \"x\"")]
    #[case("gro\u{308}ß*", "'gröss':*", "\"\u{e000}6772c3b67373\" *")]
    #[case("แฟ*", "'แฟ'", "\"\u{e000}e0b981e0b89f\"")]
    #[case("a*", "'a'", "\"a\"")]
    #[case("don't*", "'don' & 't'", "\"don\" AND \"t\"")]
    #[case("日本*", "'日' & '本'", "\"\u{e000}e697a5\" AND \"\u{e000}e69cac\"")]
    #[case("') OR 1=1 --", "'1' & 'or'", "\"1\" AND \"or\"")]
    #[case(
        "NOT \"x\" NEAR(y, 2)*",
        "'2' & 'near' & 'not' & 'x' & 'y'",
        "\"2\" AND \"near\" AND \"not\" AND \"x\" AND \"y\""
    )]
    fn words_become_a_search_in_either_language(
        #[case] text: &str,
        #[case] tsquery: &str,
        #[case] match_: &str,
    ) {
        let words = Words::parse(text).unwrap();
        let texts = [words.to_tsquery(), words.to_fts()].map(|value| {
            let Value::Match(text) = value else { panic!("{value:?}") };
            text
        });
        assert_eq!(texts, [tsquery, match_]);
    }

    #[rstest]
    #[case("refund", "I want a REFUND.", true)]
    #[case("refund", "refunds", false)]
    #[case("refund*", "refunds", true)]
    #[case("ref* want", "I want a refund", true)]
    #[case("ref* wish", "I want a refund", false)]
    #[case("caf*", "Café", true)]
    #[case("本", "日本", true)]
    #[case("GRÖSSE", "die größe", true)]
    #[case("โต๊ะ", "ผมอยากจองโต๊ะสำหรับสองคน", true)]
    #[case("ร้าน", "ผมอยากจองโต๊ะสำหรับสองคน", false)]
    fn a_text_has_all_the_words_or_not(#[case] search: &str, #[case] text: &str, #[case] is_hit: bool) {
        assert_eq!(Words::parse(search).unwrap().are_in(text), is_hit);
    }

    #[rstest]
    #[case("Bitmap Heap Scan on turns  (cost=36.75..207.13 rows=100 width=4)", Some(100))]
    #[case("Gather  (cost=1000.00..217018.43 rows=5000000 width=4)", Some(5_000_000))]
    #[case("", None)]
    #[case("Result", None)]
    fn a_plan_says_how_many_rows_it_expects(#[case] line: &str, #[case] expected: Option<i64>) {
        assert_eq!(rows(line), expected);
    }

    #[test]
    fn too_many_words_are_refused() {
        let text: String = (0..=TERMS_MAX).map(|n| format!("w{n} ")).collect();
        assert_eq!(Words::parse(&text), Err(Invalid::TooManyWords));
    }
}
