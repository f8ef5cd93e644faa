//! `patchcord load`: how many calls a server carries, and what callers hear at that load.

mod arguments;
mod files;
mod host;
mod interrupt;
mod pin;
mod render;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tokio::net::lookup_host;
use tokio_util::sync::CancellationToken;

use self::files::Files;
use self::host::{Host, Setting};
use self::interrupt::Interrupt;
use crate::config;
use crate::load::capacity::{self, Search};
use crate::load::line::{self, Call, Exchange};
use crate::load::outcome::{Arrivals, Ended, INTERRUPTED, Kind, Model, Outcome, Plan, Share, Verdict};
use crate::load::process;
use crate::load::recording::Recordings;
use crate::load::run::{self, Watch};
use crate::load::tally::Board;
use crate::net::egress::Egress;
use crate::net::proxy::Proxies;
use crate::net::trust;
use crate::secret::Secret;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Voice webhook of the server; TWILIO_AUTH_TOKEN signs. Without it a server and a load model are started here.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Calls at the same time.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    calls: u32,
    /// From the first call until all are up.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = arguments::duration)]
    ramp: Duration,
    /// From then on to the end.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = arguments::duration)]
    duration: Duration,
    /// How calls arrive: steady, poisson or step.
    #[arg(long, default_value = "steady", value_parser = arguments::arrivals)]
    arrivals: Arrivals,
    /// Kinds of calls with weights: short, long, barge-in, hang-up, dtmf, fallback.
    #[arg(long, value_name = "KIND=WEIGHT,…", default_value = "short=4,long=2,barge-in=2,hang-up=1,dtmf=1",
          value_parser = arguments::mix)]
    mix: arguments::Mix,
    /// Recorded calls in place of the built-in ones: a folder like fixtures/calls.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    files: files::Targets,
    /// Search the most calls with which the p99 of the added delay is 60 ms at most and nothing is lost; begins with
    /// --calls.
    #[arg(long)]
    find_capacity: bool,
    /// With --find-capacity: never place more calls.
    #[arg(long, value_name = "N", default_value_t = 2000, requires = "find_capacity")]
    calls_max: u32,
    #[command(flatten)]
    place: Place,
}

/// Where things run.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Places")]
struct Place {
    /// Without --url: the server alone on the first core, everything else on the others.
    #[arg(long, conflicts_with = "url")]
    pin: bool,
    /// Without --url: how many calls the server admits at once. With more --calls the others are to be refused.
    #[arg(long, value_name = "N", conflicts_with_all = ["url", "find_capacity"],
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_calls: Option<u32>,
    /// Where the load model of the server at --url tells about itself, as it printed; without it no probes are sent.
    #[arg(long, value_name = "HOST:PORT", requires = "url")]
    model_control: Option<String>,
    /// The process of the server at --url; found by its port if it is on this machine.
    #[arg(long, value_name = "PID", requires = "url")]
    server_pid: Option<u32>,
    /// Number to dial.
    #[arg(long, value_name = "NUMBER", default_value = host::TO)]
    to: String,
    /// Number of an agent that the live service refuses, for calls of the kind `fallback`.
    #[arg(long, value_name = "NUMBER", default_value = host::FALLBACK_TO)]
    fallback_to: String,
    /// Certificate (PEM) to trust besides the public roots.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

/// The token that signs the requests; in the environment, where no list of processes shows it.
const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let outcome = in_own_thread(args.place.pin, move || async move {
        let (interrupt, stop) = (Interrupt::listen()?, CancellationToken::new());
        tokio::select! {
            biased;
            () = interrupt.twice(&stop) => Ok(None),
            outcome = Box::pin(test(&args, &stop)) => outcome,
        }
    });
    let code = outcome.await?.map_or(INTERRUPTED, |outcome| outcome.exit_code());
    Ok(ExitCode::from(code))
}

/// One thread costs less than several, and where it runs can be chosen.
async fn in_own_thread<F, T>(is_pinned: bool, work: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
    T: Send + 'static,
{
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let outcome = (|| {
            if is_pinned {
                pin::this_thread(&pin::others()?)?;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(work())
        })();
        // Nobody waits any more when the process ends.
        let _ = ended.send(outcome);
    });
    wait.await.context("the load test ended by itself")?
}

/// What was found; `None` if `stop` came before a call was placed.
async fn test(args: &Args, stop: &CancellationToken) -> anyhow::Result<Option<Outcome>> {
    let recordings = Arc::new(match &args.fixtures {
        Some(folder) => Recordings::load(folder)?,
        None => Recordings::built_in()?,
    });
    let mut files = Files::open(&args.files)?;
    let outcome = if args.find_capacity {
        Box::pin(find_capacity(args, &recordings, stop)).await?
    } else {
        Box::pin(attempt(args, &recordings, args.calls, stop)).await?
    };
    match &outcome {
        Some(outcome) => {
            let written = files.write(outcome);
            render::print(outcome)?;
            written?;
        }
        None => errln!("Interrupted before a call was placed."),
    }
    Ok(outcome)
}

