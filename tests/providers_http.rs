//! Providers over real sockets: what is sent, and what becomes of a job when the other side fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http_server;

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use http_server::{Behaviour, Server, begun, nobody, refusal, whole};
use patchcord::breaker::FAILURES_MAX;
use patchcord::dialogue::{Dialogue, Speaker};
use patchcord::job::{Event, Failure, Prompt};
use patchcord::net::dial;
use patchcord::provider::http::{self, Timeouts, Transport};
use patchcord::provider::llm::{Config, Kind, Provider};
use patchcord::provider::pool::{Job, Pool};
use patchcord::secret::Secret;
use rstest::rstest;

const KEY: &str = "k3y-that-nobody-sees";

const GEMINI: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"It shipped.\"}]}}]}\r\n\r\n",
    "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],",
    "\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":2}}\r\n\r\n",
);

const OPENAI: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"It shipped.\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
);

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9}}}\n\n",
    "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"It shipped.\"}}\n\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
);

const OLLAMA: &str = concat!(
    "{\"message\":{\"content\":\"It shipped.\"},\"done\":false}\n",
    "{\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":9,\"eval_count\":2}\n",
);

/// The first words of an answer.
const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";

/// Deadlines for a peer that fails; with a good one they are the default ones.
fn hasty() -> Timeouts {
    let (first_byte_ms, between_bytes_ms, total_ms) = (Some(1_000), Some(1_000), Some(3_000));
    Timeouts { connect_ms: None, first_byte_ms, between_bytes_ms, total_ms }
}

fn provider(kind: Kind, endpoint: String, timeouts: Timeouts) -> Provider {
    rustls::crypto::ring::default_provider().install_default().ok();
    let config = Config { endpoint: Some(endpoint), timeouts, ..Config::new(kind) };
    let http = http::Config { idle_connections_max: 0, ..http::Config::default() };
    let transport = Transport { config: http, tls: dial::tls([]) };
    Provider::new(&config, Some(&Secret::new(KEY)), &transport).unwrap()
}

fn hasty_pool(server: &Server) -> Pool<Provider> {
    Pool::new([provider(Kind::OpenAi, server.url(), hasty())])
}

fn patient_pool(kind: Kind, server: &Server) -> Pool<Provider> {
    Pool::new([provider(kind, server.url(), Timeouts::default())])
}

fn prompt() -> Prompt {
    let mut dialogue = Dialogue::default();
    dialogue.push(Speaker::Caller, "Where is my order?");
    Prompt { instruction: "You are a phone agent.".into(), dialogue, temperature: None }
}

fn skipped(failure: Failure) -> Event {
    Event::Skipped { provider: "openai".into(), failure }
}

fn started() -> Event {
    Event::Started { provider: "openai".into() }
}

fn hello() -> Event {
    Event::Text("Hello".into())
}

/// It began, and failed after the first words.
fn broken(failure: Failure) -> Vec<Event> {
    let broke_off = Event::BrokeOff { provider: "openai".into(), failure: failure.clone() };
    vec![started(), hello(), broke_off, Event::Failed(failure)]
}

async fn all(job: Job) -> Vec<Event> {
    job.collect().await
}

#[rstest]
#[case(
    Kind::Gemini,
    GEMINI,
    "post /models/gemini-3.8-flash:streamgeneratecontent?alt=sse ",
    "x-goog-api-key: "
)]
#[case(Kind::OpenAi, OPENAI, "post /chat/completions ", "authorization: bearer ")]
#[case(Kind::Anthropic, ANTHROPIC, "post /messages ", "anthropic-version: 2023-06-01\r\nx-api-key: ")]
#[case(Kind::Ollama, OLLAMA, "post /chat ", "authorization: bearer ")]
#[tokio::test]
async fn a_good_answer_is_told_and_its_connection_closed(
    #[case] kind: Kind,
    #[case] answer: &str,
    #[case] target: &str,
    #[case] header: &str,
) {
    let mut server = Server::start(Behaviour::Answer(whole(answer)));
    let mut job = patient_pool(kind, &server).job(prompt());
    let mut events = Vec::new();
    while let Some(event) = job.next().await {
        events.push(event);
    }
    let expected = [
        Event::Started { provider: kind.code().into() },
        Event::Text("It shipped.".into()),
        Event::Usage { prompt_tokens: 9, response_tokens: 2 },
        Event::Done,
    ];
    assert_eq!(events, expected);
    let request = server.request().await;
    assert!(request.head.starts_with(target), "{}", request.head);
    for header in header.split("\r\n") {
        assert!(request.head.contains(header), "{header} in {}", request.head);
    }
    assert_eq!(request.head.matches(KEY).count(), 1, "in its header and not in the URL");
    assert!(request.body.contains("Where is my order?"), "{}", request.body);
    server.closed(1).await;
}

