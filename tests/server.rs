//! The server as the carrier meets it: real sockets, signed requests, and what is in the call log afterwards.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use patchcord::bridge::{Bridge, Offer};
use patchcord::call::agent::Agent;
use patchcord::call::context::{Context, Direction};
use patchcord::call::record::{Annotation, Ending, Entry, Record};
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::net::dial;
use patchcord::provider::gemini;
use patchcord::secret::Secret;
use patchcord::server::{self, Config, State};
use patchcord::store::{Handle, Line};
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// Not where the server listens: signatures are about this name, and never about `Host`.
const PUBLIC_URL: &str = "https://voice.example.com";
const AUTH_TOKEN: &str = "8f2c1d7e5a9b4c3d6e0f1a2b3c4d5e6f";
const SALES: &str = "+13125550142";
const CA1: &str = "CA00000000000000000000000000000001";
const CA2: &str = "CA00000000000000000000000000000002";
const AC1: &str = "AC00000000000000000000000000000001";
const CALLER: &str = "+14155550123";

struct Server {
    address: String,
    client: reqwest::Client,
    log: mpsc::Receiver<Line>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

type Pairs = Vec<(String, String)>;

/// An agent with a number of its own, and for the other numbers perhaps another.
fn agents(with_default: bool) -> Vec<Arc<Agent>> {
    let sales = Agent {
        name: "sales".to_owned(),
        number: Some(SALES.to_owned()),
        business_id: "acme <& co>".to_owned(),
        prompt: "Sell.".to_owned(),
        ..Agent::default()
    };
    let mut agents = vec![Arc::new(sales)];
    agents.extend(with_default.then(|| Arc::new(Agent::default())));
    agents
}

/// A bridge whose live service is not there.
fn bridge(store: Handle) -> Arc<Bridge> {
    let config = gemini::Config { endpoint: "ws://127.0.0.1:9".to_owned(), ..gemini::Config::default() };
    let dialer = gemini::Dialer::new(&config, &Secret::new("key"), dial::tls([])).unwrap();
    Arc::new(Bridge::new(store, Offer::live(dialer)))
}

impl Server {
    async fn start() -> Self {
        let config = Config { public_url: Some(PUBLIC_URL.to_owned()), ..Config::default() };
        Self::with(config, &[AUTH_TOKEN], agents(true)).await
    }

    async fn with(config: Config, auth_tokens: &[&str], agents: Vec<Arc<Agent>>) -> Self {
        // Without a provider a client cannot be built; it is the same for all tests.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (store, log) = Handle::pair(4096);
        let auth_tokens = auth_tokens.iter().copied().map(Secret::new).collect();
        let state = State::new(&config, auth_tokens, agents, bridge(store)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server::serve(listener, Arc::new(state), async {
            let _ = stopped.await;
        }));
        Self { address, client: reqwest::Client::new(), log, stop: Some(stop), task }
    }

    /// Posts a form, signed as the carrier does.
    async fn post(&self, path: &str, pairs: &Pairs) -> (u16, String) {
        let url = format!("{PUBLIC_URL}{path}");
        self.post_with(path, pairs, Some(sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &url, pairs)))
            .await
    }

