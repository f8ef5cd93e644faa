//! One call from ringing to its end: webhook, verbs, streams, callbacks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::time::OffsetDateTime;
use ::time::format_description::well_known::{Rfc2822, Rfc3339};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::latency::Quantiles;
use super::line::{self, Dial, End, Line};
use super::playout::Played;
use super::report::{Audio, Caller, Ending, Probes, Report, Request, StreamReport};
use super::script::Script;
use super::signature;
use super::stream::{Finished, Stream, Tally};
use super::twiml::{self, Method, Target, Verb};
use super::web::{self, Form, Web};
use super::wire::{Ids, Violation};
use super::{Config, HangUp};

/// Documents of one call; a server that redirects for ever is stopped.
const DOCUMENTS_MAX: usize = 20;
/// A caller who is never connected gives up after this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Status callbacks still under way when the call is over.
const CALLBACKS_MAX: Duration = Duration::from_secs(5);
/// What the caller says on a voicemail.
const MESSAGE: Duration = Duration::from_secs(1);
/// `name` and `value` of a `<Parameter>` together stay below this (Twilio, `<Stream>`).
const PARAMETER_LEN_MAX: usize = 500;

/// The document has something the carrier does not do (Twilio 12200).
const SCHEMA: u16 = 12200;

pub(super) struct Phone {
    config: Config,
    web: Web,
    tls: Arc<rustls::ClientConfig>,
    call_sid: String,
    placed: Instant,
    script: Script,
    callbacks: Mutex<JoinSet<Request>>,
    log: Log,
}

/// What the report is made of.
#[derive(Default)]
struct Log {
    verbs: Vec<String>,
    requests: Vec<Request>,
    streams: Vec<StreamReport>,
    tally: Tally,
    played: Played,
}

/// Where the call goes on.
enum Next {
    /// Another document, asked for with these fields too.
    Document(Target, Form),
    End(Ending),
}

impl Phone {
    pub(super) fn new(config: Config) -> Result<Self, web::Error> {
        let tls = web::trust(config.ca.as_ref())?;
        let web = Web::new(&tls, config.auth_token.clone(), config.knobs.webhook_signature)?;
        let script = Script::new(&config.fixture, config.knobs.chunk_len);
        Ok(Self {
            config,
            web,
            tls,
            call_sid: sid("CA"),
            placed: Instant::now(),
            script,
            callbacks: Mutex::default(),
            log: Log::default(),
        })
    }

    pub(super) async fn call(mut self) -> Report {
        let ending = self.follow_documents().await;
        if let Some(url) = self.config.status_callback.clone() {
            let form = self.completed(&ending);
            self.call_back("status callback", Target { url, method: Method::Post }, form);
        }
        self.wait_for_callbacks().await;
        self.report(ending)
    }

    async fn follow_documents(&mut self) -> Ending {
        let mut target = Target { url: self.config.webhook_url.clone(), method: Method::Post };
        let mut form = self.form("ringing");
        for number in 0..DOCUMENTS_MAX {
            let what = if number == 0 { "webhook" } else { "redirect" };
            let verbs = match self.fetch(&target, form, what).await {
                Ok(verbs) => verbs,
                Err(ending) => return ending,
            };
            match self.follow(verbs, &target).await {
                Next::Document(next, fields) => {
                    target = next;
                    form = [self.form("in-progress"), fields].concat();
                }
                Next::End(ending) => return ending,
            }
        }
        Ending::NoDocument { code: 11215, what: format!("more than {DOCUMENTS_MAX} documents") }
    }

