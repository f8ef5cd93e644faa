//! One media stream as a machine: the caller's script goes out, the server's messages go to the playout buffer,
//! marks come back. Takes texts and the time, gives texts to send; knows no socket.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fixture::Act;
use super::playout::{Fate, Overflow, Played, Playout};
use super::script::Script;
use super::timeline::{Timeline, span};
use super::wire::{self, Command, Ids, MALFORMED, Message, Violation};

/// Something worth knowing while the call goes on, for whoever watches; with the instant it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    StreamStarted {
        stream_sid: String,
    },
    /// The buffer was empty and the caller begins to hear something.
    PlayoutStarted,
    /// `clear` arrived.
    Cleared,
    StreamEnded {
        stream_sid: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send(String),
    Event(Event),
    /// The caller hung up: end the socket.
    HangUp,
}

/// What was counted on the way.
#[derive(Debug, Default)]
pub struct Tally {
    pub spoken: Timeline,
    /// How much later than planned each message of audio left.
    pub lateness: Vec<Duration>,
    pub marks_played: u64,
    pub marks_cleared: u64,
    pub violations: Vec<Violation>,
}

impl Tally {
    /// Adds a later stream of the same call.
    pub fn append(&mut self, later: Self) {
        self.spoken.append(&later.spoken);
        self.lateness.extend(later.lateness);
        self.marks_played += later.marks_played;
        self.marks_cleared += later.marks_cleared;
        self.violations.extend(later.violations);
    }
}

/// Violations kept of one stream; the carrier itself reports each kind once.
const VIOLATIONS_MAX: usize = 100;

/// Dropped audio: more than ten minutes were waiting.
const DISCARDED: u16 = 31931;