#[rstest]
#[case::hangs_before_the_head(Behaviour::Hang(String::new()), vec![skipped(Failure::FirstByteTimeout)])]
#[case::hangs_in_the_head(Behaviour::Hang("HTTP/1.1 200 OK\r\n".into()), vec![skipped(Failure::FirstByteTimeout)])]
#[case::hangs_after_the_head(Behaviour::Hang(begun("")), vec![skipped(Failure::FirstByteTimeout)])]
#[case::says_nothing_but_comments(
    Behaviour::Flood(begun(""), http_server::chunk(": ping\n\n")), vec![skipped(Failure::FirstByteTimeout)]
)]
#[case::hangs_in_mid_body(Behaviour::Hang(begun(HELLO)), broken(Failure::Stalled))]
#[case::ends_without_saying_so(Behaviour::Answer(whole(HELLO)), vec![started(), hello(), Event::Done])]
#[case::ends_without_an_empty_line(Behaviour::Answer(whole(HELLO.trim_end())), vec![started(), hello(), Event::Done])]
#[case::ends_for_want_of_tokens(
    Behaviour::Answer(whole(&format!("{HELLO}data: {{\"choices\":[{{\"finish_reason\":\"length\"}}]}}\n\n"))),
    broken(Failure::Unfinished { reason: "length".into() })
)]
#[case::ends_in_the_middle_of_a_frame(
    Behaviour::Answer(whole(&format!("{HELLO}data: {{\"choices\":[{{\"del"))),
    broken(Failure::Cut { message: "it ends in the middle of a frame".into() })
)]
#[case::ends_with_frames_and_no_word(
    Behaviour::Answer(whole("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n")),
    vec![skipped(Failure::Empty)]
)]
#[case::garbage_for_frames(
    Behaviour::Answer(whole("data: {\"choices\":[}\n\n")),
    vec![skipped(Failure::Unreadable { message: "Syntax error of JSON at line 1, column 13".into() })]
)]
#[case::a_web_page(
    Behaviour::Answer(whole("<html>Hello</html>\n")),
    vec![skipped(Failure::Unreadable { message: "it ends without a whole frame".into() })]
)]
#[case::a_redirect(
    Behaviour::Answer("HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into()),
    vec![skipped(Failure::Refused { status: 307, message: String::new() })]
)]
#[case::a_quota(
    Behaviour::Answer(refusal("429 Too Many Requests", r#"{"error":{"code":429,"message":"Slow\ndown."}}"#)),
    vec![skipped(Failure::Refused { status: 429, message: "Slow down.".into() })]
)]
#[case::a_key_told_back(
    Behaviour::Answer(refusal("401 Unauthorized", &format!(r#"[{{"error":{{"message":"Bad key {KEY}"}}}}]"#))),
    vec![skipped(Failure::Refused { status: 401, message: "Bad key ***".into() })]
)]
#[case::a_long_message(
    Behaviour::Answer(refusal("500 Oh", &format!(r#"{{"error":"{}"}}"#, "x".repeat(999)))),
    vec![skipped(Failure::Refused { status: 500, message: "x".repeat(200) })]
)]
#[case::an_error_page_that_hangs(
    Behaviour::Hang("HTTP/1.1 502 Bad\r\ncontent-length: 99\r\n\r\n<html>".into()),
    vec![skipped(Failure::Refused { status: 502, message: String::new() })]
)]
#[case::an_error_in_the_answer(
    Behaviour::Answer(whole("data: {\"error\":{\"message\":\"overloaded\"}}\n\n")),
    vec![skipped(Failure::Reported { message: "overloaded".into() })]
)]
#[case::forgets_to_end(
    Behaviour::Hang(begun(&format!("{HELLO}data: {{\"choices\":[{{\"finish_reason\":\"stop\"}}]}}\n\n"))),
    vec![started(), hello(), Event::Done]
)]
#[tokio::test]
async fn a_failure_is_named_and_its_connection_closed_before_the_job_is_dropped(
    #[case] behaviour: Behaviour,
    #[case] mut expected: Vec<Event>,
) {
    let mut server = Server::start(behaviour);
    let mut job = hasty_pool(&server).job(prompt());
    let mut events = Vec::new();
    while let Some(event) = job.next().await {
        events.push(event);
    }
    if matches!(expected[0], Event::Skipped { .. }) {
        expected.push(Event::Failed(Failure::NoProvider));
    }
    assert_eq!(events, expected);
    server.closed(1).await;
    drop(job);
}

