//! The call log under load: how fast it takes records, ships them and answers questions. Prints; asserts nothing.
//!
//! `make bench-log`, or `cargo bench --bench log -- [write] [questions] [--calls N]`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and may panic")]

#[path = "../tests/postgres/mod.rs"]
mod postgres;

mod history;

use std::time::Duration;

use ::time::OffsetDateTime;
use patchcord::secret::Secret;
use patchcord::store::load::Loader;
use patchcord::store::postgres::Target;
use patchcord::store::query::stats::Scope;
use patchcord::store::query::{Filter, Page, Query, Source};
use patchcord::store::{Config, Store};
use postgres::{Cluster, Fsync};
use tempfile::TempDir;
use tokio::time::Instant;

/// Rows in one transaction of the loader.
const LOAD_ROWS: usize = 10_000;

/// Each question is asked so often; the median counts.
const ASKED: usize = 7;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wants = |name: &str| {
        arguments.iter().any(|argument| argument == name)
            || !arguments.iter().any(|argument| argument == "write" || argument == "questions")
    };
    let calls = arguments.iter().position(|argument| argument == "--calls");
    let calls = calls.map_or(1_000_000, |index| arguments[index + 1].parse().unwrap());
    if wants("write") {
        write().await;
    }
    if wants("questions") {
        questions(calls).await;
    }
}