#[derive(Debug)]
pub struct Stream {
    ids: Ids,
    parameters: Vec<(String, String)>,
    script: Script,
    starts: Starts,
    says_stop: bool,
    playout: Playout,
    sequence: u64,
    chunk: u64,
    outputs: VecDeque<Output>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
enum Starts {
    At(Instant),
    Did(Instant),
    HungUp(Instant),
}

/// What is left of a stream when its socket is gone.
#[derive(Debug)]
pub struct Finished {
    pub ids: Ids,
    /// When `start` was sent.
    pub began: Option<Instant>,
    pub script: Script,
    pub played: Played,
    pub tally: Tally,
}

impl Stream {
    /// A stream whose socket is open; `connected` and `start` are sent at `starts_at`.
    pub fn new(ids: Ids, parameters: Vec<(String, String)>, script: Script, starts_at: Instant) -> Self {
        Self {
            ids,
            parameters,
            script,
            starts: Starts::At(starts_at),
            says_stop: true,
            playout: Playout::default(),
            sequence: 0,
            chunk: 0,
            outputs: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// The same stream ending without a `stop` message.
    #[must_use]
    pub fn without_stop(self) -> Self {
        Self { says_stop: false, ..self }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.starts {
            Starts::At(at) => Some(at),
            Starts::Did(_) => {
                [self.script.poll_timeout(), self.playout.poll_timeout()].into_iter().flatten().min()
            }
            Starts::HungUp(_) => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Starts::At(at) = self.starts
            && at <= now
        {
            self.start(now);
        }
        if let Starts::Did(began) = self.starts {
            self.echo(now);
            self.perform(began, now);
        }
    }

    /// A text frame of the server.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        match self.starts {
            Starts::At(_) => self.violation(Violation::new(wire::INVALID, "a message before start was sent")),
            Starts::HungUp(_) => {}
            Starts::Did(_) => {
                self.echo(now);
                let mut violations = Vec::new();
                let command = wire::decode(text, &self.ids.stream_sid, &mut violations);
                violations.into_iter().for_each(|violation| self.violation(violation));
                if let Some(command) = command {
                    self.command(command, now);
                    self.echo(now);
                }
            }
        }
    }

    /// A binary frame of the server.
    pub fn handle_binary(&mut self) {
        self.violation(Violation::new(MALFORMED, "a binary frame"));
    }

    /// The socket is gone.
    pub fn finish(mut self, now: Instant) -> Finished {
        self.echo(now);
        let began = match self.starts {
            Starts::At(_) => None,
            Starts::Did(began) | Starts::HungUp(began) => Some(began),
        };
        Finished {
            began,
            ids: self.ids,
            script: self.script,
            played: self.playout.finish(now),
            tally: self.tally,
        }
    }

    fn start(&mut self, now: Instant) {
        self.starts = Starts::Did(now);
        self.script.begin(now);
        self.outputs.push_back(Output::Send(wire::connected()));
        self.sequence += 1;
        let start = Message::Start { parameters: &self.parameters };
        self.outputs.push_back(Output::Send(wire::encode(&self.ids, self.sequence, start)));
        let stream_sid = self.ids.stream_sid.clone();
        self.outputs.push_back(Output::Event(Event::StreamStarted { stream_sid }));
    }

    /// Sends what the caller did until now.
    fn perform(&mut self, began: Instant, now: Instant) {
        while let Some((due, act)) = self.script.pop_due(now) {
            match act {
                Act::Speak(audio) => {
                    self.chunk += 1;
                    let since = due.saturating_duration_since(began);
                    let timestamp_ms = crate::time::millis(since);
                    self.send(Message::Media { chunk: self.chunk, timestamp_ms, audio: &audio });
                    self.tally.lateness.push(now.saturating_duration_since(due));
                    let said_from = due.checked_sub(span(audio.len())).unwrap_or(due);
                    self.tally.spoken.push(said_from, &audio);
                }
                Act::Press(digit) => self.send(Message::Dtmf { digit: &digit }),
                Act::HangUp => {
                    if self.says_stop {
                        self.send(Message::Stop);
                    }
                    self.outputs.push_back(Output::HangUp);
                    self.starts = Starts::HungUp(began);
                    return;
                }
            }
        }
    }

    fn command(&mut self, command: Command, now: Instant) {
        let done = match command {
            Command::Media(bytes) => {
                if self.playout.waiting(now).is_zero() {
                    self.outputs.push_back(Output::Event(Event::PlayoutStarted));
                }
                self.playout.handle_media(now, &bytes)
            }
            Command::Mark(name) => self.playout.handle_mark(now, name),
            Command::Clear => {
                self.outputs.push_back(Output::Event(Event::Cleared));
                self.playout.handle_clear(now);
                Ok(())
            }
        };
        let reported = self.tally.violations.iter().any(|violation| violation.code == DISCARDED);
        if let Err(error @ Overflow) = done
            && !reported
        {
            self.violation(Violation::new(DISCARDED, error.to_string()));
        }
    }

    /// Echoes the marks that are due.
    fn echo(&mut self, now: Instant) {
        while let Some(echo) = self.playout.poll_echo(now) {
            match echo.fate {
                Fate::Played => self.tally.marks_played += 1,
                Fate::Cleared => self.tally.marks_cleared += 1,
            }
            self.send(Message::Mark { name: &echo.name });
        }
    }

    fn send(&mut self, message: Message<'_>) {
        self.sequence += 1;
        self.outputs.push_back(Output::Send(wire::encode(&self.ids, self.sequence, message)));
    }

    fn violation(&mut self, violation: Violation) {
        if self.tally.violations.len() < VIOLATIONS_MAX {
            self.tally.violations.push(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const MEDIA: &str = r#"{"event":"media","streamSid":"MZ0","media":{"payload":"//////////8="}}"#;
    const MARK: &str = r#"{"event":"mark","streamSid":"MZ0","mark":{"name":"a"}}"#;
    const CLEAR: &str = r#"{"event":"clear","streamSid":"MZ0"}"#;

    fn stream(said_ms: usize, starts_at: Instant) -> Stream {
        let ids = Ids { account_sid: "AC0".into(), call_sid: "CA0".into(), stream_sid: "MZ0".into() };
        let script = Script::new(&Fixture::from_mulaw(&vec![0xFF; said_ms * 8]), None);
        Stream::new(ids, Vec::new(), script, starts_at)
    }

    /// The outputs in short: event and sequence number of what is sent.
    fn outputs(stream: &mut Stream) -> Vec<String> {
        let short = |output| match output {
            Output::Send(text) => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let sequence = value.get("sequenceNumber").and_then(|number| number.as_str());
                format!("{} {}", value["event"].as_str().unwrap(), sequence.unwrap_or("-"))
            }
            Output::Event(event) => format!("{event:?}").split(' ').next().unwrap().to_owned(),
            Output::HangUp => "hang up".into(),
        };
        std::iter::from_fn(|| stream.poll_output()).map(short).collect()
    }

    #[test]
    fn a_call_is_connected_start_media_stop() {
        let now = Instant::now();
        let mut stream = stream(40, now);
        stream.handle_timeout(now);
        assert_eq!(outputs(&mut stream), ["connected -", "start 1", "StreamStarted"]);
        assert_eq!(stream.poll_timeout(), Some(now + 20 * MS));
        stream.handle_timeout(now + 20 * MS);
        assert_eq!(outputs(&mut stream), ["media 2"]);
        stream.handle_timeout(now + 41 * MS);
        assert_eq!(outputs(&mut stream), ["media 3", "stop 4", "hang up"]);
        assert_eq!(stream.finish(now + 41 * MS).tally.lateness, [Duration::ZERO, MS]);
    }

    #[test]
    fn a_mark_comes_back_when_the_audio_before_it_was_played() {
        let now = Instant::now();
        let mut stream = stream(200, now);
        stream.handle_timeout(now);
        outputs(&mut stream);
        stream.handle_text(MEDIA, now + MS);
        stream.handle_text(MARK, now + MS);
        assert_eq!(outputs(&mut stream), ["PlayoutStarted"]);
        assert_eq!(stream.poll_timeout(), Some(now + 2 * MS));
        stream.handle_timeout(now + 2 * MS);
        assert_eq!(outputs(&mut stream), ["mark 2"]);
    }

    #[test]
    fn a_clear_sends_the_marks_back_at_once() {
        let now = Instant::now();
        let mut stream = stream(200, now);
        stream.handle_timeout(now);
        outputs(&mut stream);
        for text in [MEDIA, MARK, CLEAR] {
            stream.handle_text(text, now);
        }
        assert_eq!(outputs(&mut stream), ["PlayoutStarted", "Cleared", "mark 2"]);
        let tally = stream.finish(now).tally;
        assert_eq!((tally.marks_played, tally.marks_cleared), (0, 1));
    }

    #[test]
    fn what_the_server_does_wrong_is_noted() {
        let now = Instant::now();
        let mut stream = stream(200, now + 5 * MS);
        stream.handle_text(CLEAR, now);
        stream.handle_timeout(now + 5 * MS);
        stream.handle_binary();
        stream.handle_text("{", now + 6 * MS);
        let violations = stream.finish(now + 6 * MS).tally.violations;
        assert_eq!(
            violations.iter().map(|violation| violation.code).collect::<Vec<_>>(),
            [31951, 31950, 31951]
        );
    }
}
