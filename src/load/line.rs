//! One call on real sockets: the signed webhook, the document, the signed stream, and a polite end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use uuid::Uuid;

use super::caller::{Caller, End};
use super::outcome::Kind;
use super::playout::Replies;
use super::recording::Recordings;
use super::script::script;
use super::sound::Dice;
use super::tally::Board;
use super::wire::Writer;
use crate::net::Limits;
use crate::net::dial::{self, ClientLink};
use crate::net::egress::Egress;
use crate::net::link::{Incoming, Kind as Importance};
use crate::secret::Secret;
use crate::sim::carrier::ACCOUNT_SID;
use crate::sim::carrier::signature::{self, Signing};
use crate::sim::carrier::twiml::{self, Stream, Target, Verb};
use crate::sim::carrier::wire::{Ids, connected};

/// Twilio's limits for a webhook, and for opening a stream.
const WEBHOOK_MAX: Duration = Duration::from_secs(15);
const DIAL_MAX: Duration = Duration::from_secs(5);

/// What all calls share.
#[derive(Debug)]
pub struct Exchange {
    pub webhook: String,
    pub token: Secret,
    /// The dialled number, and that of calls that the fallback is to answer.
    pub to: String,
    pub fallback_to: String,
    pub tls: Arc<Egress>,
    pub web: reqwest::Client,
    pub recordings: Arc<Recordings>,
    /// Whether the load model answers, so that probes make sense.
    pub has_probes: bool,
    pub board: Board,
}

/// A call to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub kind: Kind,
    pub seed: u64,
}

/// Who calls: somebody else each time, of the numbers that are reserved for fiction (555-01XX).
fn number(seed: u64) -> String {
    format!("+1{:03}55501{:02}", 201 + seed / 100 % 788, seed % 100)
}

/// Why a call did not come to its end.
#[derive(Debug)]
enum Trouble {
    Refused(String),
    Failed(String),
}

/// The client for webhooks.
pub fn web(egress: &Egress, webhook: &str) -> Result<reqwest::Client, reqwest::Error> {
    let port = webhook.parse::<reqwest::Url>().ok().and_then(|url| url.port_or_known_default());
    egress
        .web(&Arc::new(AtomicU16::new(port.unwrap_or(443))))
        .user_agent("TwilioProxy/1.1")
        .connect_timeout(DIAL_MAX)
        .timeout(WEBHOOK_MAX)
        .build()
}

/// Places a call and follows it to its end, which is on the board then.
pub async fn place(exchange: Arc<Exchange>, call: Call) {
    let placed = Instant::now();
    let phone = Phone { exchange: &exchange, call_sid: sid("CA"), call };
    let ended = phone.call(placed).await;
    let mut tally = exchange.board.tally();
    match ended {
        Ok(End::HungUp | End::Vanished) => {
            tally.ends.completed += 1;
            tally.lengths.record(placed.elapsed());
        }
        Ok(End::CutShort) => tally.ends.cut_short += 1,
        Ok(End::Failed(reason)) => *tally.ends.failed.entry(reason.to_owned()).or_default() += 1,
        Err(Trouble::Refused(reason)) => *tally.ends.refused.entry(reason).or_default() += 1,
        Err(Trouble::Failed(reason)) => *tally.ends.failed.entry(reason).or_default() += 1,
    }
}

struct Phone<'a> {
    exchange: &'a Exchange,
    call_sid: String,
    call: Call,
}

