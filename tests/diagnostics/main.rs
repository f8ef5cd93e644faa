//! What reads the server's log stops, dies, or has no room: no call and no webhook is affected, and the log says afterwards
//! how many lines it lacks.
//!
//! Small by default. `DIAGNOSTICS=full` places 50 calls at once for a minute with each trouble and without, and prints how
//! late their frames were.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a measurement is printed")]

#[path = "../chaos/callers.rs"]
mod callers;
#[path = "../chaos/model.rs"]
mod model;
mod outlet;
#[path = "../chaos/pace.rs"]
mod pace;
#[path = "../postgres/mod.rs"]
mod postgres;
#[path = "../chaos/program.rs"]
mod program;
#[path = "../world/mod.rs"]
mod world;

use std::env;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::secret::Secret;
use patchcord::sim::carrier::latency::Quantiles;
use rstest::rstest;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use self::callers::{Crowd, Seen};
use self::outlet::{Outlet, Trouble};
use self::postgres::PATIENCE;
use self::program::Program;

/// From the end of the server's life: what is queued gets a second.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// Pauses between questions to a server that does not answer yet.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
struct Size {
    crowd: Crowd,
    length: Duration,
    /// Between webhooks.
    pause: Duration,
}

const SMALL: Size =
    Size { crowd: Crowd { calls: 4, at_once: 4 }, length: Duration::ZERO, pause: Duration::ZERO };

const FULL: Size = Size {
    crowd: Crowd { calls: 50, at_once: 50 },
    length: Duration::from_secs(60),
    pause: Duration::from_millis(250),
};

/// Webhooks at once, of callers whose streams do not come: they fill the log.
const WEBHOOKS: u32 = 5;

/// By how much a trouble may make the 99th percentile of the frames later.
const LATER_MAX_MS: f64 = 2.0;

// More threads than processors: the callers measure, and must not wait behind each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_log_that_is_not_read_costs_lines_and_no_call() {
    if !env::var("DIAGNOSTICS").is_ok_and(|size| size == "full") {
        run(SMALL, Trouble::Stops).await;
        return;
    }
    let calm = run(FULL, Trouble::None).await;
    for trouble in [Trouble::Stops, Trouble::Dies, Trouble::Full] {
        let later = run(FULL, trouble).await.p99_ms - calm.p99_ms;
        println!("   frames are later by {later:.2} ms at the 99th percentile (bar: {LATER_MAX_MS})");
    }
}

/// Calls while the log is in trouble; what they heard and what is said of the lines; tells how late the frames were.
async fn run(size: Size, trouble: Trouble) -> Quantiles {
    let model = model::start().await;
    let (mut outlet, stderr) = Outlet::new(trouble);
    let mut program = Program::new(&world::endpoint(&model), None, 1).logging("debug");
    let server = program.url();
    program.start_with(stderr);
    until_ready(&server).await;
    let (_up, is_up) = watch::channel(true);
    let (over, is_over) = watch::channel(false);
    outlet.begin();
    let calls = callers::place(server.clone(), size.crowd, 1, is_up, is_over);
    let trouble_lasts = async {
        let end = Instant::now() + size.length;
        for n in (0..).step_by(WEBHOOKS as usize) {
            let answers = join_all((n..n + WEBHOOKS).map(|n| incoming(&server, n))).await;
            assert!(answers.iter().all(|(status, document)| *status == 200 && document.contains("<Connect")));
            let is_over = outlet.is_lossless() || lines_dropped(&server).await > 0;
            if is_over && Instant::now() >= end {
                break;
            }
            tokio::time::sleep(size.pause).await; // allowed: so many webhooks in a second
        }
        over.send_replace(true);
    };
    let (seen, ()) = tokio::join!(calls, trouble_lasts);
    let dropped = lines_dropped(&server).await;
    let goes_on = outlet.goes_on();
    if goes_on {
        until_reported(&outlet).await;
    }
    let stopped = spawn_blocking(move || program.stop());
    tokio::time::timeout(STOPS_WITHIN, stopped).await.expect("the server stops").unwrap();
    let heard = check_calls(&seen);
    let reported = outlet.reported().await;
    let frames = Quantiles::of(&lateness(&seen));
    println!("{trouble:?}: {heard} of {} calls heard whole; {dropped} log lines dropped", seen.len());
    tell(&frames);
    // Where fifty callers share a busy machine with the server, its lateness is told and not judged.
    assert!(size.crowd.calls > SMALL.crowd.calls || heard == seen.len(), "a call was not heard whole");
    assert_eq!(dropped > 0, !outlet.is_lossless(), "{dropped} lines dropped");
    if goes_on {
        assert!(reported >= dropped && (dropped > 0) == (reported > 0), "{reported} of {dropped} reported");
    }
    model.shutdown().await;
    frames
}

/// Every call was admitted, answered by all webhooks and ended by its caller; in how many both answers were heard whole.
fn check_calls(seen: &[Seen]) -> usize {
    for call in seen {
        assert!(call.is_admitted() && call.hung_up_at().is_some(), "{}", call.report);
        assert!(call.callbacks() > 0, "{}", call.report);
    }
    let answers = |call: &&Seen| call.report.audio.heard_s / model::LENGTH.as_secs_f64() + 0.05;
    seen.iter().filter(|call| answers(call) as usize == 2).count()
}

fn lateness(seen: &[Seen]) -> Vec<Duration> {
    seen.iter().flat_map(|call| pace::lateness(&call.report.played.arrivals)).collect()
}

fn tell(frames: &Quantiles) {
    let Quantiles { count, median_ms, p99_ms, max_ms } = frames;
    println!("   {count} frames late: median {median_ms:.2} ms, p99 {p99_ms:.2} ms, max {max_ms:.2} ms");
}

