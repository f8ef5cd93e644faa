//! A whole load test: places the calls, looks every second at what became of them, and sums up.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::arrivals::{Deck, Schedule};
use super::line::{self, Call, Exchange};
use super::model::Snapshot;
use super::outcome::{Counts, Ended, Outcome, Plan, Second};
use super::sound::Dice;
use super::summary::Summary;

/// How exactly calls arrive in time.
const TICK: Duration = Duration::from_millis(10);

/// How long calls may take to hang up when the test is over.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// The load model is on this machine, or near.
const CONTROL_MAX: Duration = Duration::from_millis(500);

/// Whom the test looks at while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// The server, if it runs on this machine.
    pub server_pid: Option<u32>,
    /// Where the load model tells about itself.
    pub control: Option<SocketAddr>,
}

/// Runs the test to its end, or until `stop`. `progress` is told about every second.
pub async fn run(
    exchange: Arc<Exchange>,
    plan: Plan,
    watch: Watch,
    mut progress: impl FnMut(&Second, &Counts),
    stop: impl Future<Output = ()>,
) -> Outcome {
    let mut summary = Summary::start(&plan, watch, snapshot(watch.control).await.as_ref());
    let (ramp, duration) = (Duration::from_millis(plan.ramp_ms), Duration::from_millis(plan.duration_ms));
    let mut placing = Placing::new(Arc::clone(&exchange), &plan, ramp);
    let began = Instant::now();
    let (mut ticks, mut seconds) = (interval(TICK), interval(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    seconds.tick().await;
    tokio::pin!(stop);
    let ended = loop {
        tokio::select! {
            biased;
            () = &mut stop => break Ended::Interrupted,
            _ = seconds.tick() => {
                let model = snapshot(watch.control).await;
                let up = exchange.board.up.load(Relaxed);
                let counts = placing.counts(&summary);
                summary.second(began.elapsed(), exchange.board.take(), model.as_ref(), up);
                if let Some(second) = summary.last() {
                    progress(second, &counts);
                }
            }
            _ = ticks.tick() => {
                if began.elapsed() >= ramp + duration {
                    break Ended::Completed;
                }
                placing.poll(began.elapsed(), summary.call_length());
            }
        }
    };
    exchange.board.is_over.store(true, Relaxed);
    placing.finish().await;
    let model = snapshot(watch.control).await;
    summary.end(exchange.board.take(), model.as_ref());
    summary.outcome(plan, ended, placing.offered, exchange.has_probes)
}

/// The calls that are placed or up.
struct Placing {
    exchange: Arc<Exchange>,
    schedule: Schedule,
    deck: Deck,
    dice: Dice,
    calls: JoinSet<()>,
    offered: u64,
}

impl Placing {
    fn new(exchange: Arc<Exchange>, plan: &Plan, ramp: Duration) -> Self {
        Self {
            exchange,
            schedule: Schedule::new(plan.arrivals, plan.calls, ramp, plan.seed),
            deck: Deck::new(plan.mix.clone(), plan.seed),
            dice: Dice::new(plan.seed),
            calls: JoinSet::new(),
            offered: 0,
        }
    }

    /// Places the calls that are due.
    fn poll(&mut self, elapsed: Duration, length: Option<Duration>) {
        while self.calls.try_join_next().is_some() {}
        let up = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        for _ in 0..self.schedule.poll(elapsed, up, length) {
            let call = Call { kind: self.deck.deal(), seed: self.dice.below(u64::from(u32::MAX)) };
            self.offered += 1;
            self.calls.spawn(line::place(Arc::clone(&self.exchange), call));
        }
    }

    fn counts(&self, summary: &Summary) -> Counts {
        summary.counts(self.offered)
    }

    async fn finish(&mut self) {
        let over = async { while self.calls.join_next().await.is_some() {} };
        // What does not end is dropped.
        let _ = timeout(CLOSE_MAX, over).await;
    }
}

/// What the load model tells, if there is one.
async fn snapshot(control: Option<SocketAddr>) -> Option<Snapshot> {
    let asked = async {
        let mut line = Vec::new();
        TcpStream::connect(control?).await.ok()?.read_to_end(&mut line).await.ok()?;
        serde_json::from_slice(&line).ok()
    };
    timeout(CONTROL_MAX, asked).await.ok().flatten()
}
