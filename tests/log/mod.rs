//! Call logs with known calls in them, in either database.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use patchcord::call::context::{Context, Direction};
use patchcord::call::record::{
    Annotation, AudioTotals, Cause, Ending, Entry, Event, Ledger, Record, Rung, Turn,
};
use patchcord::carrier::FollowUp;
use patchcord::dialogue::Speaker;
use patchcord::id::{CallId, LinkId};
use patchcord::job::{self, Bill};
use patchcord::live::failure::Failure;
use patchcord::live::{Details, Modalities, Usage};
use patchcord::secret::Secret;
use patchcord::store::postgres::Target;
use patchcord::store::query::{CallPage, Filter, Page, Query, Source};
use patchcord::store::{Config, Store};
use patchcord::time::WallClock;
use sqlx::Connection as _;
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration as Span, OffsetDateTime};
use uuid::Uuid;

use crate::postgres::{Database, PATIENCE};

pub(crate) const START: OffsetDateTime = datetime!(2026-11-20 23:00 UTC);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// An empty log of its own.
pub(crate) struct Log {
    folder: TempDir,
    database: Option<Database>,
}

impl Log {
    pub(crate) async fn new(kind: Kind) -> Self {
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Database::create().await),
        };
        let log = Self { folder: TempDir::new().unwrap(), database };
        log.fill(&[]).await;
        log
    }

    /// A log with these calls.
    pub(crate) async fn with(kind: Kind, calls: &[Call]) -> Self {
        let log = Self::new(kind).await;
        log.fill(calls).await;
        log
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("calls.db")
    }

    pub(crate) fn url(&self) -> Option<&str> {
        self.database.as_ref().map(Database::url)
    }

    pub(crate) fn source(&self) -> Source {
        match self.url() {
            Some(url) => Source::Postgres(Secret::new(url)),
            None => Source::Sqlite(self.path()),
        }
    }

    pub(crate) async fn query(&self) -> Query {
        Query::open(self.source()).await.unwrap()
    }

    /// Writes calls as the server does, and waits until they can be read.
    pub(crate) async fn fill(&self, calls: &[Call]) {
        let config = Config { path: self.path(), free_bytes_min: 0, keep_shipped_hours: u32::MAX };
        let target = self.url().map(|url| Target::parse(&Secret::new(url)).unwrap());
        let store = Store::open_with(&config, target).await.unwrap();
        calls.iter().flat_map(Call::entries).for_each(|entry| store.handle().append(entry));
        let marker = Uuid::new_v4().to_string();
        store.handle().annotate(annotation(&marker));
        store.handle().settled(PATIENCE).await;
        if let Some(database) = &self.database {
            let shipped = async {
                let mut connection = database.connect().await;
                while !is_shipped(&mut connection, &marker).await {}
                connection.close().await.unwrap();
            };
            tokio::time::timeout(PATIENCE, shipped).await.unwrap();
        }
        store.close().await.unwrap();
    }

    /// The rows of a question that both databases understand.
    pub(crate) async fn ask<T>(&self, question: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
            + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
            + Send
            + Unpin,
    {
        match &self.database {
            Some(database) => {
                let mut connection = database.connect().await;
                sqlx::query_as(question).fetch_all(&mut connection).await.unwrap()
            }
            None => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.path());
                let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
                sqlx::query_as(question).fetch_all(&mut connection).await.unwrap()
            }
        }
    }

    /// Runs a statement that both databases understand.
    pub(crate) async fn run(&self, statement: &'static str) {
        match &self.database {
            Some(database) => {
                let mut connection = database.connect().await;
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
            None => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.path());
                let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
        }
    }
}

/// Until the tables are made there is an error.
async fn is_shipped(connection: &mut sqlx::PgConnection, marker: &str) -> bool {
    let found = sqlx::query("SELECT 1 FROM annotations WHERE call_sid = $1").bind(marker);
    found.fetch_optional(connection).await.is_ok_and(|row| row.is_some())
}

fn annotation(call_sid: &str) -> Annotation {
    Annotation {
        call_sid: call_sid.to_owned(),
        key: "completed".to_owned(),
        at: START,
        kind: "call_status",
        detail: vec![("CallStatus".to_owned(), "completed".to_owned())],
    }
}

/// A call of one minute that begins so many minutes after [`START`].
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) minute: u32,
    pub(crate) agent: String,
    pub(crate) business: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Caller, agent, caller, …
    pub(crate) said: Vec<String>,
    pub(crate) latency_ms: u64,
    pub(crate) dead_air_ms: u64,
    pub(crate) had_fallback: bool,
    /// And it answered.
    pub(crate) has_fallback_answer: bool,
    /// `None`: it goes on.
    pub(crate) ending: Option<Ending>,
}