/// How many records the local file takes, and how many reach Postgres.
async fn write() {
    const RECORDS: usize = 200_000;
    const BURST: usize = 8_000;
    println!("# Records: {RECORDS} of made-up calls, all indexes, end of call with FULL");
    println!("{:<28} {:>12} {:>12} {:>10}", "", "records/s", "CPU us each", "memory");

    let folder = TempDir::new().unwrap();
    let entries = history::entries(RECORDS);
    let config = Config { path: folder.path().join("local.db"), free_bytes_min: 0, ..Config::default() };
    let store = Store::open_with(&config, None).await.unwrap();
    let base = rss();
    measure("into SQLite", base, RECORDS, async {
        for burst in entries.chunks(BURST) {
            burst.iter().for_each(|entry| store.handle().append(entry.clone()));
            store.handle().settled(Duration::from_secs(60)).await;
        }
    })
    .await;
    assert_eq!(store.handle().lost(), 0);
    store.close().await.unwrap();

    let cluster = Cluster::start_with(Fsync::On);
    let url = Secret::new(cluster.url("postgres"));
    cluster.kill();
    let config = Config { path: folder.path().join("journal.db"), ..config };
    let open = || async {
        let target = Target::parse(&url).unwrap();
        Store::open_with(&config, Some(target)).await.unwrap()
    };
    let store = open().await;
    measure("into the journal", base, RECORDS, async {
        for burst in entries.chunks(BURST) {
            burst.iter().for_each(|entry| store.handle().append(entry.clone()));
            store.handle().settled(Duration::from_secs(60)).await;
        }
    })
    .await;
    store.close().await.unwrap();
    cluster.restart();
    let store = open().await;
    let drained = measure("from there to Postgres", base, RECORDS, async {
        while shipped(&url).await < RECORDS as i64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    store.close().await.unwrap();
    // tests/call.rs and the demo: a call makes about one record a second.
    println!(
        "a backlog of 1,000 calls, which grows by about 1,000 records/s, drains {:.0} times as fast\n",
        drained / 1000.0
    );
}

/// Runs work and prints its rate; tells it.
async fn measure(name: &str, base: u64, records: usize, work: impl Future<Output = ()>) -> f64 {
    let (started, cpu_before) = (Instant::now(), cpu());
    let peak = {
        tokio::pin!(work);
        let mut peak = rss();
        loop {
            tokio::select! {
                () = &mut work => break peak.max(rss()),
                () = tokio::time::sleep(Duration::from_millis(100)) => peak = peak.max(rss()),
            }
        }
    };
    let rate = records as f64 / started.elapsed().as_secs_f64();
    let each = (cpu() - cpu_before).as_secs_f64() * 1e6 / records as f64;
    println!("{name:<28} {rate:>12.0} {each:>12.1} {:>6} MiB", peak.saturating_sub(base) >> 20);
    rate
}

/// Resident memory of this process, bytes.
fn rss() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// CPU time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime (proc(5)), in ticks of 10 ms.
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

async fn shipped(url: &Secret) -> i64 {
    use sqlx::Connection as _;
    let Ok(mut connection) = sqlx::PgConnection::connect(url.expose()).await else { return 0 };
    let position = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM journals");
    position.fetch_one(&mut connection).await.unwrap_or(0)
}

/// How long each question takes, on both databases.
async fn questions(calls: u64) {
    println!("# Questions to {calls} calls of 90 days; median and maximum of {ASKED}, milliseconds");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("questions.db");
    load("SQLite", Loader::sqlite(&path).await.unwrap(), calls).await;
    let sqlite = Query::open(Source::Sqlite(path.clone())).await.unwrap();
    let on_sqlite = ask(&sqlite).await;
    sqlite.close().await;
    println!("the file has {} MiB", std::fs::metadata(&path).unwrap().len() >> 20);
    drop(folder);

    let cluster = Cluster::start();
    let url = Secret::new(cluster.url("postgres"));
    load("Postgres", Loader::postgres(&Target::parse(&url).unwrap()).await.unwrap(), calls).await;
    let postgres = Query::open(Source::Postgres(url)).await.unwrap();
    let on_postgres = ask(&postgres).await;
    postgres.close().await;

    println!("{:<44} {:>9} {:>9}   {:>9} {:>9}", "", "Postgres", "max", "SQLite", "max");
    for ((name, postgres), (_, sqlite)) in on_postgres.iter().zip(&on_sqlite) {
        let ms = |times: &[Duration], index: usize| times[index].as_secs_f64() * 1000.0;
        println!(
            "{name:<44} {:>9.1} {:>9.1}   {:>9.1} {:>9.1}",
            ms(postgres, ASKED / 2),
            ms(postgres, ASKED - 1),
            ms(sqlite, ASKED / 2),
            ms(sqlite, ASKED - 1),
        );
    }
}

async fn load(name: &str, mut loader: Loader, calls: u64) {
    let started = Instant::now();
    let mut rows = Vec::with_capacity(LOAD_ROWS + 100);
    for call in history::calls(calls) {
        rows.extend(history::rows(&call));
        if rows.len() >= LOAD_ROWS {
            loader.add(std::mem::take(&mut rows)).await.unwrap();
        }
    }
    loader.add(rows).await.unwrap();
    loader.finish().await.unwrap();
    println!("{name}: loaded in {:.0} s", started.elapsed().as_secs_f64());
}

type Times = Vec<(String, Vec<Duration>)>;

async fn ask(query: &Query) -> Times {
    let words = history::words();
    let (agent, business) = history::agent();
    let (frequent, rare) = history::callers();
    let now = history::END;
    let filters: [(&str, Vec<(&str, String)>); 13] = [
        ("newest calls", vec![]),
        ("of one agent", vec![("agent", agent.clone())]),
        ("of one business", vec![("business", business)]),
        ("of a frequent caller", vec![("number", frequent)]),
        ("of a rare caller", vec![("number", rare)]),
        ("failed", vec![("failed", "true".to_owned())]),
        ("with one ending", vec![("ending", "all_failed".to_owned())]),
        ("with fallback, one agent", vec![("had_fallback", "true".to_owned()), ("agent", agent.clone())]),
        (
            "of a week in the middle",
            vec![("since", "2026-10-01".to_owned()), ("until", "2026-10-08".to_owned())],
        ),
        ("with a frequent word", vec![("search", words.frequent.clone())]),
        ("with a middling word", vec![("search", words.middling.clone())]),
        ("with a rare word", vec![("search", words.rare.clone())]),
        ("with a rare word and one agent", vec![("search", words.rare.clone()), ("agent", agent.clone())]),
    ];
    let mut times = Times::new();
    for (name, conditions) in filters {
        let filter = filter(&conditions, now);
        let page = Page::default();
        times.push((name.to_owned(), repeat(async || query.calls(&filter, &page).await.map(drop)).await));
    }
    let all = Scope::default();
    times.push(("stats of everything".to_owned(), repeat(async || query.stats(&all).await.map(drop)).await));
    let one = Scope { agent: Some(agent.clone()), ..Scope::default() };
    times.push(("stats of one agent".to_owned(), repeat(async || query.stats(&one).await.map(drop)).await));
    let newest = query.calls(&Filter::default(), &Page::default()).await.unwrap();
    let id = newest.calls[0].call_id.to_string();
    times.push(("one call".to_owned(), repeat(async || query.call(&id).await.map(drop)).await));
    times
}

fn filter(conditions: &[(&str, String)], now: OffsetDateTime) -> Filter {
    let mut filter = Filter::default();
    for (name, text) in conditions {
        filter.set(name, text, now).unwrap();
    }
    filter
}

/// The times of all runs, sorted. The first run of all is not counted: it reads the disk.
async fn repeat<E: std::fmt::Debug>(work: impl AsyncFn() -> Result<(), E>) -> Vec<Duration> {
    let mut times = Vec::with_capacity(ASKED);
    for round in 0..=ASKED {
        let started = Instant::now();
        let answer = work().await;
        match answer {
            Ok(()) if round > 0 => times.push(started.elapsed()),
            Ok(()) => {}
            Err(error) => {
                println!("{error:?}");
                times.push(started.elapsed());
            }
        }
    }
    times.sort_unstable();
    times.truncate(ASKED);
    times
}
