//! The shell: accepts connections, routes requests, and plays answers. Decides nothing about their content.

mod body;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

use super::call::Call;
use super::ears::Ears;
use super::fault::{Book, Fault, Schedule};
use super::observation::{Observation, Sighting};
use super::plan::{Pace, plan};
use super::reply::{Body, Excuse, Refusal, Reply};
use super::route::{Route, Service};
use super::script::Script;
use super::turn::{House, Turn, lock};
use super::{anthropic, google, ollama, openai};
use crate::secret::Secret;

/// What a server serves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub script: Script,
    /// What the first recordings say that are not silent; those after them are told by their length.
    pub transcripts: Vec<String>,
    pub pace: Pace,
    /// The only key that is taken; none: any. Ollama never asks for one.
    pub key: Option<Secret>,
    pub faults: Vec<Schedule>,
}

/// Observations kept for a slow watcher: thousands of requests.
const SIGHTINGS: usize = 16_384;

/// A running server. Dropping it closes every connection at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    house: Arc<House>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves on this listener until [`Server::shutdown`].
    pub fn start(listener: TcpListener, config: Config) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (sightings, _) = broadcast::channel(SIGHTINGS);
        let house = Arc::new(House {
            script: config.script,
            pace: config.pace,
            key: config.key,
            ears: Mutex::new(Ears::new(config.transcripts)),
            book: Mutex::new(Book::new(config.faults)),
            sightings,
            requests: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, router(&house)));
        Ok(Self { address, house, task })
    }

    /// `http://` and the address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on. A watcher that lags loses the oldest.
    pub fn observations(&self) -> broadcast::Receiver<Sighting> {
        self.house.sightings.subscribe()
    }

    /// From the next request on; their counts begin anew.
    pub fn set_faults(&self, faults: Vec<Schedule>) {
        *lock(&self.house.book) = Book::new(faults);
    }

    /// Closes the listener and every connection.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // It was aborted: that is how it ends.
        (&mut self.task).await.ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(house: &Arc<House>) -> Router {
    let at = |route| {
        let house = Arc::clone(house);
        move |request: Request| serve(route, house, request)
    };
    let generate = {
        let house = Arc::clone(house);
        move |request: Request| async move {
            match google::generate::route(request.uri().path()) {
                Some(route) => serve(route, house, request).await,
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    Router::new()
        .route("/v1/chat/completions", post(at(Route::ChatCompletions)))
        .route("/v1/audio/transcriptions", post(at(Route::Transcriptions)))
        .route("/v1/audio/speech", post(at(Route::Speech)))
        .route("/v1/models", get(at(Route::Models)))
        .route("/v1/models/{call}", post(generate.clone()))
        .route("/v1beta/models/{call}", post(generate))
        .route("/v1/speech:recognize", post(at(Route::Recognize)))
        .route("/v1/text:synthesize", post(at(Route::Synthesize)))
        .route("/v1/messages", post(at(Route::Messages)))
        .route("/api/chat", post(at(Route::OllamaChat)))
        .layer(DefaultBodyLimit::disable())
}

async fn serve(route: Route, house: Arc<House>, request: Request) -> Response {
    let mut turn = Turn::begin(house, route);
    let Some(call) = Call::read(request).await else {
        return refuse(turn, excuse(route)(400));
    };
    match answer(route, &call, &mut turn) {
        Ok(reply) => play(turn, reply).await,
        Err(refusal) => refuse(turn, refusal),
    }
}

/// The route's own answer.
fn answer(route: Route, call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    match route {
        Route::ChatCompletions => openai::chat::answer(call, turn),
        Route::Transcriptions => openai::transcription::answer(call, turn),
        Route::Speech => openai::speech::answer(call, turn),
        Route::Models => openai::models(call, turn),
        Route::GenerateContent | Route::StreamGenerateContent => google::generate::answer(call, turn),
        Route::Recognize => google::recognize::answer(call, turn),
        Route::Synthesize => google::synthesize::answer(call, turn),
        Route::Messages => anthropic::answer(call, turn),
        Route::OllamaChat => ollama::answer(call, turn),
    }
}

fn excuse(route: Route) -> Excuse {
    match route.service() {
        Service::OpenAi => openai::excuse,
        Service::Gemini | Service::Google => google::excuse,
        Service::Anthropic => anthropic::excuse,
        Service::Ollama => ollama::excuse,
    }
}

/// Gives an answer as its fault has it.
async fn play(mut turn: Turn, reply: Reply) -> Response {
    let (fault, pace) = (turn.fault, turn.house.pace);
    tokio::time::sleep(pace.under(fault).first).await;
    match (fault, &reply.body) {
        (Some(Fault::Refuse(status)), _) => {
            let excuse = excuse(turn.watch.route);
            return refuse(turn, excuse(status));
        }
        (Some(Fault::Error), Body::Whole(_)) => {
            let excuse = excuse(turn.watch.route);
            return refuse(turn, excuse(500));
        }
        (Some(Fault::Close), _) => {
            turn.watch.end(Observation::Broken);
            return hang_up();
        }
        // The connection drops this future when the client goes away.
        (Some(Fault::Hang), _) => std::future::pending().await,
        (Some(_) | None, _) => {}
    }
    let plan = plan(reply.body, fault, pace);
    let length = plan.length;
    let mut response = Response::new(body::play(plan, turn.watch));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

fn refuse(mut turn: Turn, refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    turn.watch.end(Observation::Refused { status: status.as_u16() });
    let mut response = (status, axum::Json(refusal.body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
    }
    response
}

/// What a 429 asks for, in seconds.
pub(super) const RETRY_AFTER_S: u64 = 2;

/// Marks a response that is not to be sent.
#[derive(Clone, Copy)]
struct HangUp;

fn hang_up() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(HangUp);
    response
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without an answer")]
struct HungUp;

/// From the connection, or the last answer, to the end of the next headers.
const HEADERS_MAX: Duration = Duration::from_secs(60);

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, router.clone()))),
                // The peer is gone again, or there are no descriptors left: both pass.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request| {
        let response = router.call(request);
        async move {
            let Ok(response) = response.await;
            if response.extensions().get::<HangUp>().is_some() { Err(HungUp) } else { Ok(response) }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}
