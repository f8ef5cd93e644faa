//! More calls than a server lets in, over real sockets: who is admitted, what the others are told, and what is in the
//! call log of both.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use patchcord::bridge::Bridge;
use patchcord::call::agent::Agent;
use patchcord::call::record::{Ending, Entry, Limit, Record};
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::carrier::{Overflow, Then};
use patchcord::id::CallId;
use patchcord::provider::Providers;
use patchcord::secret::Secret;
use patchcord::server::limits;
use patchcord::sim::gemini::{self, Scenario};
use patchcord::store::{Handle, Line};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use world::{AUTH_TOKEN, Front, agent, endpoint, model, offer, quick};

/// Requests under way at once: fewer than the server has connections.
const AT_ONCE: usize = 64;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Its number, and what the server answered.
type Call = (usize, String);

struct Carrier {
    front: Front,
    model: gemini::Server,
    client: reqwest::Client,
    log: Receiver<Line>,
}

/// An agent that reads something to callers for whom there is no room, and sends them elsewhere.
fn overflowing() -> Agent {
    let url = "https://b.example.com/twilio/voice".to_owned();
    let mut agent = agent();
    agent.otherwise.overflow = Some(Overflow {
        say: Some("One moment.".to_owned()),
        then: Then::Redirect { url },
        ..Overflow::default()
    });
    agent
}

const AC1: &str = "AC00000000000000000000000000000001";

const OVERFLOW: &str = "<Response><Say>One moment.</Say>\
                        <Redirect method=\"POST\">https://b.example.com/twilio/voice</Redirect></Response>";

impl Carrier {
    /// A server with room for so many calls, and a call log whose lines nobody takes out of its queue of so many.
    async fn start(max_calls: u32, queue: usize) -> Self {
        let model = model(quick(), Scenario::default()).await;
        let (store, log) = Handle::pair(queue);
        let limits =
            limits::Config { max_calls: Some(max_calls), lag_max_ms: 0, ..limits::Config::default() };
        let bridge = Bridge::new(store, offer(&[endpoint(&model)], Providers::default()));
        let front = Front::serve_limited(overflowing(), bridge, Some(&limits)).await;
        Self { front, model, client: reqwest::Client::new(), log }
    }

    /// A call comes in, each from a caller of its own.
    async fn call(&self, number: usize) -> Call {
        let url = format!("{}/twilio/voice", self.front.url);
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let pairs = vec![
            pair("CallSid", format!("CA{number:032x}")),
            pair("AccountSid", AC1.to_owned()),
            pair("From", format!("+1415{number:07}")),
            pair("To", "+13125550142".to_owned()),
        ];
        let signature = sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &url, &pairs);
        let request = self.client.post(&url).form(&pairs).header("X-Twilio-Signature", signature);
        (number, request.send().await.unwrap().text().await.unwrap())
    }

    /// Many calls, as quickly as they are answered: those that are connected, and the others.
    async fn calls(&self, numbers: Range<usize>) -> (Vec<Call>, Vec<Call>) {
        let calls = stream::iter(numbers).map(|number| self.call(number)).buffer_unordered(AT_ONCE);
        calls.collect::<Vec<_>>().await.into_iter().partition(is_connected)
    }

    /// Opens and starts the stream that an answer names.
    async fn open(&self, (number, document): &Call) -> Socket {
        let (_, rest) = document.split_once("<Stream url=\"").expect(document);
        let url = rest.split_once('"').unwrap().0;
        let mut request = url.into_client_request().unwrap();
        let signature = sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), url, &[]);
        request.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
        let mut socket = tokio_tungstenite::connect_async(request).await.unwrap().0;
        let format = json!({ "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 });
        let call = format!("CA{number:032x}");
        let start = json!({ "streamSid": "MZ1", "accountSid": AC1, "callSid": call, "tracks": ["inbound"],
                            "mediaFormat": format, "customParameters": {} });
        let start = json!({ "event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start });
        let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
        for message in [connected, start] {
            socket.send(Message::text(message.to_string())).await.unwrap();
        }
        socket
    }

    /// Ends everything: the entries of the log by call, in their order.
    async fn stop(mut self) -> BTreeMap<CallId, Vec<Arc<Entry>>> {
        self.front.stop().await;
        self.model.shutdown().await;
        let mut calls = BTreeMap::<_, Vec<_>>::new();
        while let Ok(line) = self.log.try_recv() {
            let Line::Entry(entry) = line else { panic!("{line:?}") };
            calls.entry(entry.call).or_default().push(entry);
        }
        calls
    }
}

fn is_connected((_, document): &Call) -> bool {
    document.contains("<Connect>")
}

/// How a call ended whose entries are complete.
fn ending(entries: &[Arc<Entry>]) -> &Ending {
    assert!(entries.iter().enumerate().all(|(at, entry)| entry.sequence as usize == at), "{entries:?}");
    assert!(matches!(entries[0].record, Record::Opened(_)), "{entries:?}");
    let Record::Ended(ending) = &entries[entries.len() - 1].record else { panic!("{entries:?}") };
    ending
}

const TOO_MANY: Ending = Ending::Overloaded { cause: Limit::MaxCalls };

#[tokio::test(flavor = "multi_thread")]
async fn as_many_calls_as_there_is_room_for_are_admitted_and_the_next_when_one_ends() {
    let carrier = Carrier::start(3, 4096).await;
    let (admitted, refused) = carrier.calls(0..30).await;
    assert_eq!((admitted.len(), refused.len()), (3, 27));
    assert!(refused.iter().all(|(_, document)| document.ends_with(OVERFLOW)), "{refused:?}");

    let mut sockets = join_all(admitted.iter().map(|call| carrier.open(call))).await;
    assert!(!is_connected(&carrier.call(30).await), "calls that run have their places");
    drop(sockets.pop());
    let next = async {
        let mut number = 31..;
        loop {
            let call = carrier.call(number.next().unwrap()).await;
            if is_connected(&call) {
                return call;
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(20), next).await.expect("the place is free again");
    assert!(!is_connected(&carrier.call(9_999).await), "one place, one call");
    sockets.push(carrier.open(&next).await);

    drop(sockets);
    let log = carrier.stop().await;
    let (refused, served): (Vec<_>, Vec<_>) = log.values().partition(|call| *ending(call) == TOO_MANY);
    assert_eq!(served.len(), 4);
    assert!(refused.len() >= 29, "{}", refused.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_ten_thousand_leaves_the_log_to_the_calls_that_were_admitted() {
    const QUEUE: usize = 256;
    let carrier = Carrier::start(2, QUEUE).await;
    let (mut admitted, _) = carrier.calls(0..2).await;
    let sockets = join_all(admitted.iter().map(|call| carrier.open(call))).await;
    // A flood that takes longer than silent streams are kept lets in others in their place.
    let (later, refused) = carrier.calls(2..10_002).await;
    admitted.extend(later);
    assert_eq!(admitted.len() + refused.len(), 10_002);
    assert!(refused.len() > 9_900 && refused.iter().all(|(_, document)| document.ends_with(OVERFLOW)));

    drop(sockets);
    let log = carrier.stop().await;
    let (refused, served): (Vec<_>, Vec<_>) = log.values().partition(|call| *ending(call) == TOO_MANY);
    assert_eq!(served.len(), admitted.len(), "all have their ends");
    assert!((1..=QUEUE / 4).contains(&refused.len()), "two lines each: {}", refused.len());
}