    /// Asks for instructions.
    async fn fetch(&mut self, target: &Target, form: Form, what: &str) -> Result<Vec<Verb>, Ending> {
        let answer = self.web.request(target, &form).await;
        self.log.requests.push(requested(what, target, &answer));
        let no_document = |code, what: String| Ending::NoDocument { code, what };
        let answer = answer.map_err(|error| no_document(11205, error.to_string()))?;
        if answer.status != 200 {
            return Err(no_document(11200, format!("the server answered {}", answer.status)));
        }
        let kind = answer.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(kind.as_str(), "text/xml" | "application/xml" | "text/html") {
            return Err(no_document(12300, format!("content type {kind:?}")));
        }
        twiml::parse(&answer.body, &target.url).map_err(|error| no_document(12100, error.to_string()))
    }

    async fn follow(&mut self, verbs: Vec<Verb>, document: &Target) -> Next {
        for verb in verbs {
            self.log.verbs.push(verb.name().to_owned());
            let next = match verb {
                Verb::Connect { stream, action } => self.connect(stream, action).await,
                Verb::Pause(length) => self.pause(length).await,
                Verb::Redirect(target) => Some(Next::Document(target, Form::new())),
                Verb::Record { action } => {
                    Some(self.message(action.unwrap_or_else(|| document.clone())).await)
                }
                Verb::Hangup => Some(Next::End(Ending::ServerHungUp)),
                Verb::Reject { busy } => Some(Next::End(Ending::Rejected { busy })),
                Verb::Say(_) => None,
                Verb::Unknown(name) => {
                    self.violation(format!("the verb `{name}` is not simulated"));
                    None
                }
            };
            if let Some(next) = next {
                return next;
            }
        }
        Next::End(Ending::DocumentDone)
    }

    async fn connect(&mut self, stream: Option<twiml::Stream>, action: Option<Target>) -> Option<Next> {
        match stream {
            Some(stream) => {
                if self.stream(&stream).await == End::CallerHungUp {
                    return Some(Next::End(Ending::CallerHungUp));
                }
            }
            None => self.violation("<Connect> without <Stream> is not simulated".into()),
        }
        action.map(|target| Next::Document(target, Form::new()))
    }

    /// The caller leaves a message, unless they hang up before: the carrier asks how to go on either way.
    async fn message(&mut self, action: Target) -> Next {
        let began = Instant::now();
        let hung_up = self.pause(MESSAGE).await;
        let sid = sid("RE");
        let url = format!(
            "https://api.twilio.com/2010-04-01/Accounts/{}/Recordings/{sid}",
            self.config.account_sid
        );
        let fields = [
            ("RecordingUrl", url),
            ("RecordingSid", sid),
            ("RecordingDuration", began.elapsed().as_secs().to_string()),
            ("Digits", if hung_up.is_some() { "hangup" } else { "" }.to_owned()),
        ];
        let fields: Form = fields.map(|(name, value)| (name.to_owned(), value)).to_vec();
        match hung_up {
            None => Next::Document(action, fields),
            Some(next) => {
                let form = [self.form("completed"), fields].concat();
                // What the server says has no caller any more.
                let _ = self.fetch(&action, form, "redirect").await;
                next
            }
        }
    }

    /// Waits, unless the caller hangs up first.
    async fn pause(&mut self, length: Duration) -> Option<Next> {
        let hangs_up_at = self.script.hangs_up_at().unwrap_or(self.placed + PATIENCE);
        tokio::select! {
            () = sleep(length) => None,
            () = sleep_until(hangs_up_at.into()) => Some(Next::End(Ending::CallerHungUp)),
        }
    }

    /// Runs a stream, and the second socket where one is wanted, until both are over.
    async fn stream(&mut self, stream: &twiml::Stream) -> End {
        let long = |(name, value): &(String, String)| name.len() + value.len() >= PARAMETER_LEN_MAX;
        if stream.parameters.iter().any(long) {
            self.violation("a <Parameter> has 500 characters or more".into());
        }
        if let Err(refusal) = stream.check() {
            let end = End::Failed { code: refusal.code(), what: refusal.to_string() };
            self.stream_ended(stream, &sid("MZ"), &end);
            return self.record_unopened(stream, end);
        }
        let first = self.open(stream, self.script.clone(), Duration::ZERO);
        let second = async {
            let after = self.config.knobs.second_socket_after?;
            Some(self.open(stream, self.script.listening(), after).await)
        };
        let (first, second) = tokio::join!(first, second);
        let second_end = second.map(|opened| self.record(stream, opened, false));
        let end = self.record(stream, first, true);
        if second_end == Some(End::CallerHungUp) { End::CallerHungUp } else { end }
    }