/// The words of these failures are the system's or a library's.
#[rstest]
#[case::before_the_head(Behaviour::Cut(String::new()), "cut")]
#[case::in_mid_body(Behaviour::Cut(begun(HELLO)), "cut")]
#[case::no_http(Behaviour::Answer("220 smtp ready\r\n\r\n".into()), "unreadable")]
#[tokio::test]
async fn a_broken_connection_is_told_from_garbage(#[case] behaviour: Behaviour, #[case] code: &str) {
    let mut server = Server::start(behaviour);
    let events = all(hasty_pool(&server).job(prompt())).await;
    let last = events.iter().rev().find(|event| **event != Event::Failed(Failure::NoProvider));
    let (Some(Event::Skipped { failure, .. }) | Some(Event::Failed(failure))) = last else {
        panic!("{events:?}");
    };
    assert_eq!(failure.code(), code, "{failure}");
    assert!(!failure.to_string().contains("127.0.0.1"), "{failure}");
    server.closed(1).await;
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let mut server = Server::start(Behaviour::Flood(begun(HELLO), http_server::chunk(&http_server::long())));
    let events = all(hasty_pool(&server).job(prompt())).await;
    assert_eq!(events.last(), Some(&Event::Failed(Failure::TooLong)));
    server.closed(1).await;
}

#[tokio::test]
async fn the_next_provider_answers_when_the_first_cannot_be_reached() {
    let refused: SocketAddr = nobody();
    let server = Server::start(Behaviour::Answer(whole(GEMINI)));
    let first = provider(Kind::OpenAi, format!("http://{refused}/v1"), hasty());
    let pool = Pool::new([first, provider(Kind::Gemini, server.url(), Timeouts::default())]);
    let events = all(pool.job(prompt())).await;
    let Event::Skipped { provider, failure: Failure::Unreachable { message } } = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(&**provider, "openai");
    assert!(message.contains("refused") && !message.contains("/v1"), "{message}");
    assert_eq!(events[1], Event::Started { provider: "gemini".into() });
    assert_eq!(events.last(), Some(&Event::Done));
}

#[tokio::test]
async fn a_job_dropped_before_its_answer_closes_the_connection_and_frees_its_attempt() {
    let mut server = Server::start(Behaviour::Hang(String::new()));
    let other = provider(Kind::Gemini, format!("http://{}", nobody()), hasty());
    let pool = Pool::new([provider(Kind::OpenAi, server.url(), hasty()), other]);
    // The first failure puts the provider under suspicion: few may try, with those that failed.
    assert_eq!(all(pool.job(prompt())).await[0], skipped(Failure::FirstByteTimeout));
    server.request().await;
    server.closed(1).await;
    let mut jobs: Vec<_> = (1..FAILURES_MAX).map(|_| pool.job(prompt())).collect();
    for job in &mut jobs {
        wait_for_request(job, &mut server).await;
    }
    assert_eq!(pool.job(prompt()).next().await, Some(skipped(Failure::BreakerOpen)));
    jobs.pop();
    server.closed(1).await;
    wait_for_request(&mut pool.job(prompt()), &mut server).await;
}

/// Has the job send its request, and leaves it waiting for the answer.
async fn wait_for_request(job: &mut Job, server: &mut Server) {
    tokio::select! {
        event = job.next() => panic!("{event:?}"),
        _ = server.request() => {}
    }
}

#[tokio::test]
async fn a_job_dropped_in_mid_answer_closes_the_connection() {
    let mut server = Server::start(Behaviour::Hang(begun(HELLO)));
    let mut job = patient_pool(Kind::OpenAi, &server).job(prompt());
    assert_eq!((job.next().await, job.next().await), (Some(started()), Some(hello())));
    drop(job);
    server.closed(1).await;
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_told_and_not_shown() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let transport = Transport { config: http::Config::default(), tls: dial::tls([]) };
    let config = Config::new(Kind::Gemini);
    let error = Provider::new(&config, Some(&Secret::new("a\nb")), &transport).unwrap_err();
    assert_eq!(error, http::Error::Key);
    let provider = Provider::new(&config, Some(&Secret::new(KEY)), &transport).unwrap();
    assert!(!format!("{provider:?}").contains(KEY));
    let config = Config { endpoint: Some("ftp://x".into()), ..config };
    assert_eq!(
        Provider::new(&config, None, &transport).unwrap_err(),
        http::Error::Endpoint("ftp://x".into())
    );
}
