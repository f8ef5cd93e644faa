//! Calls through the real server while Postgres and the server itself are killed: the log has all of them, and the
//! callers do not hear it.
//!
//! Small by default. `CHAOS=full` is the size that the product is held to, in three to four minutes on a machine with
//! nothing else to do, and there frames that come late are a failure too. `CHAOS_SEED` repeats what is done when, as
//! far as that can be repeated.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a measurement is printed")]

mod audit;
mod callers;
mod model;
mod pace;
mod plan;
#[path = "../postgres/mod.rs"]
mod postgres;
mod program;
#[path = "../world/mod.rs"]
mod world;

use std::env;
use std::time::{Duration, Instant};

use patchcord::sim::carrier::latency::Quantiles;
use rand::Rng as _;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use self::audit::{Findings, audit, is_shipped};
use self::callers::{Crowd, Seen};
use self::plan::{Amount, Plan};
use self::postgres::{Cluster, Fsync, PATIENCE};
use self::program::Program;

#[derive(Clone, Copy, Debug)]
struct Size {
    crowd: Crowd,
    amount: Amount,
    /// Pairs of runs whose middle one counts; none where lateness is told and not judged.
    comparisons: usize,
}

const SMALL: Size = Size {
    crowd: Crowd { calls: 8, at_once: 8 },
    amount: Amount {
        postgres_kills: 3,
        postgres_hangs: Duration::from_millis(1500),
        server_kills: 2,
        pause: Duration::from_millis(900),
    },
    comparisons: 0,
};

const FULL: Size = Size {
    crowd: Crowd { calls: 200, at_once: 24 },
    amount: Amount {
        postgres_kills: 20,
        postgres_hangs: Duration::from_secs(5),
        server_kills: 5,
        pause: Duration::from_millis(2000),
    },
    comparisons: 3,
};

/// By how much chaos may make the 99th percentile of the frames later.
const LATER_MAX_MS: f64 = 2.0;

// More threads than processors: the callers measure, and must not wait behind each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_row_is_lost_or_doubled_and_no_frame_is_late_when_postgres_and_the_server_are_killed() {
    let size = if env::var("CHAOS").is_ok_and(|size| size == "full") { FULL } else { SMALL };
    let named = env::var("CHAOS_SEED").ok().map(|seed| seed.parse().expect("CHAOS_SEED is a number"));
    let seed = named.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("CHAOS_SEED={seed}");
    let mut later_ms = Vec::new();
    for round in 0..size.comparisons.max(1) {
        let seed = seed + round as u64;
        let calm = run(size.crowd, None, seed).await;
        let chaos = run(size.crowd, Some(size.amount), seed).await;
        let later = chaos.p99_ms - calm.p99_ms;
        println!("   frames are later by {later:.2} ms at the 99th percentile (bar: {LATER_MAX_MS})");
        later_ms.push(later);
        if later <= LATER_MAX_MS {
            return;
        }
    }
    later_ms.sort_by(f64::total_cmp);
    let median = later_ms[later_ms.len() / 2];
    assert!(size.comparisons == 0 || median <= LATER_MAX_MS, "frames come later: {later_ms:?} ms");
}

/// Places the calls, with or without chaos, and audits the log; tells how late the frames were.
async fn run(crowd: Crowd, amount: Option<Amount>, seed: u64) -> Quantiles {
    let begun = Instant::now();
    let model = model::start().await;
    let endpoint = world::endpoint(&model);
    let (cluster, mut program) = apart(move || {
        let cluster = Cluster::start_with(Fsync::On);
        let mut program = Program::new(&endpoint, Some(cluster.url("postgres")), seed);
        program.start();
        (cluster, program)
    })
    .await;
    let (url, server) = (cluster.url("postgres"), program.url());
    let (up, is_up) = watch::channel(true);
    let (over, is_over) = watch::channel(amount.is_none());

    let trouble = apart(move || {
        let plan = amount.map(|amount| Plan::new(&amount, seed));
        let kills = plan.map(|plan| plan.carry_out(&cluster, &mut program, &up)).unwrap_or_default();
        over.send_replace(true);
        (cluster, program, kills, up)
    });
    let (seen, troubled) = tokio::join!(callers::place(server, crowd, seed, is_up, is_over), trouble);
    let (cluster, program, kills, _up) = troubled;
    let program = drain(&url, program).await;
    let findings = audit(&url, &program, &seen, &kills).await;
    let frames = Quantiles::of(&lateness(&seen));
    tell(amount.as_ref(), &seen, &findings, &frames, begun.elapsed().as_secs());
    findings.assert_clean(&program);
    apart(move || drop((cluster, program))).await;
    model.shutdown().await;
    frames
}

/// Waits for what waits, where nothing else has to wait.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap()
}

/// Stops the server, and starts and stops it until Postgres has everything.
async fn drain(url: &str, mut program: Program) -> Program {
    let deadline = Instant::now() + PATIENCE;
    loop {
        program = apart(move || {
            program.stop();
            program
        })
        .await;
        if is_shipped(url, &program).await {
            return program;
        }
        assert!(Instant::now() < deadline, "the journal does not drain:\n{}", program.complaints());
        program = apart(move || {
            program.start();
            program
        })
        .await;
    }
}

/// Of all frames that callers got.
fn lateness(seen: &[Seen]) -> Vec<Duration> {
    seen.iter().flat_map(|call| pace::lateness(&call.report.played.arrivals)).collect()
}

fn tell(amount: Option<&Amount>, seen: &[Seen], findings: &Findings, frames: &Quantiles, seconds: u64) {
    let admitted = seen.iter().filter(|call| call.is_admitted()).count();
    let cut = seen.iter().filter(|call| call.is_admitted() && call.hung_up_at().is_none()).count();
    match amount {
        Some(amount) => println!(
            "chaos: Postgres killed {} times, silent for {:?}, the server killed {} times; {seconds} s",
            amount.postgres_kills, amount.postgres_hangs, amount.server_kills
        ),
        None => println!("calm; {seconds} s"),
    }
    println!("   {} calls placed, {admitted} admitted, {cut} of them cut off", seen.len());
    println!(
        "   log: {} calls ({} whose webhook was never answered), {} rows, {} lost, {} doubled; {:?}",
        findings.calls,
        findings.unanswered,
        findings.rows,
        findings.lost.len(),
        findings.doubled.len(),
        findings.endings
    );
    let Quantiles { count, median_ms, p99_ms, max_ms } = frames;
    println!("   {count} frames late: median {median_ms:.2} ms, p99 {p99_ms:.2} ms, max {max_ms:.2} ms");
    let own: Vec<_> =
        seen.iter().map(|call| call.report.lateness.p99_ms / 1e3).map(Duration::from_secs_f64).collect();
    println!(
        "   the callers' own delay at the 99th percentile: {:.2} ms in the median call",
        Quantiles::of(&own).median_ms
    );
}