    /// Opens one socket and runs it to its end. Changes nothing of the call, so that two can run at once.
    async fn open(&self, stream: &twiml::Stream, mut script: Script, after: Duration) -> Opened {
        sleep(after).await;
        let knobs = &self.config.knobs;
        let dial = Dial {
            url: stream.url.clone(),
            signature: signature::header(knobs.upgrade_signature, &self.config.auth_token, &stream.url, &[]),
            tls: self.tls.clone(),
        };
        let socket = match line::dial(&dial).await {
            Ok(socket) => socket,
            Err(end) => return Opened { finished: None, end },
        };
        let starts_at = Instant::now() + knobs.start_delay;
        if !after.is_zero() {
            // The caller's clock runs in the first line; the second takes it over.
            script.begin(starts_at.checked_sub(after).unwrap_or(starts_at));
        }
        let ids = Ids {
            account_sid: self.config.account_sid.clone(),
            call_sid: self.call_sid.clone(),
            stream_sid: sid("MZ"),
        };
        self.stream_event(stream, &ids.stream_sid, "stream-started", None);
        let machine = Stream::new(ids, stream.parameters.clone(), script, starts_at);
        let machine = if knobs.hang_up == HangUp::Stop { machine } else { machine.without_stop() };
        let deaf_from = knobs.stops_reading_after.map(|after| starts_at + after);
        let events = self.config.events.clone();
        let line = Line { socket, stream: machine, hang_up: knobs.hang_up, deaf_from, events };
        let (finished, end) = line.run().await;
        Opened { finished: Some(finished), end }
    }

    /// Takes over what a stream left; the caller's clock is the first one's.
    fn record(&mut self, stream: &twiml::Stream, opened: Opened, first: bool) -> End {
        let Opened { finished: Some(finished), end } = opened else {
            self.stream_ended(stream, &sid("MZ"), &opened.end);
            return self.record_unopened(stream, opened.end);
        };
        let stream_sid = finished.ids.stream_sid;
        self.stream_ended(stream, &stream_sid, &end);
        let heard_from = finished.played.timeline.runs().first().map(|run| run.at);
        let first_audio = heard_from.zip(finished.began).map(|(heard, began)| heard.duration_since(began));
        let first_audio_ms = first_audio.map(|delay| delay.as_secs_f64() * 1e3);
        let url = stream.url.clone();
        self.log.streams.push(StreamReport { stream_sid, url, end: end.clone(), first_audio_ms });
        self.log.played.append(&finished.played);
        self.log.tally.append(finished.tally);
        if first {
            self.script = finished.script;
        }
        end
    }

    fn record_unopened(&mut self, stream: &twiml::Stream, end: End) -> End {
        let (stream_sid, url) = (String::new(), stream.url.clone());
        self.log.streams.push(StreamReport { stream_sid, url, end: end.clone(), first_audio_ms: None });
        end
    }

    fn violation(&mut self, what: String) {
        self.log.tally.violations.push(Violation::new(SCHEMA, what));
    }
}

/// A socket that was to be opened.
struct Opened {
    /// None when the handshake failed.
    finished: Option<Finished>,
    end: End,
}