    async fn post_with(&self, path: &str, pairs: &Pairs, signature: Option<String>) -> (u16, String) {
        let mut request = self.client.post(format!("http://{}{path}", self.address)).form(pairs);
        if let Some(signature) = signature {
            request = request.header("X-Twilio-Signature", signature);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Opens a media stream; the status is 101 if it is open.
    async fn open(&self, path: &str) -> u16 {
        let url = format!("wss://voice.example.com{path}");
        open(&self.address, path, Some(sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &url, &[]))).await
    }

    /// What is in the log by now.
    fn lines(&mut self) -> Vec<Line> {
        std::iter::from_fn(|| self.log.try_recv().ok()).collect()
    }

    fn entries(&mut self) -> Vec<Entry> {
        let entry = |line| match line {
            Line::Entry(entry) => entry.as_ref().clone(),
            Line::Annotation(annotation) => panic!("{annotation:?}"),
        };
        self.lines().into_iter().map(entry).collect()
    }

    /// The only call in the log: how it opened, and how it ended if it did.
    fn call(&mut self) -> (Context, Option<Ending>) {
        let mut entries = self.entries().into_iter();
        let first = entries.next().expect("a call");
        let Record::Opened(context) = first.record else { panic!("{first:?}") };
        let ending = entries.next().map(|entry| {
            assert_eq!((entry.call, entry.sequence), (first.call, first.sequence + 1));
            let Record::Ended(ending) = entry.record else { panic!("{entry:?}") };
            ending
        });
        assert_eq!(entries.next(), None);
        (*context, ending)
    }
}

async fn open(address: &str, path: &str, signature: Option<String>) -> u16 {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(signature) = signature {
        request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, response)) => {
            assert_eq!(response.headers().get("sec-websocket-protocol"), None);
            assert_eq!(response.headers().get("sec-websocket-extensions"), None);
            response.status().as_u16()
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn voice(call_sid: &str, to: &str) -> Pairs {
    pairs(&[
        ("CallSid", call_sid),
        ("AccountSid", AC1),
        ("From", CALLER),
        ("To", to),
        ("Direction", "inbound"),
        ("CallStatus", "ringing"),
    ])
}

/// The path of the stream in an answer.
fn stream(document: &str) -> String {
    let (_, rest) = document.split_once("<Stream url=\"wss://voice.example.com").expect(document);
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_call_is_opened_in_the_log_and_connected_to_a_stream() {
    let mut server = Server::start().await;
    let (status, document) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    assert_eq!(status, 200);
    let path = stream(&document);
    let token = path.strip_prefix("/twilio/media/").unwrap();
    assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert_eq!(
        document,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect>\
             <Stream url=\"wss://voice.example.com{path}\" statusCallback=\"https://voice.example.com/twilio/status\">\
             <Parameter name=\"agent\" value=\"sales\"/>\
             <Parameter name=\"business_id\" value=\"acme &lt;&amp; co&gt;\"/>\
             <Parameter name=\"attempt\" value=\"1\"/>\
             </Stream></Connect><Pause length=\"1\"/><Redirect method=\"POST\">\
             https://voice.example.com/twilio/resume?attempt=1#ct=2000&amp;rc=5&amp;rp=ct,5xx&amp;tt=15000\
             </Redirect></Response>"
        )
    );
    let (context, ending) = server.call();
    assert_eq!(ending, None);
    assert_eq!([&context.carrier, &context.call_sid, &context.account_sid], ["twilio", CA1, AC1]);
    assert_eq!([&context.from, &context.to], [CALLER, SALES]);
    assert_eq!([&context.agent, &context.business_id, &context.prompt], ["sales", "acme <& co>", "Sell."]);
    assert_eq!(context.direction, Direction::Inbound);
    assert_eq!(context.parameters["agent"], "sales");
}

#[tokio::test]
async fn the_answer_is_xml() {
    let server = Server::start().await;
    let (form, url) = (voice(CA1, SALES), format!("{PUBLIC_URL}/twilio/voice"));
    let signature = sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &url, &form);
    let request = server.client.post(format!("http://{}/twilio/voice", server.address)).form(&form);
    let response = request.header("X-Twilio-Signature", signature).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/xml; charset=utf-8");
}

#[tokio::test]
async fn a_number_without_an_agent_of_its_own_gets_the_one_for_all_numbers() {
    let mut server = Server::start().await;
    server.post("/twilio/voice", &voice(CA1, "+13125550999")).await;
    assert_eq!(server.call().0.agent, "default");
}

#[tokio::test]
async fn a_number_that_no_agent_answers_is_rejected_and_recorded() {
    let config = Config { public_url: Some(PUBLIC_URL.to_owned()), ..Config::default() };
    let mut server = Server::with(config, &[AUTH_TOKEN], agents(false)).await;
    for _ in 0..3 {
        let (status, document) = server.post("/twilio/voice", &voice(CA1, "+13125550999")).await;
        assert_eq!(status, 200);
        assert!(document.contains("<Response><Reject reason=\"rejected\"/></Response>"), "{document}");
    }
    let (context, ending) = server.call();
    assert_eq!(ending, Some(Ending::AgentUnknown));
    assert_eq!([&context.call_sid, &context.from, &context.to], [CA1, CALLER, "+13125550999"]);
    assert_eq!([&context.agent, &context.business_id, &context.prompt], ["unknown", "unknown", ""]);
}

/// Forms that have the signature of a call's, cut anew, and forms that are no call's.
#[rstest]
#[case::nothing(&[])]
#[case::no_caller(&[("CallSid", CA1), ("AccountSid", AC1), ("To", SALES)])]
#[case::another_call(&[("CallSid", &CA1[..20]), (&CA1[20..], ""), ("AccountSid", AC1), ("From", CALLER)])]
#[case::caller_in_a_name(&[("CallSid", CA1), ("AccountSid", AC1), ("From+14155550123", "x")])]
#[case::a_name_that_no_carrier_writes(&[("CallSid", CA1), ("AccountSid", AC1), ("From", CALLER), ("a b", "")])]
#[tokio::test]
async fn a_form_that_is_no_calls_is_refused(#[case] form: &[(&str, &str)]) {
    let mut server = Server::start().await;
    assert_eq!(server.post("/twilio/voice", &pairs(form)).await.0, 400);
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn what_real_requests_add_does_no_harm() {
    let mut server = Server::start().await;
    let more = [
        ("SipHeader_X-Ticket", "7"),
        ("AddOns", "{\"status\":\"successful\"}"),
        ("StirVerstat", ""),
        ("ForwardedFrom", "+13125559999"),
        ("Param.1", "x"),
    ];
    let form = [voice(CA1, "sip:+13125550142@acme.sip.twilio.com;user=phone"), pairs(&more)].concat();
    assert_eq!(server.post("/twilio/voice", &form).await.0, 200);
    let (context, _) = server.call();
    assert_eq!((context.agent.as_str(), context.to.as_str()), ("sales", "+13125550142"));
}

#[tokio::test]
async fn a_message_is_in_the_log_and_the_caller_is_not_connected_again() {
    let mut server = Server::start().await;
    let message = [
        ("RecordingUrl", "https://api.example.com/RE1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "12"),
    ];
    let form = [voice(CA1, SALES), pairs(&message), pairs(&[("Digits", "hangup")])].concat();
    for _ in 0..2 {
        let (status, document) = server.post("/twilio/recorded", &form).await;
        assert_eq!(status, 200);
        assert!(document.contains("<Response><Hangup/></Response>"), "{document}");
    }
    let lines = server.lines();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let Line::Annotation(Annotation { call_sid, key, kind, detail, .. }) = line else {
            panic!("{line:?}")
        };
        assert_eq!((call_sid.as_str(), key, kind), (CA1, format!("{CA1}/voicemail/RE1"), "voicemail"));
        assert_eq!(
            detail,
            [message[0], message[2], message[1]].map(|(name, value)| (name.into(), value.into()))
        );
    }
    assert_eq!(server.post_with("/twilio/recorded", &form, None).await.0, 403, "it must be the carrier's");
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn the_same_webhook_again_gets_the_same_answer_and_opens_nothing() {
    let mut server = Server::start().await;
    let (_, first) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    for _ in 0..4 {
        assert_eq!(server.post("/twilio/voice", &voice(CA1, SALES)).await, (200, first.clone()));
    }
    assert_eq!(server.open(&stream(&first)).await, 101);
    assert_eq!(server.open(&stream(&first)).await, 403, "a token is good once");
    let (_, again) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    assert_ne!(stream(&again), stream(&first), "the call asks anew");
    let (_, other) = server.post("/twilio/voice", &voice(CA2, SALES)).await;
    assert!(stream(&other) != stream(&first) && stream(&other) != stream(&again));
    let entries = server.entries();
    let opened = entries.iter().filter_map(|entry| match &entry.record {
        Record::Opened(context) => Some(context.call_sid.clone()),
        Record::Answered { .. } | Record::Turn(_) | Record::Event(_) | Record::Ended(_) => None,
    });
    assert_eq!(opened.collect::<Vec<_>>(), [CA1, CA1, CA2]);
}

#[tokio::test]
async fn webhooks_of_one_call_that_race_open_it_once() {
    let mut server = Server::start().await;
    let form = voice(CA1, SALES);
    let answers = futures_util::future::join_all((0..20).map(|_| server.post("/twilio/voice", &form))).await;
    assert_eq!(answers.into_iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(server.entries().len(), 1);
}

#[rstest]
#[case::voice("/twilio/voice")]
#[case::resume("/twilio/resume?attempt=1")]
#[case::status("/twilio/status")]
#[tokio::test]
async fn a_request_that_is_not_the_carriers_leaves_nothing_behind(#[case] path: &str) {
    let mut server = Server::start().await;
    let (key, url, form) = (Secret::new(AUTH_TOKEN), format!("{PUBLIC_URL}{path}"), voice(CA1, SALES));
    let sha1 = |key: &Secret, url: &str, form: &Pairs| Some(sign(Algorithm::HmacSha1, key, url, form));
    let forgeries = [
        None,
        Some(String::new()),
        Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
        Some(sign(Algorithm::HmacSha256, &key, &url, &form)),
        sha1(&Secret::new("another"), &url, &form),
        sha1(&Secret::new(""), &url, &form),
        sha1(&key, &format!("http://{}{path}", server.address), &form),
        sha1(&key, &format!("{url}/"), &form),
        sha1(&key, &url, &voice(CA2, SALES)),
    ];
    for signature in forgeries {
        assert_eq!(server.post_with(path, &form, signature).await.0, 403);
    }
    let good = sha1(&key, &url, &form);
    let mut more = form.clone();
    more.push(("Extra".to_owned(), String::new()));
    assert_eq!(server.post_with(path, &more, good.clone()).await.0, 403);
    assert_eq!(server.post_with(path, &form[1..].to_vec(), good.clone()).await.0, 403);
    assert!(server.lines().is_empty());
    let (status, _) = server.post_with(path, &form, good).await;
    assert!([200, 204].contains(&status), "{status}");
}

#[tokio::test]
async fn either_of_two_auth_tokens_is_believed() {
    let config = Config { public_url: Some(format!("{PUBLIC_URL}/")), ..Config::default() };
    let server = Server::with(config, &["the next one", AUTH_TOKEN], agents(true)).await;
    assert_eq!(server.post("/twilio/voice", &voice(CA1, SALES)).await.0, 200);
}

#[rstest]
#[case::no_auth_token(Some(PUBLIC_URL), &[], "auth token")]
#[case::an_empty_auth_token(Some(PUBLIC_URL), &[""], "auth token")]
#[case::no_public_url(None, &[AUTH_TOKEN], "public_url")]
#[tokio::test]
async fn a_server_that_cannot_verify_refuses_everything_and_says_why(
    #[case] public_url: Option<&str>,
    #[case] auth_tokens: &[&str],
    #[case] missing: &str,
) {
    let config = Config { public_url: public_url.map(str::to_owned), ..Config::default() };
    let mut server = Server::with(config, auth_tokens, agents(true)).await;
    for path in ["/twilio/voice", "/twilio/resume", "/twilio/status"] {
        let (status, body) = server.post(path, &voice(CA1, SALES)).await;
        assert_eq!(status, 503);
        assert!(body.contains(missing), "{body}");
    }
    assert_eq!(server.open("/twilio/media/0123456789abcdef0123456789abcdef").await, 503);
    assert!(server.lines().is_empty());
}

/// A call's form of exactly this many bytes.
fn form_of(bytes: usize) -> Pairs {
    let voice = voice(CA1, SALES);
    let length = form_urlencoded::Serializer::new(String::new()).extend_pairs(&voice).finish().len();
    [voice, pairs(&[("X", &"x".repeat(bytes - length - "&X=".len()))])].concat()
}

/// A call's form with so many fields.
fn form_with(count: usize) -> Pairs {
    let voice = voice(CA1, SALES);
    let more = (0..count - voice.len()).map(|number| (format!("p{number}"), String::new())).collect();
    [voice, more].concat()
}

#[rstest]
#[case::largest_body(form_of(256 * 1024), 200)]
#[case::larger_body(form_of(256 * 1024 + 1), 413)]
#[case::widest_form(form_with(1000), 200)]
#[case::wider_form(form_with(1001), 400)]
#[tokio::test]
async fn a_form_is_bounded(#[case] form: Pairs, #[case] expected: u16) {
    let mut server = Server::start().await;
    assert_eq!(server.post("/twilio/voice", &form).await.0, expected);
    assert_eq!(server.lines().is_empty(), expected != 200);
}

#[rstest]
#[case(form_of(256 * 1024 + 1), 413)]
#[case(form_with(1001), 400)]
#[case(form_with(1000), 403)]
#[tokio::test]
async fn the_bounds_come_before_the_signature(#[case] form: Pairs, #[case] expected: u16) {
    let server = Server::start().await;
    assert_eq!(server.post_with("/twilio/voice", &form, Some("forged".to_owned())).await.0, expected);
}

#[rstest]
#[case("/twilio/resume")]
#[case("/twilio/resume?attempt=1")]
#[case("/twilio/resume?attempt=%31&x=a%2Fb")]
#[tokio::test]
async fn a_call_whose_stream_ended_is_hung_up(#[case] path: &str) {
    let mut server = Server::start().await;
    let (status, document) = server.post(path, &voice(CA1, SALES)).await;
    assert_eq!(status, 200);
    assert!(document.contains("<Response><Hangup/></Response>"), "{document}");
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn callbacks_annotate_the_log_and_end_nothing() {
    let mut server = Server::start().await;
    let (_, document) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    server.entries();
    let status = [("CallStatus", "completed"), ("SequenceNumber", "3")];
    let event = [("StreamEvent", "stream-error"), ("StreamSid", "MZ1"), ("StreamError", "x")];
    let completed = pairs(&[&[("CallSid", CA1), ("From", CALLER)], &status[..]].concat());
    let failed = pairs(&[&[("CallSid", CA1)], &event[..]].concat());
    for form in [&completed, &failed, &completed] {
        assert_eq!(server.post("/twilio/status", form).await.0, 204);
    }
    let annotation = |line| match line {
        Line::Annotation(Annotation { call_sid, key, kind, detail, .. }) => (call_sid, key, kind, detail),
        Line::Entry(entry) => panic!("{entry:?}"),
    };
    let annotations: Vec<_> = server.lines().into_iter().map(annotation).collect();
    let completed = (CA1.to_owned(), format!("{CA1}/3/completed"), "call_status", pairs(&status));
    let failed = (CA1.to_owned(), "MZ1/stream-error".to_owned(), "stream_status", pairs(&event));
    assert_eq!(annotations, [completed.clone(), failed, completed]);
    assert_eq!(
        server.open(&stream(&document)).await,
        101,
        "a call said to be completed still has its stream"
    );
}

#[tokio::test]
async fn a_stream_is_opened_once() {
    let mut server = Server::start().await;
    let (_, document) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    assert_eq!(server.open(&stream(&document)).await, 101);
    assert_eq!(server.open(&stream(&document)).await, 403);
    let opened = server.entries().into_iter().filter(|entry| matches!(entry.record, Record::Opened(_)));
    assert_eq!(opened.count(), 1);
}

#[tokio::test]
async fn of_a_hundred_streams_with_one_token_one_is_opened() {
    let server = Server::start().await;
    let (_, document) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    let path = stream(&document);
    let mut statuses = futures_util::future::join_all((0..100).map(|_| server.open(&path))).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 101);
    assert_eq!(statuses[1..], [403; 99]);
}

#[rstest]
#[case("/twilio/media/0123456789abcdef0123456789abcdef", 404)]
#[case("/twilio/media/x", 404)]
#[case("/twilio/media/", 404)]
#[case("/twilio/media", 404)]
#[case::no_text("/twilio/media/%ff", 400)]
#[tokio::test]
async fn a_stream_that_nobody_expects_is_not_opened(#[case] path: &str, #[case] expected: u16) {
    let mut server = Server::start().await;
    assert_eq!(server.open(path).await, expected);
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_stream_that_is_not_the_carriers_does_not_use_up_the_token() {
    let mut server = Server::start().await;
    let (_, document) = server.post("/twilio/voice", &voice(CA1, SALES)).await;
    let path = stream(&document);
    let key = Secret::new(AUTH_TOKEN);
    let sign = |key: &Secret, url: &str| Some(sign(Algorithm::HmacSha1, key, url, &[]));
    let forgeries = [
        None,
        Some(String::new()),
        sign(&Secret::new("another"), &format!("wss://voice.example.com{path}")),
        sign(&key, &format!("https://voice.example.com{path}")),
        sign(&key, &format!("ws://{}{path}", server.address)),
        sign(&key, "wss://voice.example.com/twilio/media/0123456789abcdef0123456789abcdef"),
    ];
    for signature in forgeries {
        assert_eq!(open(&server.address, &path, signature).await, 403);
    }
    let plain = server.client.get(format!("http://{}{path}", server.address));
    let signature = sign(&key, &format!("wss://voice.example.com{path}")).unwrap();
    let response = plain.header("X-Twilio-Signature", signature).send().await.unwrap();
    assert_eq!(response.status(), 400, "not an upgrade");
    assert_eq!(server.open(&path).await, 101);
    assert_eq!(server.call().1, None);
}

#[rstest]
#[case("/healthz", 200)]
#[case("/readyz", 200)]
#[case("/", 404)]
#[case("/twilio/voice", 405)]
#[tokio::test]
async fn a_plain_get_is_for_health_only(#[case] path: &str, #[case] expected: u16) {
    let server = Server::start().await;
    let response = server.client.get(format!("http://{}{path}", server.address)).send().await.unwrap();
    assert_eq!(response.status(), expected);
}

#[tokio::test]
async fn a_server_that_stops_ends_the_calls_that_wait_for_their_streams() {
    let mut server = Server::start().await;
    server.post("/twilio/voice", &voice(CA1, SALES)).await;
    server.stop.take().unwrap().send(()).unwrap();
    (&mut server.task).await.unwrap();
    assert_eq!(server.call().1, Some(Ending::Drained));
    assert!(TcpStream::connect(&server.address).await.is_err());
}

/// What the server answers before it closes the connection.
async fn converse(server: &Server, text: &str) -> String {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[rstest]
#[case::says_nothing("", "")]
#[case::never_ends_its_headers(
    "POST /twilio/voice HTTP/1.1\r\nHost: x\r\nX-",
    "HTTP/1.1 408 Request Timeout"
)]
#[case::never_sends_its_body(
    "POST /twilio/voice HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: x\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 408 Request Timeout"
)]
#[tokio::test(start_paused = true)]
async fn a_client_that_dawdles_is_disconnected_after_5_seconds(#[case] text: &str, #[case] first_line: &str) {
    let server = Server::start().await;
    let began = tokio::time::Instant::now();
    let answer = converse(&server, text).await;
    assert_eq!(answer.lines().next().unwrap_or_default(), first_line);
    let seconds = began.elapsed().as_secs();
    assert!((5..=10).contains(&seconds), "{seconds} s");
}

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_number_and_no_secret_is_logged_at_any_level() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // For the whole process: what the other tests log is looked at as well.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::callsite::rebuild_interest_cache();
    let server = Server::start().await;
    let form = voice(CA1, SALES);
    let (_, document) = server.post("/twilio/voice", &form).await;
    server.post("/twilio/voice", &form).await;
    server.post_with("/twilio/voice", &form, Some("forged".to_owned())).await;
    server.post("/twilio/status", &form).await;
    let path = stream(&document);
    open(&server.address, &path, None).await;
    server.open(&path).await;
    server.open(&path).await;
    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    let ours: Vec<_> = text.lines().filter(|line| line.contains(" patchcord::")).collect();
    assert!(ours.iter().any(|line| line.contains("a call comes in")), "{text}");
    let token = path.rsplit('/').next().unwrap();
    for canary in [AUTH_TOKEN, token, &CALLER[1..], &SALES[1..]] {
        let leaks: Vec<_> = ours.iter().filter(|line| line.contains(canary)).collect();
        assert!(leaks.is_empty(), "{leaks:?}");
    }
}

#[test]
fn the_configuration_refuses_what_it_does_not_know() {
    let config: Config = toml::from_str("public_url = \"https://voice.example.com\"").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(toml::from_str::<Config>("publik_url = \"x\"").unwrap_err().to_string().contains("publik_url"));
}

#[rstest]
#[case(Some("voice.example.com"), "sales")]
#[case(Some(PUBLIC_URL), &"x".repeat(500))]
fn a_configuration_that_cannot_be_served_is_refused(#[case] public_url: Option<&str>, #[case] name: &str) {
    let config = Config { public_url: public_url.map(str::to_owned), ..Config::default() };
    let agent = Agent { name: name.to_owned(), ..Agent::default() };
    let bridge = bridge(Handle::pair(1).0);
    assert!(State::new(&config, Vec::new(), vec![Arc::new(agent)], bridge).is_err());
}