impl Phone<'_> {
    async fn call(&self, placed: Instant) -> Result<End, Trouble> {
        let stream = self.fetch().await?;
        let link = self.dial(&stream).await?;
        {
            let mut tally = self.exchange.board.tally();
            tally.heard.setup.record(placed.elapsed());
            tally.ends.answered += 1;
        }
        self.exchange.board.up.fetch_add(1, Relaxed);
        let ids = Ids {
            account_sid: ACCOUNT_SID.to_owned(),
            call_sid: self.call_sid.clone(),
            stream_sid: sid("MZ"),
        };
        let stream_sid = ids.stream_sid.clone();
        let ended = self.converse(link, &stream, Writer::new(ids)).await;
        self.exchange.board.up.fetch_sub(1, Relaxed);
        self.tell_stopped(&stream, &stream_sid).await;
        ended
    }

    /// Asks for instructions.
    async fn fetch(&self) -> Result<Stream, Trouble> {
        let to = match self.call.kind {
            Kind::Fallback => &self.exchange.fallback_to,
            Kind::Short | Kind::Long | Kind::BargeIn | Kind::HangUp | Kind::Dtmf => &self.exchange.to,
        };
        let from = number(self.call.seed);
        let fields = [
            ("AccountSid", ACCOUNT_SID),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &self.call_sid),
            ("CallStatus", "ringing"),
            ("Called", to),
            ("Caller", &from),
            ("Direction", "inbound"),
            ("From", &from),
            ("To", to),
        ];
        let posted = Instant::now();
        let answer = self.post(&self.exchange.webhook, &fields).await;
        let answer = answer.map_err(|error| Trouble::Failed(format!("webhook: {}", root(&error))))?;
        if !answer.status().is_success() {
            return Err(Trouble::Failed(format!("webhook answered {}", answer.status().as_u16())));
        }
        let is_xml = |value: &HeaderValue| value.to_str().is_ok_and(|kind| kind.contains("xml"));
        if !answer.headers().get(CONTENT_TYPE).is_some_and(is_xml) {
            return Err(Trouble::Failed("webhook did not answer XML".to_owned()));
        }
        let document = answer.text().await;
        let document = document.map_err(|error| Trouble::Failed(format!("webhook: {}", root(&error))))?;
        let answered = posted.elapsed();
        let stream = follow(&document, &self.exchange.webhook);
        if let Err(Trouble::Refused(_)) = &stream {
            self.exchange.board.tally().heard.refusal.record(answered);
        }
        stream
    }

    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Result<reqwest::Response, reqwest::Error> {
        let form: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let signature = signature::header(Signing::Right, &self.exchange.token, url, &form);
        let request = self.exchange.web.post(url).form(&form);
        request.header(signature::HEADER, signature.unwrap_or_default()).send().await
    }

    async fn dial(&self, stream: &Stream) -> Result<ClientLink, Trouble> {
        let failed = |what: String| Trouble::Failed(format!("stream: {what}"));
        stream.check().map_err(|refusal| failed(refusal.to_string()))?;
        let mut request =
            stream.url.as_str().into_client_request().map_err(|error| failed(error.to_string()))?;
        let signature = signature::header(Signing::Right, &self.exchange.token, &stream.url, &[]);
        if let Ok(value) = HeaderValue::from_str(&signature.unwrap_or_default()) {
            request.headers_mut().insert("x-twilio-signature", value);
        }
        let tls = Arc::clone(&self.exchange.tls);
        let link = dial::dial_with(request, tls, Limits::CARRIER, DIAL_MAX).await;
        link.map_err(|error| failed(error.to_string()))
    }

    /// Plays the caller's part.
    async fn converse(
        &self,
        mut link: ClientLink,
        stream: &Stream,
        mut writer: Writer,
    ) -> Result<End, Trouble> {
        let exchange = self.exchange;
        let board = &exchange.board;
        let mut dice = Dice::new(self.call.seed);
        let acts = script(self.call.kind, &exchange.recordings, exchange.has_probes, &mut dice);
        link.send(&connected(), Importance::Control);
        link.send(&writer.start(&stream.parameters), Importance::Control);
        let (recordings, now) = (Arc::clone(&exchange.recordings), Instant::now());
        let mut caller = Caller::new(recordings, acts, writer, self.replies(), now);
        let timer = sleep_until(caller.poll_timeout().into());
        tokio::pin!(timer);
        let mut is_dropping = false;
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut timer => {
                    if board.is_over() {
                        caller.cut_short();
                    }
                    let send = &mut |text: String| is_dropping |= link.send(&text, Importance::Audio);
                    caller.handle_timeout(Instant::now(), &mut board.tally(), send);
                }
                incoming = link.next(true) => {
                    if let Err(trouble) = receive(incoming, &mut caller, board) {
                        break Err(trouble);
                    }
                }
            }
            if is_dropping {
                break Err(Trouble::Failed("server does not read".to_owned()));
            }
            if let Some(end) = caller.end() {
                break Ok(end.clone());
            }
            let due = caller.poll_timeout().into();
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
        };
        if matches!(ended, Ok(End::HungUp | End::CutShort)) {
            link.send(&caller.stop(), Importance::Control);
            caller.finish(Instant::now(), &mut board.tally());
            link.close(1000).await;
        } else {
            caller.finish(Instant::now(), &mut board.tally());
        }
        ended
    }

    /// The load model's replies have a length that is known; a fallback's, or another model's, have not.
    fn replies(&self) -> Replies {
        let is_known = self.exchange.has_probes && self.call.kind != Kind::Fallback;
        if is_known { Replies::OfKnownLength } else { Replies::OfAnyLength }
    }

    /// Tells the server's stream callback that the stream is over; whatever it answers.
    async fn tell_stopped(&self, stream: &Stream, stream_sid: &str) {
        let Some(Target { url, .. }) = &stream.status_callback else { return };
        let fields = [
            ("AccountSid", ACCOUNT_SID),
            ("CallSid", &self.call_sid),
            ("StreamSid", stream_sid),
            ("StreamName", stream_sid),
            ("StreamEvent", "stream-stopped"),
        ];
        let _ = self.post(url, &fields).await;
    }
}