/// Tries numbers of calls until the most that are well are found. The outcome is that of those; if none were well, that
/// of the last.
async fn find_capacity(
    args: &Args,
    recordings: &Arc<Recordings>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Outcome>> {
    let mut search = Search::new(args.calls, args.calls_max);
    let (mut best, mut last, mut steps) = (None::<Outcome>, None, Vec::new());
    let mut is_interrupted = false;
    while let Some(calls) = search.poll() {
        errln!("Trying {calls} calls at once …");
        let Some(outcome) = Box::pin(attempt(args, recordings, calls, stop)).await? else {
            is_interrupted = true;
            break;
        };
        is_interrupted = outcome.ended == Ended::Interrupted;
        if is_interrupted {
            last = Some(outcome);
            break;
        }
        search.handle(&outcome.verdict);
        steps.push(capacity::step(&outcome));
        let is_better = best.as_ref().is_none_or(|best| best.plan.calls < calls);
        if outcome.verdict == Verdict::Passed && is_better {
            best = Some(outcome);
        } else {
            last = Some(outcome);
        }
    }
    let capacity = search.capacity(best.as_ref(), steps, is_interrupted);
    Ok(best.or(last).map(|outcome| Outcome { capacity: Some(capacity), ..outcome }))
}

/// So many calls, at a server of its own if none is named; `None` if `stop` came before.
async fn attempt(
    args: &Args,
    recordings: &Arc<Recordings>,
    calls: u32,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Outcome>> {
    let host = match &args.url {
        Some(_) => None,
        None => {
            let Some(host) = stop.run_until_cancelled(Host::start(setting(args))).await else {
                return Ok(None);
            };
            Some(host?)
        }
    };
    let target = Target::find(args, host.as_ref()).await?;
    if host.is_some() {
        warm_up(args, &target, recordings, stop).await?;
    }
    let (exchange, plan) = prepare(args, &target, Arc::clone(recordings), calls)?;
    let stopped = stop.cancelled();
    let outcome = Box::pin(run::run(exchange, plan, target.watch, render::progress, stopped)).await;
    if let Some(host) = host {
        host.stop().await;
    }
    Ok(Some(outcome))
}

/// A server that has just been started reads its program and makes its first connections in its first call. That call
/// is not measured.
async fn warm_up(
    args: &Args,
    target: &Target,
    recordings: &Arc<Recordings>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    errln!("One call warms the server up …");
    let (exchange, _) = prepare(args, target, Arc::clone(recordings), 1)?;
    let call = Call { kind: Kind::HangUp, seed: args.seed };
    // What is wrong with it shows in the others.
    stop.run_until_cancelled(line::place(exchange, call)).await;
    Ok(())
}

fn setting(args: &Args) -> Setting {
    Setting {
        is_pinned: args.place.pin,
        has_fallback: mix(args).iter().any(|share| share.kind == Kind::Fallback),
        max_calls: args.place.max_calls,
    }
}

/// Whom to call, and whom to look at.
#[derive(Debug)]
struct Target {
    webhook: String,
    token: Secret,
    authority: Vec<CertificateDer<'static>>,
    watch: Watch,
}

impl Target {
    async fn find(args: &Args, host: Option<&Host>) -> anyhow::Result<Self> {
        if let Some(host) = host {
            return Ok(Self {
                webhook: host.webhook(),
                token: host.token(),
                authority: Vec::new(),
                watch: Watch { server_pid: Some(host.server_pid()), control: Some(host.control()) },
            });
        }
        let token = std::env::var(AUTH_TOKEN).unwrap_or_default();
        anyhow::ensure!(!token.is_empty(), "{AUTH_TOKEN} is not set; it signs the requests to the server");
        let webhook = args.url.clone().unwrap_or_default();
        let url = reqwest::Url::parse(&webhook).with_context(|| format!("--url: `{webhook}` is no URL"))?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let found = url.port_or_known_default().filter(|_| is_here).and_then(process::listening_on);
        let control = match &args.place.model_control {
            Some(address) => {
                let found =
                    lookup_host(address).await.with_context(|| format!("--model-control: {address}"))?;
                Some(found.into_iter().next().context("--model-control: the host has no address")?)
            }
            None => None,
        };
        let authority = args.place.ca.as_ref().map(|path| {
            let authority = config::certificates(path).map_err(anyhow::Error::msg);
            authority.with_context(|| path.display().to_string())
        });
        Ok(Self {
            webhook,
            token: Secret::new(token),
            authority: authority.transpose()?.unwrap_or_default(),
            watch: Watch { server_pid: args.place.server_pid.or(found), control },
        })
    }
}

fn prepare(
    args: &Args,
    target: &Target,
    recordings: Arc<Recordings>,
    calls: u32,
) -> anyhow::Result<(Arc<Exchange>, Plan)> {
    let has_probes = target.watch.control.is_some();
    let mut trusted = trust::Found::on_this_machine().certificates;
    trusted.extend(target.authority.iter().cloned());
    let tls = Egress::new(trusted, Proxies::from_env(&config::environment));
    let exchange = Exchange {
        webhook: target.webhook.clone(),
        token: target.token.clone(),
        to: args.place.to.clone(),
        fallback_to: args.place.fallback_to.clone(),
        web: line::web(&tls, &target.webhook)?,
        tls,
        recordings,
        has_probes,
        board: Board::default(),
    };
    let plan = Plan {
        target: target.webhook.clone(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        started_at: OffsetDateTime::now_utc(),
        calls,
        ramp_ms: crate::time::millis(args.ramp),
        duration_ms: crate::time::millis(args.duration),
        arrivals: args.arrivals,
        mix: mix(args),
        seed: args.seed,
        model: if has_probes { Model::Simulated } else { Model::Other },
        max_calls: args.place.max_calls,
    };
    Ok((Arc::new(exchange), plan))
}

fn mix(args: &Args) -> Vec<Share> {
    args.mix.0.iter().filter(|share| share.weight > 0).copied().collect()
}