impl Call {
    pub(crate) fn new(number: u32, minute: u32) -> Self {
        Self {
            number,
            minute,
            agent: "reception".to_owned(),
            business: "acme".to_owned(),
            from: "+14155550123".to_owned(),
            to: "+14155550199".to_owned(),
            said: vec!["Hello?".to_owned(), "Good morning.".to_owned()],
            latency_ms: 640,
            dead_air_ms: 500,
            had_fallback: false,
            has_fallback_answer: false,
            ending: Some(Ending::CallerHungUp),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.call().to_string()
    }

    pub(crate) fn sid(&self) -> String {
        format!("CA{:032}", self.number)
    }

    fn call(&self) -> CallId {
        CallId::new(u128::from(self.number))
    }

    fn started_at(&self) -> OffsetDateTime {
        START + Span::minutes(i64::from(self.minute)) + Span::microseconds(1_234)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let origin = Instant::now();
        let mut ledger = Ledger::new(self.call(), WallClock::new(origin, self.started_at()));
        let mut entries = Vec::new();
        let mut push = |ms, record| entries.push(ledger.entry(record, origin + Duration::from_millis(ms)));
        push(0, Record::Opened(Box::new(self.context())));
        let parameters = vec![("room".to_owned(), "7".to_owned())];
        push(500, Record::Answered { stream_sid: format!("MZ{}", self.number), parameters });
        let ready = Event::LiveReady {
            link: LinkId(0),
            plan: "fresh",
            setup_ms: 210,
            gap_ms: None,
            session_id: None,
        };
        push(510, Record::Event(ready));
        for (index, text) in self.said.iter().enumerate() {
            push(2000 + index as u64 * 1000, self.turn(index, text));
        }
        let usage = Usage {
            prompt_tokens: 1000,
            response_tokens: 200,
            thoughts_tokens: 30,
            total_tokens: 1230,
            details: Details {
                prompt: Modalities { text: 300, audio: 700, ..Modalities::default() },
                response: Modalities { audio: 200, ..Modalities::default() },
                ..Details::default()
            },
        };
        push(20_000, Record::Event(Event::Usage(usage)));
        if self.had_fallback {
            let cause = Some(Cause::Live { cause: Failure::Mute });
            push(30_000, Record::Event(Event::Rung { rung: Rung::Fallback, cause }));
        }
        if self.has_fallback_answer {
            self.fall_back().into_iter().for_each(|(ms, record)| push(ms, record));
        }
        if let Some(ending) = &self.ending {
            let totals = AudioTotals { dead_air_max_ms: self.dead_air_ms, ..AudioTotals::default() };
            push(60_000, Record::Event(Event::AudioTotals(totals)));
            push(60_500, Record::Ended(ending.clone()));
        }
        entries
    }

    /// What the fallback does in one turn: it is asked at 32 s and answers at 34.5 s.
    fn fall_back(&self) -> Vec<(u64, Record)> {
        let billed = |job, bill| Record::Event(Event::ProviderBilled { job, bill });
        let bill = |provider: &str, model: &str| Bill {
            provider: provider.to_owned(),
            model: model.to_owned(),
            ..Bill::default()
        };
        let used = Event::ProviderUsed { job: job::Kind::Think, provider: "brain".to_owned(), first_ms: 300 };
        let started_at = self.started_at() + Span::milliseconds(34_500);
        let turn = Turn {
            speaker: Speaker::Agent,
            text: "One moment, I will look that up for you.".to_owned(),
            started_at,
            ended_at: started_at + Span::seconds(3),
            interrupted: false,
            latency_ms: Some(2_500),
        };
        let tokens = Bill { prompt_tokens: 90, response_tokens: 8, ..bill("brain", "gpt-x") };
        vec![
            (32_500, billed(job::Kind::Transcribe, Bill { audio_ms: 2_500, ..bill("ear", "whisper-1") })),
            (33_000, Record::Event(used)),
            (34_000, billed(job::Kind::Think, tokens)),
            (34_400, billed(job::Kind::Speak, Bill { characters: 41, ..bill("mouth", "tts-1") })),
            (37_500, Record::Turn(turn)),
        ]
    }

    fn context(&self) -> Context {
        Context {
            carrier: "twilio".to_owned(),
            call_sid: self.sid(),
            account_sid: "AC1".to_owned(),
            business_id: self.business.clone(),
            agent: self.agent.clone(),
            model: format!("model of {}", self.agent),
            direction: Direction::Inbound,
            from: self.from.clone(),
            to: self.to.clone(),
            prompt: "Be brief.\0Be kind.".to_owned(),
            parameters: [("tier".to_owned(), "gold".to_owned())].into(),
            started_at: self.started_at(),
        }
    }

    fn turn(&self, index: usize, text: &str) -> Record {
        let speaker = if index.is_multiple_of(2) { Speaker::Caller } else { Speaker::Agent };
        let started_at = self.started_at() + Span::seconds(1 + index as i64);
        Record::Turn(Turn {
            speaker,
            text: text.to_owned(),
            started_at,
            ended_at: started_at + Span::milliseconds(900),
            interrupted: false,
            latency_ms: (speaker == Speaker::Agent).then_some(self.latency_ms),
        })
    }
}

pub(crate) fn all_failed() -> Ending {
    Ending::AllFailed {
        cause: Cause::Live { cause: Failure::Closed { code: 1011, reason: "busy".to_owned() } },
        follow_up: FollowUp::HangUp,
    }
}

/// A filter from texts.
pub(crate) fn filter(conditions: &[(&str, &str)]) -> Filter {
    let mut filter = Filter::default();
    for (name, text) in conditions {
        filter.set(name, text, START).unwrap();
    }
    filter
}

/// The numbers of the calls, in the order of the answer.
pub(crate) fn numbers(page: &CallPage) -> Vec<u32> {
    let number = |id: &str| u32::try_from(Uuid::parse_str(id).unwrap().as_u128()).unwrap();
    page.calls.iter().map(|call| number(&call.call_id)).collect()
}

/// The numbers of all calls a filter lets through, asked for in pages.
pub(crate) async fn all(query: &Query, filter: &Filter, limit: u32) -> Vec<u32> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = query.calls(filter, &Page::new(limit, after).unwrap()).await.unwrap();
        found.extend(numbers(&page));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}