fn receive(incoming: Incoming, caller: &mut Caller, board: &Board) -> Result<(), Trouble> {
    match incoming {
        Incoming::Text(text) => caller.handle_text(&text, Instant::now(), &mut board.tally()),
        Incoming::Binary(_) => board.tally().losses.violations += 1,
        Incoming::Noise(_) => {}
        Incoming::Closed(_) => return Err(Trouble::Failed("server closed the stream".to_owned())),
        Incoming::Stalled => return Err(Trouble::Failed("server does not read".to_owned())),
    }
    Ok(())
}

/// The stream that the document opens; or what becomes of the caller in place of it.
fn follow(document: &str, url: &str) -> Result<Stream, Trouble> {
    let verbs = twiml::parse(document, url);
    let verbs = verbs.map_err(|error| Trouble::Failed(format!("webhook: {error}")))?;
    for verb in verbs {
        let refused = match verb {
            Verb::Connect { stream: Some(stream), .. } => return Ok(stream),
            Verb::Reject { busy: true } => "busy",
            Verb::Reject { busy: false } => "rejected",
            Verb::Hangup => "hung up",
            Verb::Redirect(_) => "sent to another address",
            Verb::Unknown(name) if name == "Dial" => "connected with somebody else",
            Verb::Record { .. } => "asked to leave a message",
            Verb::Connect { stream: None, .. } | Verb::Pause(_) | Verb::Say(_) | Verb::Unknown(_) => continue,
        };
        return Err(Trouble::Refused(refused.to_owned()));
    }
    Err(Trouble::Failed("webhook opened no stream".to_owned()))
}

/// What it was in the end: the outer errors only say that something was.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

/// A new id: two letters and 32 hexadecimal digits.
fn sid(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::net::link::Closure;

    #[rstest]
    #[case::stream(
        "<Connect><Stream url='wss://a.example.com/media'/></Connect>",
        "stream wss://a.example.com/media"
    )]
    #[case::announced(
        "<Say>This call is recorded.</Say><Connect><Stream url='wss://b.example.com/'/></Connect>",
        "stream wss://b.example.com/"
    )]
    #[case::busy("<Reject reason='busy'/>", "refused: busy")]
    #[case::rejected("<Reject/>", "refused: rejected")]
    #[case::hung_up("<Say>We are closed.</Say><Hangup/>", "refused: hung up")]
    #[case::redirected(
        "<Redirect method='POST'>https://b.example.com/voice</Redirect>",
        "refused: sent to another address"
    )]
    #[case::transferred("<Dial>+14155550142</Dial><Hangup/>", "refused: connected with somebody else")]
    #[case::voicemail("<Say>Busy.</Say><Record maxLength='180'/>", "refused: asked to leave a message")]
    #[case::words_alone("<Say>Hello.</Say>", "failed: webhook opened no stream")]
    #[case::no_stream("<Connect/>", "failed: webhook opened no stream")]
    #[case::broken("<Connect>", "failed: webhook: not well-formed XML")]
    fn a_document_opens_a_stream_or_refuses_the_call(#[case] verbs: &str, #[case] expected: &str) {
        let document = format!("<Response>{verbs}</Response>");
        let found = match follow(&document, "https://a.example.com/twilio/voice") {
            Ok(stream) => format!("stream {}", stream.url),
            Err(Trouble::Refused(reason)) => format!("refused: {reason}"),
            Err(Trouble::Failed(reason)) => format!("failed: {reason}"),
        };
        assert!(found.starts_with(expected), "{found}");
    }

    #[rstest]
    #[case::closed(Incoming::Closed(Closure::Frame { code: Some(1000), reason: String::new() }), Some("server closed the stream"), 0)]
    #[case::stalled(Incoming::Stalled, Some("server does not read"), 0)]
    #[case::binary(Incoming::Binary(bytes::Bytes::from_static(b"x")), None, 1)]
    #[case::nonsense(Incoming::Text(bytes::Bytes::from_static(b"x")), None, 1)]
    fn what_a_server_must_not_do_is_noted(
        #[case] incoming: Incoming,
        #[case] trouble: Option<&str>,
        #[case] violations: u64,
    ) {
        let ids = Ids { account_sid: sid("AC"), call_sid: sid("CA"), stream_sid: sid("MZ") };
        let recordings = Arc::new(Recordings::built_in().unwrap());
        let mut caller =
            Caller::new(recordings, Vec::new(), Writer::new(ids), Replies::OfKnownLength, Instant::now());
        let board = Board::default();
        match (receive(incoming, &mut caller, &board), trouble) {
            (Ok(()), None) => {}
            (Err(Trouble::Failed(reason)), Some(expected)) => assert_eq!(reason, expected),
            (found, _) => panic!("{found:?}"),
        }
        assert_eq!(board.take().losses.violations, violations);
    }
}