/// Forms and callbacks.
impl Phone {
    fn form(&self, status: &str) -> Form {
        let fixture = &self.config.fixture;
        let fields = [
            ("AccountSid", self.config.account_sid.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &self.call_sid),
            ("CallStatus", status),
            ("Called", &fixture.to),
            ("Caller", &fixture.from),
            ("Direction", "inbound"),
            ("From", &fixture.from),
            ("To", &fixture.to),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    fn completed(&self, ending: &Ending) -> Form {
        let status = match ending {
            Ending::Rejected { busy: true } => "busy",
            Ending::Rejected { busy: false } => "no-answer",
            Ending::NoDocument { .. } => "failed",
            Ending::CallerHungUp | Ending::ServerHungUp | Ending::DocumentDone => "completed",
        };
        let seconds = self.placed.elapsed().as_secs();
        let now = OffsetDateTime::now_utc();
        let mut form = self.form(status);
        let fields = [
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", "0".to_owned()),
            ("Timestamp", now.format(&Rfc2822).unwrap_or_default()),
            ("CallDuration", seconds.to_string()),
            ("Duration", seconds.div_ceil(60).to_string()),
        ];
        form.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        form
    }

    /// Tells the server's stream callback how a stream ended.
    fn stream_ended(&self, stream: &twiml::Stream, stream_sid: &str, end: &End) {
        match end {
            End::CallerHungUp | End::ServerClosed { .. } => {
                self.stream_event(stream, stream_sid, "stream-stopped", None);
            }
            End::Failed { code, what } => {
                self.stream_event(stream, stream_sid, "stream-error", Some(format!("{code}: {what}")));
            }
        }
    }

    /// Tells the server's stream callback; order is not promised.
    fn stream_event(&self, stream: &twiml::Stream, stream_sid: &str, event: &str, error: Option<String>) {
        let Some(target) = stream.status_callback.clone() else { return };
        let timestamp = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let name = stream.name.as_deref().unwrap_or(stream_sid);
        let mut form: Form = [
            ("AccountSid", self.config.account_sid.as_str()),
            ("CallSid", &self.call_sid),
            ("StreamSid", stream_sid),
            ("StreamName", name),
            ("StreamEvent", event),
            ("Timestamp", &timestamp),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        form.extend(error.map(|error| ("StreamError".to_owned(), error)));
        self.call_back(event, target, form);
    }

    /// Sends a callback beside the call, which does not wait for it.
    fn call_back(&self, what: &str, target: Target, form: Form) {
        let (web, what) = (self.web.clone(), what.to_owned());
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.spawn(async move {
            let answer = web.request(&target, &form).await;
            requested(&what, &target, &answer)
        });
    }

    async fn wait_for_callbacks(&mut self) {
        let callbacks = self.callbacks.get_mut().unwrap_or_else(PoisonError::into_inner);
        let done = async {
            while let Some(done) = callbacks.join_next().await {
                self.log.requests.extend(done.ok());
            }
        };
        timeout(CALLBACKS_MAX, done).await.ok();
    }

    fn report(self, ending: Ending) -> Report {
        let Log { verbs, requests, streams, tally, played } = self.log;
        let fixture = self.config.fixture;
        let audio = Audio::of(&tally.spoken, &played, (tally.marks_played, tally.marks_cleared));
        let sent = self.script.instants(&fixture.probes);
        Report {
            caller: Caller {
                description: fixture.description,
                from: fixture.from,
                to: fixture.to,
                account_sid: self.config.account_sid,
                call_sid: self.call_sid,
            },
            verbs,
            requests,
            streams,
            audio,
            violations: tally.violations,
            lateness: Quantiles::of(&tally.lateness),
            probes: Probes::of(&sent, &played.timeline),
            ending,
            played,
            spoken: tally.spoken,
        }
    }
}

fn requested(what: &str, target: &Target, answer: &Result<web::Answer, web::Error>) -> Request {
    Request {
        what: what.to_owned(),
        url: target.url.clone(),
        status: answer.as_ref().ok().map(|answer| answer.status),
        error: answer.as_ref().err().map(ToString::to_string),
    }
}

/// A new id: two letters and 32 hexadecimal digits.
fn sid(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::new_v4().simple())
}
