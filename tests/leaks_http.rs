//! Two hundred jobs that end in every way there is leave no task and no descriptor behind, and their servers see
//! every connection closed. One test at a time: descriptors are counted for the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http_server;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http_server::{Behaviour, PATIENCE, Server, begun, chunk, whole};
use patchcord::dialogue::Dialogue;
use patchcord::job::{Event, Failure, Prompt};
use patchcord::net::dial;
use patchcord::provider::http::{self, Timeouts, Transport};
use patchcord::provider::llm::{Config, Kind, Provider};
use patchcord::provider::pool::{Job, Pool};
use tokio::runtime::Handle;
use tokio::time::timeout;

const JOBS: usize = 200;

const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";

fn pool(server: &Server, timeouts: Timeouts) -> Pool<Provider> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let config = Config { endpoint: Some(server.url()), timeouts, ..Config::new(Kind::OpenAi) };
    let http = http::Config { idle_connections_max: 0, ..http::Config::default() };
    let transport = Transport { config: http, tls: dial::tls([]) };
    Pool::new([Provider::new(&config, None, &transport).unwrap()])
}

fn jobs(pool: &Pool<Provider>) -> Vec<Job> {
    let prompt = Prompt { instruction: String::new(), dialogue: Dialogue::default(), temperature: None };
    (0..JOBS).map(|_| pool.job(prompt.clone())).collect()
}

/// Deadlines that nobody but the test ends.
fn patient() -> Timeouts {
    let ms = Some(120_000);
    Timeouts { connect_ms: ms, first_byte_ms: ms, between_bytes_ms: ms, total_ms: ms }
}

/// What this process holds: tasks of this runtime, descriptors.
fn held() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    (Handle::current().metrics().num_alive_tasks(), descriptors)
}

/// Waits until every connection was closed and nothing more is held than before.
async fn released(server: &mut Server, before: (usize, usize)) {
    server.closed(JOBS).await;
    let settled = async {
        while held() != before {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, settled).await.is_ok(), "held {:?}, before {before:?}", held());
}

async fn started(job: &mut Job) {
    assert!(matches!(job.next().await, Some(Event::Started { .. })));
}

/// Ways of a consumer with an answer that never ends, and of an answer with a consumer that waits for its end.
#[tokio::test]
async fn nothing_is_left_of_two_hundred_jobs_however_they_end() {
    let flood = || Behaviour::Flood(begun(HELLO), chunk(HELLO));
    stops_early(Server::start(flood())).await;
    never_reads(Server::start(flood())).await;
    is_never_polled(Server::start(flood()));
    is_cancelled(Server::start(Behaviour::Hang(String::new()))).await;
    is_cancelled(Server::start(Behaviour::Hang(begun("")))).await;
    reads_to_the_end(Server::start(Behaviour::Hang(begun(HELLO))), Event::Failed(Failure::Stalled)).await;
    reads_to_the_end(
        Server::start(Behaviour::Flood(begun(HELLO), chunk(&http_server::long()))),
        Event::Failed(Failure::TooLong),
    )
    .await;
    let answer = whole(&format!("{HELLO}data: [DONE]\n\n"));
    reads_to_the_end(Server::start(Behaviour::Answer(answer)), Event::Done).await;
}

async fn stops_early(mut server: Server) {
    let pool = pool(&server, patient());
    let before = held();
    for mut job in jobs(&pool) {
        started(&mut job).await;
        for _ in 0..3 {
            assert_eq!(job.next().await, Some(Event::Text("Hello".into())));
        }
    }
    released(&mut server, before).await;
}

/// All are open at once, and none is read from.
async fn never_reads(mut server: Server) {
    let pool = pool(&server, patient());
    let before = held();
    let mut jobs = jobs(&pool);
    join_all(jobs.iter_mut().map(started)).await;
    assert!(server.closed.try_recv().is_err());
    drop(jobs);
    released(&mut server, before).await;
}

fn is_never_polled(mut server: Server) {
    let pool = pool(&server, patient());
    let before = held();
    drop(jobs(&pool));
    assert_eq!(held(), before);
    assert!(server.requests.try_recv().is_err());
}

/// The request was sent, and nothing of the answer has come.
async fn is_cancelled(mut server: Server) {
    let pool = pool(&server, patient());
    let before = held();
    let mut jobs = jobs(&pool);
    for job in &mut jobs {
        tokio::select! {
            event = job.next() => panic!("{event:?}"),
            _ = server.request() => {}
        }
    }
    drop(jobs);
    released(&mut server, before).await;
}

/// What was held is released at the job's last event, not only when the job is dropped.
async fn reads_to_the_end(mut server: Server, end: Event) {
    let ms = |ms| Some(ms);
    let hasty = Timeouts { between_bytes_ms: ms(500), total_ms: ms(2_000), ..patient() };
    let timeouts = if end == Event::Done { patient() } else { hasty };
    let pool = pool(&server, timeouts);
    let before = held();
    let mut jobs = jobs(&pool);
    let last = join_all(jobs.iter_mut().map(|job| job.fold(None, async |_, event| Some(event)))).await;
    assert!(last.iter().all(|event| event.as_ref() == Some(&end)), "{last:?}");
    released(&mut server, before).await;
    drop(jobs);
}