#[rstest]
#[case::the_reader_is_dead(Trouble::Dead)]
#[case::the_disk_is_full(Trouble::Full)]
#[case::it_is_closed(Trouble::Closed)]
#[case::the_other_end_of_a_socket_is_gone(Trouble::Socket)]
#[case::a_terminal_has_closed(Trouble::Terminal)]
#[case::it_cannot_be_written(Trouble::ReadOnly)]
#[case::nobody_reads_from_the_first_line_on(Trouble::Stops)]
#[tokio::test]
async fn a_server_starts_and_answers_and_stops_whatever_its_standard_error_is(#[case] trouble: Trouble) {
    let (_outlet, stderr) = Outlet::new(trouble);
    let mut program = Program::new(world::NOWHERE, None, 100 + trouble as u64).logging("debug");
    let server = program.url();
    program.start_with(stderr);
    until_ready(&server).await;
    for n in 0..5 {
        let (status, document) = incoming(&server, n).await;
        assert!(status == 200 && document.contains("<Connect"), "{status} {document}");
    }
    let lines = readyz(&server).await.1["diagnostics"]["lines_dropped"].as_u64().unwrap();
    let is_refused = !matches!(trouble, Trouble::Closed | Trouble::Stops);
    assert_eq!(lines > 0, is_refused, "{lines} lines dropped");
    let stopped = spawn_blocking(move || program.stop());
    tokio::time::timeout(STOPS_WITHIN, stopped).await.expect("the server stops").unwrap();
}

#[rstest]
#[case("HUP")]
#[case("USR1")]
#[case("USR2")]
#[case("ALRM")]
#[case("XFSZ")]
#[case("XCPU")]
#[tokio::test]
async fn signals_that_are_not_for_its_end_are_logged_and_end_nothing(#[case] signal: &str) {
    let (mut outlet, stderr) = Outlet::new(Trouble::None);
    let mut program = Program::new(world::NOWHERE, None, 200 + u64::from(signal.as_bytes()[1]));
    let server = program.url();
    program.start_with(stderr);
    outlet.begin();
    until_ready(&server).await;
    program.signal(signal);
    let line = format!(r#""signal":"SIG{signal}""#);
    until(|| outlet.has(&line)).await;
    assert_eq!(incoming(&server, 1).await.0, 200);
    let stopped = spawn_blocking(move || program.stop());
    tokio::time::timeout(STOPS_WITHIN, stopped).await.expect("the server stops").unwrap();
}

#[tokio::test]
async fn levels_that_cannot_be_read_are_told_and_do_not_silence_the_log() {
    let (mut outlet, stderr) = Outlet::new(Trouble::None);
    let mut program = Program::new(world::NOWHERE, None, 300).logging("patchcord=loud");
    let server = program.url();
    program.start_with(stderr);
    outlet.begin();
    until_ready(&server).await;
    until(|| outlet.has("RUST_LOG cannot be read") && outlet.has(r#""message":"ready""#)).await;
    let stopped = spawn_blocking(move || program.stop());
    stopped.await.unwrap();
}

#[rstest]
#[case::check(&["check"])]
#[case::help(&["--help"])]
#[case::calls(&["calls"])]
#[case::statistics(&["calls", "stats"])]
#[case::simulated(&["simulate", "carrier", "--help"])]
#[case::wrong(&["serve", "--nonsense"])]
#[tokio::test]
async fn a_command_whose_output_takes_nothing_does_not_panic(#[case] arguments: &'static [&'static str]) {
    for trouble in [Trouble::Dead, Trouble::Full, Trouble::Socket] {
        let code = spawn_blocking(move || outlet::command(arguments, trouble)).await.unwrap();
        assert!(code.is_some_and(|code| code <= 2), "{arguments:?} {trouble:?}: {code:?}");
    }
}

/// A webhook like the carrier's: the status, and the answer.
async fn incoming(server: &str, n: u32) -> (u16, String) {
    let url = format!("{server}/twilio/voice");
    let sid = format!("{:032x}", rand::random::<u128>());
    let pairs = [
        ("CallSid", format!("CA{sid}")),
        ("AccountSid", format!("AC{sid}")),
        ("From", format!("+1415555{n:04}")),
        ("To", "+13125550142".to_owned()),
        ("Direction", "inbound".to_owned()),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
    let signature = sign(Algorithm::HmacSha1, &Secret::new(world::AUTH_TOKEN), &url, &pairs);
    let request = client().post(&url).form(&pairs).header("X-Twilio-Signature", signature);
    let answer = request.timeout(PATIENCE).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn readyz(server: &str) -> (u16, Value) {
    let answer = client().get(format!("{server}/readyz")).timeout(PATIENCE).send().await;
    match answer {
        Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
        Err(_) => (0, Value::Null),
    }
}

async fn lines_dropped(server: &str) -> u64 {
    readyz(server).await.1["diagnostics"]["lines_dropped"].as_u64().unwrap()
}

/// Connections are not kept: each runtime of a test has its own.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        // Without a provider a client cannot be built.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
    });
    &CLIENT
}

async fn until_ready(server: &str) {
    let deadline = Instant::now() + PATIENCE;
    while readyz(server).await.0 != 200 {
        assert!(Instant::now() < deadline, "the server does not start");
        tokio::time::sleep(PAUSE).await; // allowed: another process starts, and its log is not to be read
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(PAUSE).await; // allowed: another process writes a line
    }
}

async fn until_reported(outlet: &Outlet) {
    until(|| outlet.has("diagnostic lines dropped")).await;
}
