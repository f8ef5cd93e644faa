//! Questions to the call log: the same answers from both databases.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod log;
mod postgres;

use log::{Call, Kind, Log, all, all_failed, filter, numbers};
use patchcord::call::record::Ending;
use patchcord::secret::Secret;
use patchcord::store::Stamp;
use patchcord::store::query::stats::Scope;
use patchcord::store::query::{Asked, Error, Filter, Page, Query, Source};
use postgres::{Cluster, Database};
use rstest::rstest;
use sqlx::{Column, Connection as _, PgConnection, Row as _};

/// Eight calls, the highest number the newest; two of them begin at the same time.
fn calls() -> Vec<Call> {
    let said = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    vec![
        Call { said: said(&["I want a REFUND", "A refund? Certainly, for order 4711."]), ..Call::new(1, 0) },
        Call {
            from: "+4915112345678".into(), said: said(&["Größe M, bitte", "Überall"]), ..Call::new(2, 5)
        },
        Call { agent: "sales".into(), ending: Some(all_failed()), had_fallback: true, ..Call::new(3, 10) },
        Call { agent: "sales".into(), business: "fern".into(), dead_air_ms: 9_000, ..Call::new(4, 70) },
        Call { to: "+4915112345678".into(), latency_ms: 1_900, ..Call::new(5, 75) },
        Call { ending: Some(Ending::CarrierSilent), said: said(&["日本語 please"]), ..Call::new(6, 80) },
        Call { ending: None, said: said(&["refunds, I", "want none"]), ..Call::new(7, 80) },
        Call { ending: None, had_fallback: true, said: said(&["Booking a café table"]), ..Call::new(8, 90) },
    ]
}

/// Conditions, and the calls they let through.
type Case = (&'static [(&'static str, &'static str)], &'static [u32]);

#[rustfmt::skip]
const CASES: [Case; 32] = [
    (&[], &[8, 7, 6, 5, 4, 3, 2, 1]),
    (&[("since", "2026-11-21T00:10:00Z")], &[8, 7, 6, 5, 4]),
    (&[("until", "2026-11-21")], &[3, 2, 1]),
    (&[("agent", "sales")], &[4, 3]),
    (&[("business", "fern")], &[4]),
    (&[("caller", "+4915112345678")], &[2]),
    (&[("dialled", "+4915112345678")], &[5]),
    (&[("number", "+4915112345678")], &[5, 2]),
    (&[("ending", "carrier_silent")], &[6]),
    (&[("failed", "true")], &[6, 3]),
    (&[("failed", "false")], &[8, 7, 5, 4, 2, 1]),
    (&[("had_fallback", "true")], &[8, 3]),
    (&[("had_fallback", "false")], &[7, 6, 5, 4, 2, 1]),
    (&[("going_on", "true")], &[8, 7]),
    (&[("going_on", "false")], &[6, 5, 4, 3, 2, 1]),
    (&[("agent", "sales"), ("had_fallback", "true"), ("since", "2026-11-20")], &[3]),
    (&[("agent", "nobody")], &[]),
    (&[("search", "refund")], &[1]),
    (&[("search", "rEfUnD")], &[1]),
    (&[("search", "want refund")], &[1]),
    (&[("search", "refund 4711 want")], &[]),
    (&[("search", "refund*")], &[7, 1]),
    (&[("search", "caf* book*")], &[8]),
    (&[("search", "GRÖSSE m")], &[2]),
    (&[("search", "gro\u{308}sse")], &[2]),
    (&[("search", "GRÖSSE bitte")], &[2]),
    (&[("search", "GRÖßE überall*")], &[]),
    (&[("search", "größe m")], &[2]),
    (&[("search", "übe*")], &[2]),
    (&[("search", "日語")], &[6]),
    (&[("search", "want*"), ("number", "+14155550123")], &[7, 1]),
    (&[("search", "refund*"), ("going_on", "true")], &[7]),
];

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn each_condition_lets_its_calls_through_in_pages_of_any_size(#[case] kind: Kind) {
    let log = Log::with(kind, &calls()).await;
    let query = log.query().await;
    for (conditions, expected) in CASES {
        for limit in [1, 2, 3, 200] {
            let found = all(&query, &filter(conditions), limit).await;
            assert_eq!(found, expected, "{conditions:?} in pages of {limit}");
        }
    }
    query.close().await;
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn pages_have_no_gaps_and_no_repetitions_while_calls_come_in(#[case] kind: Kind) {
    // Every third begins at the same time as the one before.
    let calls: Vec<_> = (1..=30).map(|number| Call::new(number, number - number / 3)).collect();
    let log = Log::with(kind, &calls).await;
    let query = log.query().await;
    let (mut found, mut after, mut newer) = (Vec::new(), None, 100);
    loop {
        let page = query.calls(&Filter::default(), &Page::new(4, after).unwrap()).await.unwrap();
        found.extend(numbers(&page));
        let Some(next) = page.next else { break };
        // As text, as a client gives it back.
        after = Some(next.to_string().parse().unwrap());
        log.fill(&[Call::new(newer, newer)]).await;
        newer += 1;
    }
    assert_eq!(found, (1..=30).rev().collect::<Vec<_>>());
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_common_word_is_found_in_all_its_calls(#[case] kind: Kind) {
    // More than one look of each way to search.
    let turn = || vec!["the word".to_owned(), "and the answer".to_owned()];
    let calls: Vec<_> = (1..=450).map(|number| Call { said: turn(), ..Call::new(number, number) }).collect();
    let log = Log::with(kind, &calls).await;
    let query = log.query().await;
    let found = all(&query, &filter(&[("search", "the word")]), 97).await;
    assert_eq!(found, (1..=450).rev().collect::<Vec<_>>());
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_call_is_found_by_its_id_and_by_its_sid(#[case] kind: Kind) {
    let log = Log::with(kind, &calls()).await;
    let query = log.query().await;
    let call = &calls()[2];
    let by_id = query.call(&call.id()).await.unwrap().unwrap();
    let by_sid = query.call(&call.sid()).await.unwrap().unwrap();
    assert_eq!(by_id, by_sid);
    assert_eq!((by_id.turns.len(), by_id.events.len(), by_id.calls_with_sid), (2, 4, 1));
    assert_eq!(by_id.call.summary.had_fallback, by_id.call.summary.fallback_ms == Some(30_500));
    assert_eq!(by_id.circumstances.prompt, "Be brief.\0Be kind.");
    for unknown in ["CA0", "", "00000000-0000-0000-0000-00000000ffff", "%", "*"] {
        assert_eq!(query.call(unknown).await.unwrap(), None, "{unknown:?}");
    }
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn calls_add_up_by_day_agent_and_model(#[case] kind: Kind) {
    let log = Log::with(kind, &calls()).await;
    log.run(
        "INSERT INTO prices (service, model, modality, direction, valid_from, usd, per) VALUES
             ('live', 'model of sales', 'text', 'in', '2026-01-01', 0.5, 1000000),
             ('live', 'model of sales', 'audio', 'in', '2026-01-01', 3.0, 1000000),
             ('live', 'model of sales', 'text', 'out', '2026-01-01', 2.0, 1000000),
             ('live', 'model of sales', 'audio', 'out', '2026-01-01', 12.0, 1000000)",
    )
    .await;
    let query = log.query().await;
    let stats = query.stats(&Scope::default()).await.unwrap();

    let counts = stats.total.counts;
    assert_eq!((counts.calls, counts.answered, counts.failed, counts.with_fallback), (6, 6, 2, 1));
    assert_eq!((counts.turns, counts.duration_ms, counts.dead_air_max_ms), (11, 360_000, 9_000));
    assert_eq!(counts.tokens.total_tokens, 6 * 1230);
    assert_eq!((stats.total.failed_share, stats.total.fallback_share), (Some(2.0 / 6.0), Some(1.0 / 6.0)));
    let latency = stats.total.latency.unwrap();
    assert_eq!((latency.answers, latency.p50_ms, latency.p90_ms, latency.p99_ms), (5, 648, 1_904, 1_904));

    let named = |groups: &[patchcord::store::query::stats::Group]| {
        groups.iter().map(|group| (group.name.clone(), group.counts.calls)).collect::<Vec<_>>()
    };
    assert_eq!(named(&stats.by_day), [("2026-11-20".to_owned(), 3), ("2026-11-21".to_owned(), 3)]);
    assert_eq!(named(&stats.by_agent), [("reception".to_owned(), 4), ("sales".to_owned(), 2)]);
    let cost = stats.by_model[1].cost_usd.unwrap();
    let expected = 2.0 * (300.0 * 0.5 + 700.0 * 3.0 + 200.0 * 12.0 + 30.0 * 2.0) / 1e6;
    assert!((cost - expected).abs() < 1e-12, "{cost} {expected}");
    assert_eq!((stats.by_model[0].cost_usd, stats.total.cost_usd), (None, Some(cost)));
    let costs = |groups: &[patchcord::store::query::stats::Group]| {
        groups.iter().map(|group| (group.cost_usd, group.is_cost_partial)).collect::<Vec<_>>()
    };
    // Minutes of the carrier have no price here.
    assert_eq!(costs(&stats.by_agent), [(None, true), (Some(cost), true)]);
    assert_eq!(costs(&stats.by_day), [(Some(cost / 2.0), true), (Some(cost / 2.0), true)]);

    assert_eq!(stats.longest_dead_air[0].call_id, calls()[3].id());
    let kinds: Vec<_> =
        stats.failures.iter().map(|it| (it.ending.as_str(), it.cause.as_deref(), it.calls)).collect();
    assert_eq!(kinds, [("all_failed", Some("live.closed"), 1), ("carrier_silent", None, 1)]);
    assert_eq!(stats.newest_failures[0].call_id, calls()[5].id());

    let scope = Scope { since: at("2026-11-21"), agent: Some("sales".into()), ..Scope::default() };
    let stats = query.stats(&scope).await.unwrap();
    assert_eq!((stats.total.counts.calls, stats.longest_dead_air.len(), stats.failures.len()), (1, 1, 0));
    // Whole months are read elsewhere than single days.
    let latency = async |since: &str, until: &str| {
        let scope = Scope { since: at(since), until: at(until), ..Scope::default() };
        query.stats(&scope).await.unwrap().total.latency
    };
    let month = latency("2026-11-01", "2026-12-01").await;
    assert_eq!(month.map(|latency| latency.answers), Some(5));
    assert_eq!(latency("2026-11-02", "2026-11-30").await, month);
    assert_eq!(latency("2026-10-30", "2026-12-24").await, month);
    let days = latency("2026-11-21", "2026-12-01").await.map_or(0, |it| it.answers)
        + latency("2026-11-01", "2026-11-21").await.map_or(0, |it| it.answers);
    assert_eq!(days, 5);
    let none = query.stats(&Scope { until: at("2020-01-01"), ..Scope::default() }).await.unwrap();
    assert_eq!((none.total.counts.calls, none.total.failed_share, none.total.latency), (0, None, None));
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn the_longest_waits_are_the_same_however_they_are_searched(#[case] kind: Kind) {
    let log = Log::with(kind, &calls()).await;
    let query = log.query().await;
    let (agent, business) = (Some("reception".to_owned()), Some(query_business(&query).await));
    let scopes = [
        Scope::default(),
        Scope { agent: agent.clone(), ..Scope::default() },
        Scope { business: business.clone(), ..Scope::default() },
        Scope { agent, business, since: at("2026-11-21"), ..Scope::default() },
    ];
    let ask = async || {
        let mut answers = Vec::new();
        for scope in &scopes {
            answers.push(query.stats(scope).await.unwrap().longest_dead_air);
        }
        answers
    };
    let sorted = ask().await;
    assert!(sorted.iter().all(|waits| !waits.is_empty()), "{sorted:?}");
    // So many calls are not sorted.
    log.run("UPDATE daily SET calls = calls + 100000").await;
    assert_eq!(ask().await, sorted);
}

/// A time as a person says it.
fn at(text: &str) -> Option<Stamp> {
    Some(Stamp(patchcord::store::query::filter::moment(text, log::START).unwrap()))
}

/// Calls begin 0, 5, 10, 70, 75 and 80 minutes after 23:00, each 1.234 ms later than that.
#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn sums_are_of_the_asked_time_to_the_millisecond(#[case] kind: Kind) {
    let log = Log::with(kind, &calls()).await;
    let query = log.query().await;
    let cases = [
        (Some("2026-11-20T23:05:00Z"), None, 5),
        (Some("2026-11-20T23:05:00.001Z"), None, 5),
        (Some("2026-11-20T23:05:00.002Z"), None, 4),
        (Some("2026-11-20T23:05:00Z"), Some("2026-11-20T23:05:00.001Z"), 0),
        (Some("2026-11-20T23:05:00Z"), Some("2026-11-20T23:05:00.002Z"), 1),
        (Some("2026-11-20T23:01:00Z"), Some("2026-11-21"), 2),
        (Some("2026-11-20T23:10:00Z"), Some("2026-11-21T00:12:00Z"), 2),
        (None, Some("2026-11-21T00:15:00Z"), 4),
        (Some("2026-11-01"), Some("2026-11-21T00:20:00Z"), 5),
        (Some("2026-11-01"), None, 6),
        (Some("2026-11-22T00:00:01Z"), Some("2026-11-20"), 0),
        (Some("2026-11-21"), Some("2026-11-21"), 0),
    ];
    for (since, until, calls) in cases {
        let scope = Scope { since: since.and_then(at), until: until.and_then(at), ..Scope::default() };
        let stats = query.stats(&scope).await.unwrap();
        assert_eq!(stats.total.counts.calls, calls, "{since:?} {until:?}");
        assert_eq!(stats.by_day.iter().map(|day| day.counts.calls).sum::<i64>(), calls);
        assert_eq!(stats.by_agent.iter().map(|agent| agent.counts.calls).sum::<i64>(), calls);
        assert_eq!(stats.total.counts.duration_ms, calls * 60_000);
        assert_eq!(stats.total.counts.tokens.total_tokens, calls * 1230);
        let listed = stats.longest_dead_air.len() as i64;
        assert_eq!(listed, calls, "single calls are of the same time");
    }
    // One way to read them and the other come to the same.
    let whole = query.stats(&Scope { agent: Some("sales".into()), ..Scope::default() }).await.unwrap();
    let cut =
        Scope { since: at("2026-11-20T12:00:00Z"), until: at("2026-11-21T12:00:00Z"), ..Scope::default() };
    let parts = query.stats(&Scope { agent: Some("sales".into()), ..cut }).await.unwrap();
    assert_eq!(
        (&whole.total, &whole.by_day, &whole.by_model),
        (&parts.total, &parts.by_day, &parts.by_model)
    );
    assert_eq!((whole.failures.len(), &whole.failures), (1, &parts.failures));
}

/// A number as carriers and earlier versions wrote it into the log, and as people ask for it.
const SPELLINGS: [&str; 12] = [
    "+442079460018",
    "442079460018",
    "+44 20 7946 0018",
    "+44 (0)20 7946-0018",
    "00442079460018",
    "011442079460018",
    "020 7946 0018",
    "02079460018",
    "tel:+44-20-7946-0018",
    "sip:+442079460018@acme.example:5061;user=phone",
    "sip:442079460018@acme.example",
    " 442079460018",
];

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_number_in_any_spelling_finds_calls_in_any_spelling(#[case] kind: Kind) {
    let spelt = SPELLINGS.iter().zip(1..).map(|(text, number)| match number % 2 {
        0 => Call { from: (*text).to_owned(), ..Call::new(number, number) },
        _ => Call { to: (*text).to_owned(), ..Call::new(number, number) },
    });
    let others =
        ["+442079460019", "+12079460018", "sip:1001@acme.example", "sip:AcmeBank@Host.example", "79460018"];
    let others = others
        .iter()
        .zip(101..)
        .map(|(text, number)| Call { from: (*text).to_owned(), ..Call::new(number, number) });
    let log = Log::with(kind, &spelt.chain(others).collect::<Vec<_>>()).await;
    let query = log.query().await;
    let expected: Vec<_> = (1..=SPELLINGS.len() as u32).rev().collect();
    let found = async |name: &'static str, text: &str| {
        let mut filter = Filter::default();
        filter.set(name, text, log::START).unwrap();
        all(&query, &filter, 5).await
    };
    for asked in SPELLINGS.iter().chain(&["＋４４２０７９４６００１８", "\u{202D}+44 20 7946 0018\u{202C}"])
    {
        let mut numbers = found("number", asked).await;
        // A national number may be of another country.
        numbers.retain(|number| {
            *number != 102 || asked.starts_with(['+', ' ', 's', 't', '＋', '\u{202D}', '4'])
        });
        assert_eq!(numbers, expected, "{asked}");
    }
    let callers: Vec<_> = expected.iter().copied().filter(|number| number % 2 == 0).collect();
    assert_eq!(found("caller", "+442079460018").await, callers);
    assert_eq!(found("number", "sip:acmebank@HOST.example;transport=tls").await, [104]);
    assert_eq!(found("number", "sip:acmebank@other.example").await, [0; 0]);
    query.close().await;
}

/// The business of some call.
async fn query_business(query: &Query) -> String {
    query.calls(&Filter::default(), &Page::default()).await.unwrap().calls[0].summary.business_id.clone()
}

/// Text that was meant to be something else than text.
const HOSTILE: [&str; 10] = [
    "'; DROP TABLE calls; -- \" ` \\ %s ?1 $1 :a",
    "before\0after\0",
    "\u{fdd0}\u{fdd1}0\u{fdd1}",
    "\u{1b}[31m\u{7}\u{8}\r\n\t\u{9b}",
    "\u{202e}abc\u{2066}\u{200f}",
    "👩‍👩‍👧‍👦 日本語 e\u{301} \u{10ffff}",
    "' OR 1=1 --",
    "a\" OR \"b\" * NEAR(c d) {col}: ^x -y",
    "'a' & !b | (c <-> d):*A",
    "{\"a\":null} \u{2028}",
];

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn hostile_text_is_text(#[case] kind: Kind) {
    let megabyte = "ü\0 x".repeat(250_000);
    let texts: Vec<_> = HOSTILE.iter().copied().chain([megabyte.as_str()]).collect();
    let hostile = texts.iter().zip(1..).map(|(text, number)| Call {
        agent: (*text).to_owned(),
        business: (*text).to_owned(),
        from: (*text).to_owned(),
        said: vec![(*text).to_owned()],
        ..Call::new(number, number)
    });
    let log = Log::with(kind, &hostile.collect::<Vec<_>>()).await;
    let query = log.query().await;
    for (text, number) in texts.iter().zip(1..) {
        let owned = || Some((*text).to_owned());
        let filters = [
            Filter { agent: owned(), ..Filter::default() },
            Filter { business: owned(), ..Filter::default() },
            Filter { caller: Some(Asked::new(text)), ..Filter::default() },
            Filter { number: Some(Asked::new(text)), ..Filter::default() },
        ];
        for filter in filters {
            let page = query.calls(&filter, &Page::default()).await.unwrap();
            assert_eq!((numbers(&page), &page.calls[0].agent), (vec![number], &owned().unwrap()));
        }
        let mut search = Filter::default();
        match search.set("search", text, log::START) {
            Ok(()) => assert!(all(&query, &search, 200).await.contains(&number), "{text:?}"),
            Err(_) => assert!(text.len() > 1000 || !text.chars().any(char::is_alphanumeric), "{text:?}"),
        }
        assert_eq!(query.call(text).await.unwrap(), None);
        let scope = Scope { agent: owned(), ..Scope::default() };
        assert_eq!(query.stats(&scope).await.unwrap().total.counts.calls, 1);
    }
    assert_eq!(all(&query, &Filter::default(), 200).await.len(), texts.len());
}

#[tokio::test]
async fn both_databases_answer_the_same_to_the_byte() {
    let mut calls = calls();
    for (text, number) in HOSTILE.iter().zip(20..) {
        let text = (*text).to_owned();
        calls.push(Call {
            agent: text.clone(),
            from: text.clone(),
            said: vec![text.clone(), text],
            latency_ms: u64::from(number) * 37,
            ..Call::new(number, number * 60)
        });
    }
    calls.push(Call { had_fallback: true, has_fallback_answer: true, ..Call::new(40, 700) });
    let mut answers = Vec::new();
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let log = Log::with(kind, &calls).await;
        log.run(PRICES).await;
        let query = log.query().await;
        let page = query.calls(&Filter::default(), &Page::new(7, None).unwrap()).await.unwrap();
        let mut answer = vec![serde_json::to_string_pretty(&page).unwrap()];
        for call in &calls {
            let detail = query.call(&call.id()).await.unwrap().unwrap();
            answer.push(serde_json::to_string_pretty(&detail).unwrap());
        }
        answer.push(serde_json::to_string_pretty(&query.stats(&Scope::default()).await.unwrap()).unwrap());
        answers.push(answer.join("\n"));
    }
    let [sqlite, postgres] = answers.try_into().unwrap();
    for (one, other) in sqlite.lines().zip(postgres.lines()) {
        assert_eq!(one, other);
    }
    assert_eq!(sqlite.len(), postgres.len());
}

/// The views, and the order in which their rows are compared.
const VIEWS: [(&str, &str); 7] = [
    ("calls_per_day", "SELECT * FROM calls_per_day ORDER BY day, agent"),
    ("fallback_share", "SELECT * FROM fallback_share ORDER BY day, agent"),
    ("latency_percentiles", "SELECT * FROM latency_percentiles ORDER BY responder, model"),
    ("longest_dead_air", "SELECT * FROM longest_dead_air ORDER BY call_id"),
    ("failed_calls", "SELECT * FROM failed_calls ORDER BY call_id"),
    ("call_usage", "SELECT * FROM call_usage ORDER BY call_id, service, modality, direction, unit"),
    ("call_costs", "SELECT * FROM call_costs ORDER BY call_id"),
];

#[tokio::test]
async fn the_views_have_the_same_columns_and_rows() {
    let sqlite = Log::with(Kind::Sqlite, &calls()).await;
    let postgres = Log::with(Kind::Postgres, &calls()).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(sqlite.path());
    let mut file = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let mut server = PgConnection::connect(postgres.url().unwrap()).await.unwrap();
    for (name, statement) in VIEWS {
        let one = sqlx::query(statement).fetch_all(&mut file).await.unwrap();
        let other = sqlx::query(statement).fetch_all(&mut server).await.unwrap();
        assert_eq!(one.len(), other.len(), "{name}");
        assert!(!one.is_empty(), "{name}");
        if let (Some(one), Some(other)) = (one.first(), other.first()) {
            let names = |columns: &[&str]| columns.join(" ");
            let ones: Vec<_> = one.columns().iter().map(Column::name).collect();
            let others: Vec<_> = other.columns().iter().map(Column::name).collect();
            assert_eq!(names(&ones), names(&others), "{name}");
        }
    }
    // The numbers agree with those of the program.
    let stats = sqlite.query().await.stats(&Scope::default()).await.unwrap();
    let model = "SELECT p50_ms, p95_ms, p99_ms FROM latency_percentiles
                  WHERE responder = 'live' AND model = 'model of reception'";
    let latency = stats.by_model[0].latency.unwrap();
    let expected = (latency.p50_ms, latency.p95_ms, latency.p99_ms);
    let one: (i64, i64, i64) = sqlx::query_as(model).fetch_one(&mut file).await.unwrap();
    let other: (i64, i64, i64) = sqlx::query_as(model).fetch_one(&mut server).await.unwrap();
    assert_eq!((one, other), (expected, expected));
}

/// One price of everything that a call uses; of some two, the second from the day of the later calls on.
const PRICES: &str = "INSERT INTO prices (service, model, modality, direction, valid_from, usd, per) VALUES
    ('live', 'model of reception', 'text', 'in', '2026-01-01', 0.5, 1000000),
    ('live', 'model of reception', 'text', 'out', '2026-01-01', 2.0, 1000000),
    ('live', 'model of reception', 'audio', 'out', '2026-01-01', 12.0, 1000000),
    ('live', 'model of reception', 'audio', 'in', '2026-11-21', 6.0, 1000000),
    ('stt', 'whisper-1', 'audio', 'in', '2026-01-01', 0.006, 60000),
    ('llm', 'gpt-x', 'text', 'in', '2026-01-01', 0.15, 1000000),
    ('llm', 'gpt-x', 'text', 'out', '2026-01-01', 0.6, 1000000),
    ('tts', 'tts-1', 'text', 'in', '2026-01-01', 15.0, 1000000),
    ('carrier', 'twilio', 'call', 'inbound', '2026-01-01', 0.0085, 1)";

/// Calls before midnight, after it, and with the fallback.
fn priced_calls() -> Vec<Call> {
    vec![
        Call::new(1, 0),
        Call::new(2, 70),
        Call { had_fallback: true, has_fallback_answer: true, ..Call::new(3, 75) },
    ]
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn each_call_costs_what_it_used_at_the_prices_of_its_day(#[case] kind: Kind) {
    let log = Log::with(kind, &priced_calls()).await;
    log.run(PRICES).await;
    log.run(
        "INSERT INTO prices (service, model, modality, direction, valid_from, usd, per) VALUES
             ('live', 'model of reception', 'audio', 'in', '2026-01-01', 3.0, 1000000)",
    )
    .await;
    let query = log.query().await;
    let fixed = 300.0 * 0.5 + 30.0 * 2.0 + 200.0 * 12.0;
    let live = |audio_in: f64| (fixed + 700.0 * audio_in) / 1e6 + 0.0085;
    // Two and a half seconds of speech, 90 and 8 tokens, and 41 characters.
    let fallback = 2_500.0 * 0.006 / 60_000.0 + (90.0 * 0.15 + 8.0 * 0.6 + 41.0 * 15.0) / 1e6;
    let expected = [live(3.0), live(6.0), live(6.0) + fallback];
    let mut costs = Vec::new();
    for call in priced_calls() {
        let used = query.call(&call.id()).await.unwrap().unwrap().used;
        assert!(used.iter().all(|used| used.unpriced_quantity == 0), "{used:?}");
        costs.push(used.iter().filter_map(|used| used.cost_usd).sum::<f64>());
    }
    let is_near = |one: f64, other: f64| (one - other).abs() < 1e-9;
    assert!(costs.iter().zip(expected).all(|(one, other)| is_near(*one, other)), "{costs:?} {expected:?}");
    // All of them, by days and by calls.
    let whole = query.stats(&Scope::default()).await.unwrap();
    let cut =
        Scope { since: at("2026-11-20T12:00:00Z"), until: at("2026-11-21T12:00:00Z"), ..Scope::default() };
    let parts = query.stats(&cut).await.unwrap();
    assert!(is_near(whole.total.cost_usd.unwrap(), expected.iter().sum()), "{whole:?}");
    assert_eq!((&whole.used, whole.total.cost_usd), (&parts.used, parts.total.cost_usd));
    assert_eq!((&whole.by_responder, &whole.by_model), (&parts.by_responder, &parts.by_model));

    // A price of tomorrow changes nothing.
    log.run(
        "INSERT INTO prices (service, model, modality, direction, valid_from, usd, per) VALUES
             ('live', 'model of reception', 'audio', 'in', '2026-11-22', 99.0, 1000000)",
    )
    .await;
    assert_eq!(query.stats(&Scope::default()).await.unwrap(), whole);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn the_view_of_costs_agrees_with_the_program_and_says_what_has_no_price(#[case] kind: Kind) {
    let log = Log::with(kind, &priced_calls()).await;
    log.run(PRICES).await;
    let rows: Vec<(f64, f64, i64)> =
        log.ask("SELECT minutes, cost_usd, unpriced FROM call_costs ORDER BY call_id").await;
    let total = log.query().await.stats(&Scope::default()).await.unwrap().total.cost_usd.unwrap();
    let sum: f64 = rows.iter().map(|(_, cost, _)| cost).sum();
    assert!((sum - total).abs() < 1e-8, "{sum} {total}");
    let shown: Vec<_> = rows.iter().map(|(minutes, _, unpriced)| (*minutes, *unpriced)).collect();
    assert_eq!(
        shown,
        [(1.0, 1), (1.0, 0), (1.0, 0)],
        "the live model's speech had no price on the first day"
    );
    let days: Vec<(f64, f64)> = log.ask("SELECT seconds, minutes FROM calls_per_day ORDER BY day").await;
    assert_eq!(days, [(60.0, 1.0), (120.0, 2.0)]);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn answers_of_the_fallback_are_its_own(#[case] kind: Kind) {
    let log = Log::with(kind, &priced_calls()).await;
    let query = log.query().await;
    let stats = query.stats(&Scope::default()).await.unwrap();
    let shown: Vec<_> = stats
        .by_responder
        .iter()
        .map(|it| (it.responder.as_str(), it.model.as_str(), it.latency.answers, it.latency.p50_ms))
        .collect();
    assert_eq!(shown, [("live", "model of reception", 3, 648), ("fallback", "gpt-x", 1, 2_528)]);
    assert_eq!(stats.by_model[0].latency.map(|latency| latency.answers), Some(3));
    assert_eq!(stats.total.latency.map(|latency| latency.answers), Some(4));
    let turns = query.call(&priced_calls()[2].id()).await.unwrap().unwrap().turns;
    let who: Vec<_> = turns.iter().map(|turn| (turn.responder.as_deref(), turn.model.as_deref())).collect();
    let live = (Some("live"), Some("model of reception"));
    assert_eq!(who, [(None, None), live, (Some("fallback"), Some("gpt-x"))]);
}

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn a_log_of_an_older_program_is_named_as_such(#[case] kind: Kind) {
    let log = Log::new(kind).await;
    log.run("DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let result = Query::open(log.source()).await;
    assert!(matches!(result, Err(Error::Older { found: 1, .. })), "{result:?}");
}

#[tokio::test]
async fn a_database_without_a_log_is_named_as_such() {
    let database = Database::create().await;
    let result = Query::open(Source::Postgres(Secret::new(database.url()))).await;
    assert!(matches!(result, Err(Error::Empty)), "{result:?}");
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_when_it_is_back() {
    let cluster = Cluster::start();
    let query = Query::lazy(Source::Postgres(Secret::new(cluster.url("postgres")))).unwrap();
    cluster.kill();
    let away = query.call("CA1").await.unwrap_err();
    assert!(matches!(away, Error::Unreachable(_)), "{away:?}");
    cluster.restart();
    // It answers, if only that nobody has made the tables.
    let answered = query.call("CA1").await.unwrap_err();
    assert!(matches!(answered, Error::Empty), "{answered:?}");
}

/// What is said, what finds it, and what does not.
const FOLDED: [(&str, &[&str], &[&str]); 10] = [
    ("Die Größe ist M.", &["GRÖSSE", "größe", "gro\u{308}ße", "GRÖẞE", "gröss*"], &["grosse"]),
    ("İstanbul'a IĞDIR üzerinden", &["istanbul", "İSTANBUL", "iğdır", "ığdır"], &["stanbul"]),
    ("Ο ΔΡΟΜΟΣ", &["δρομος", "δρομοσ", "ΔΡΟΜΟΣ"], &["δρομο"]),
    ("ＡＢＣ１２３", &["abc123", "ABC*"], &["abc1234"]),
    ("ผมอยากจองโต๊ะสำหรับสองคน", &["โต๊ะ", "จอง", "สองคน", "อยาก*"], &["ร้าน", "นคองส"]),
    ("ຂ້ອຍຢາກຈອງໂຕະ", &["ຈອງ", "ໂຕະ"], &["ອາຫານ"]),
    ("ខ្ញុំចង់កក់តុ", &["កក់", "តុ"], &["ផ្ទះ"]),
    ("ကြိုတင်မှာချင်ပါတယ်", &["မှာ", "ကြိုတင်"], &["ကော်ဖီ"]),
    ("日本語を話します", &["日本", "話"], &["英語"]),
    ("café de\u{301}ja\u{300} vu", &["déjà", "CAFÉ", "cafe\u{301}"], &["deja"]),
];

#[rstest]
#[case::sqlite(Kind::Sqlite)]
#[case::postgres(Kind::Postgres)]
#[tokio::test]
async fn words_are_found_in_any_case_composition_and_script(#[case] kind: Kind) {
    let said = FOLDED.iter().enumerate();
    let calls: Vec<_> = said
        .map(|(index, (text, ..))| Call {
            said: vec![(*text).to_owned()],
            ..Call::new(index as u32 + 1, index as u32)
        })
        .collect();
    let log = Log::with(kind, &calls).await;
    let query = log.query().await;
    for (index, (text, words, others)) in FOLDED.iter().enumerate() {
        let number = index as u32 + 1;
        for (searched, is_hit) in words.iter().map(|it| (it, true)).chain(others.iter().map(|it| (it, false)))
        {
            let mut search = Filter::default();
            search.set("search", searched, log::START).unwrap();
            let found = all(&query, &search, 200).await;
            assert_eq!(found.contains(&number), is_hit, "{searched:?} in {text:?}");
        }
    }
}
