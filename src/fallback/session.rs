//! The conversation: who has the floor, what is under way, what the agent owes the caller.

use std::collections::VecDeque;
use std::time::Instant;

use super::ear::{self, Ear, Utterance};
use super::jobs::{Jobs, KINDS};
use super::reply::Reply;
use super::scribe::{Said, Scribe, Verdict};
use super::{Config, Context, Output, State};
use crate::dialogue::Dialogue;
use crate::id::JobId;
use crate::job::{self, Event, Failure, Kind, Request};

/// A language model that fails before its first word is asked once more.
const THINK_ATTEMPTS_MAX: u32 = 2;

/// What the model is told when a sound without words cut it short.
const GO_ON: &str = "You were cut off in the middle by a noise on the line; the caller said nothing. Go on from \
                     where you stopped. Do not mention it.";

/// The agent of one call, without a live model.
#[derive(Debug)]
pub struct Session {
    config: Config,
    ear: Ear,
    scribe: Scribe,
    jobs: Jobs,
    turn: Turn,
    owed: Option<Owed>,
    /// Since when the caller waits, whenever they do.
    since: Instant,
    /// As the last [`Context`] said, or audio was given since.
    is_agent_audible: bool,
    outputs: VecDeque<Output>,
}

/// The agent's side.
#[derive(Debug)]
enum Turn {
    Idle,
    /// The dialogue was asked for.
    Asked {
        attempt: u32,
    },
    Open {
        attempt: u32,
        reply: Box<Reply>,
    },
    Closed,
}

/// What the agent has to say and did not begin to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owed {
    /// An answer to what the caller said.
    Answer,
    /// What this tells it to.
    Cue(String),
}

impl Session {
    /// A session that listens. Its jobs count up from `first_job`.
    pub fn new(config: Config, first_job: JobId, now: Instant) -> Self {
        Self {
            ear: Ear::new(&config),
            scribe: Scribe::default(),
            jobs: Jobs::new(first_job, config.job_silence_max, config.job_max),
            config,
            turn: Turn::Idle,
            owed: None,
            since: now,
            is_agent_audible: false,
            outputs: VecDeque::new(),
        }
    }

    /// The agent speaks first, as `cue` tells it: a greeting, or going on where another responder stopped. If the
    /// caller speaks, their words are answered instead.
    pub fn speak_first(&mut self, cue: &str, now: Instant) {
        if matches!(self.turn, Turn::Idle) {
            self.since = now;
            self.owed.get_or_insert_with(|| Owed::Cue(cue.to_owned()));
        }
        self.advance(now);
    }

    /// Answers [`Output::WantsReply`]. Ignored if it is not wanted any more.
    pub fn reply(&mut self, dialogue: &Dialogue, now: Instant) {
        let Turn::Asked { attempt } = self.turn else { return };
        let mut instruction = self.config.instruction.clone();
        if let Some(Owed::Cue(cue)) = &self.owed {
            instruction.push_str("\n\n");
            instruction.push_str(cue);
        }
        let temperature = self.config.temperature;
        self.turn = Turn::Open { attempt, reply: Box::new(Reply::new()) };
        self.start(Request::Think(job::Prompt { instruction, dialogue: dialogue.clone(), temperature }), now);
    }

    /// The caller's audio at [`Rate::LINE`](crate::audio::Rate::LINE), the last sample spoken at `now`; any number
    /// of samples, also more than fit into the time that passed.
    pub fn handle_audio(&mut self, samples: &[i16], context: Context, now: Instant) {
        self.is_agent_audible = context.is_agent_audible;
        let mut rest = samples;
        while !rest.is_empty() && !self.is_closed() {
            let (step, later) = rest.split_at(self.ear.step().min(rest.len()));
            rest = later;
            let at = now.checked_sub(ear::duration(rest.len() as u64)).unwrap_or(now);
            let utterance = self.ear.push(step, at);
            self.handle_speech();
            self.handle_utterance(utterance);
        }
        self.advance(now);
    }

    /// Something the caller said without speaking: keys.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        if self.is_closed() {
            return;
        }
        self.take_floor();
        self.since = now;
        self.scribe.add(Said { text: text.to_owned(), started: now, ended: now });
        self.advance(now);
    }

    /// Events of jobs that are over or cancelled are late: they are dropped here.
    pub fn handle_job(&mut self, job: JobId, event: Event, now: Instant) {
        let Some(kind) = self.jobs.told(job, now) else { return };
        match event {
            Event::Skipped { .. } | Event::Started { .. } | Event::Usage { .. } => {
                self.outputs.push_back(Output::Note(kind, event));
            }
            Event::Text(text) => self.handle_words(kind, &text),
            Event::Audio(samples) => self.handle_reply_audio(kind, samples),
            Event::Done => {
                self.jobs.end(kind);
                self.handle_done(kind);
            }
            Event::Failed(failure) => {
                self.jobs.end(kind);
                self.handle_failure(kind, failure);
            }
        }
        self.advance(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let utterance = self.ear.handle_timeout(now).filter(|_| !self.is_closed());
        self.handle_utterance(utterance);
        while let Some((kind, failure)) = self.jobs.expired(now) {
            self.cancel(kind);
            self.handle_failure(kind, failure);
        }
        self.advance(now);
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ear = self.ear.poll_timeout().filter(|_| !self.is_closed());
        [self.jobs.poll_timeout(), ear].into_iter().flatten().min()
    }

    pub fn state(&self) -> State {
        match &self.turn {
            Turn::Closed => State::Closed,
            Turn::Open { reply, .. } if reply.is_audible() => State::Speaking,
            Turn::Idle | Turn::Asked { .. } | Turn::Open { .. } if self.ear.is_taken() => {
                State::Listening { is_caller_speaking: true }
            }
            Turn::Asked { .. } | Turn::Open { .. } => State::Thinking,
            Turn::Idle if self.scribe.is_busy() => State::Thinking,
            Turn::Idle => State::Listening { is_caller_speaking: false },
        }
    }

    /// Since when the caller waits for the agent: the end of their speech, if it is the agent's turn now.
    pub fn waiting_since(&self) -> Option<Instant> {
        (self.state() == State::Thinking).then_some(self.since)
    }

    /// The id that the next job will have: the jobs of this session have smaller ones.
    pub const fn next_job(&self) -> JobId {
        self.jobs.next()
    }

    /// Cancels every job. Nothing more will come but what is already in the queue.
    pub fn close(&mut self) {
        for kind in KINDS {
            self.cancel(kind);
        }
        self.scribe = Scribe::default();
        self.owed = None;
        self.turn = Turn::Closed;
    }

    const fn is_closed(&self) -> bool {
        matches!(self.turn, Turn::Closed)
    }

    fn handle_speech(&mut self) {
        if self.ear.is_speaking() && self.take_floor() {
            self.ear.keep();
        }
    }

    /// The caller says something: what the agent is about to say, or says, is withdrawn. Tells whether there was
    /// anything to withdraw.
    fn take_floor(&mut self) -> bool {
        let is_speaking = self.is_agent_speaking();
        if is_speaking && !self.config.is_interruptible {
            return false;
        }
        let is_replying = matches!(self.turn, Turn::Asked { .. } | Turn::Open { .. });
        if is_replying {
            self.cancel(Kind::Think);
            self.cancel(Kind::Speak);
            self.turn = Turn::Idle;
        }
        if is_speaking {
            self.is_agent_audible = false;
            self.owed.get_or_insert_with(|| Owed::Cue(GO_ON.to_owned()));
            self.outputs.push_back(Output::Interrupt);
        }
        is_speaking || is_replying
    }

    fn is_agent_speaking(&self) -> bool {
        self.is_agent_audible || matches!(&self.turn, Turn::Open { reply, .. } if reply.is_audible())
    }

    fn handle_utterance(&mut self, utterance: Option<Utterance>) {
        let is_speech = |utterance: &Utterance| {
            utterance.voiced >= self.config.utterance_min
                || (utterance.is_kept && !utterance.voiced.is_zero())
        };
        let Some(utterance) = utterance.filter(is_speech) else { return };
        self.since = utterance.ended;
        let lost = self.scribe.push(utterance);
        if !lost.is_zero() {
            self.outputs.push_back(Output::SpeechLost(lost));
        }
    }

    fn handle_words(&mut self, kind: Kind, text: &str) {
        match (kind, &mut self.turn) {
            (Kind::Transcribe, _) => self.scribe.handle_text(text),
            (Kind::Think, Turn::Open { reply, .. }) => {
                if !reply.handle_text(text) {
                    reply.finish_text();
                    self.cancel(Kind::Think);
                }
            }
            (Kind::Think | Kind::Speak, _) => {}
        }
    }

    fn handle_reply_audio(&mut self, kind: Kind, mut samples: Vec<i16>) {
        let (Kind::Speak, Turn::Open { reply, .. }) = (kind, &mut self.turn) else { return };
        let Some(spoke) = reply.handle_audio(&mut samples) else { return };
        let is_full = reply.is_full();
        self.is_agent_audible = true;
        if spoke.begins {
            self.owed = None;
            self.outputs.push_back(Output::ReplyBegins { waited_since: self.since });
        }
        self.outputs.extend(spoke.sentence.map(|text| Output::AgentSays { text }));
        self.outputs.push_back(Output::Audio(samples));
        if is_full {
            self.cancel(Kind::Speak);
            self.outputs.push_back(Output::SentenceEnd);
            self.end_reply();
        }
    }

    fn handle_done(&mut self, kind: Kind) {
        match (kind, &mut self.turn) {
            (Kind::Transcribe, _) => self.scribe.handle_done(),
            (Kind::Think, Turn::Open { reply, .. }) => {
                reply.finish_text();
                if !reply.has_words() {
                    self.handle_failure(kind, Failure::Empty);
                }
            }
            (Kind::Speak, Turn::Open { reply, .. }) => {
                if reply.handle_spoken() {
                    self.outputs.push_back(Output::SentenceEnd);
                } else {
                    self.handle_failure(kind, Failure::Empty);
                }
            }
            (Kind::Think | Kind::Speak, _) => {}
        }
    }

    /// The job of this kind failed and is not under way any more.
    fn handle_failure(&mut self, kind: Kind, failure: Failure) {
        let is_settled = match (kind, &mut self.turn) {
            (Kind::Transcribe, _) => self.settle_transcribe(),
            (Kind::Think, Turn::Open { attempt, reply }) => {
                reply.finish_text();
                let attempt = *attempt;
                reply.has_words() || self.settle_think(attempt)
            }
            (Kind::Speak, Turn::Open { reply, .. }) => reply.handle_failure(),
            (Kind::Think | Kind::Speak, _) => true,
        };
        if is_settled {
            self.outputs.push_back(Output::Note(kind, Event::Failed(failure)));
        } else {
            self.close();
            self.outputs.push_back(Output::Failed { kind, failure });
        }
    }

    fn settle_transcribe(&mut self) -> bool {
        match self.scribe.handle_failure(self.ear.is_taken()) {
            Verdict::Fine => true,
            Verdict::Misheard => {
                self.outputs.push_back(Output::Misheard);
                true
            }
            Verdict::GiveUp => false,
        }
    }

    fn settle_think(&mut self, attempt: u32) -> bool {
        if attempt >= THINK_ATTEMPTS_MAX {
            return false;
        }
        self.ask(attempt + 1);
        true
    }

    /// Whatever can begin now begins.
    fn advance(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        if let Some(samples) = self.scribe.next() {
            let language = self.config.language.clone();
            self.start(Request::Transcribe(job::Utterance { samples, language }), now);
        }
        self.speak_on(now);
        if self.is_floor_free() {
            self.tell_what_was_said();
            let is_quiet = !self.ear.is_taken() && !self.scribe.is_busy();
            if is_quiet && self.owed.is_some() && matches!(self.turn, Turn::Idle) {
                self.ask(1);
            }
        }
    }

    /// Whether the caller's words may enter the dialogue: not before those of an agent that is heard to its end.
    fn is_floor_free(&self) -> bool {
        self.config.is_interruptible || !self.is_agent_speaking()
    }

    fn tell_what_was_said(&mut self) {
        if let Some(Said { text, started, ended }) = self.scribe.take_said() {
            self.owed = Some(Owed::Answer);
            self.outputs.push_back(Output::CallerSaid { text, started, ended });
        }
    }

    fn ask(&mut self, attempt: u32) {
        self.turn = Turn::Asked { attempt };
        self.outputs.push_back(Output::WantsReply);
    }

    /// The next sentence of the reply, or its end.
    fn speak_on(&mut self, now: Instant) {
        let Turn::Open { reply, .. } = &mut self.turn else { return };
        if self.jobs.is_running(Kind::Speak) {
            return;
        }
        if let Some(text) = reply.next_sentence() {
            let language = self.config.language.clone();
            self.start(Request::Speak(job::Sentence { text, language }), now);
        } else if reply.is_over() {
            self.end_reply();
        }
    }

    fn end_reply(&mut self) {
        self.cancel(Kind::Think);
        self.turn = Turn::Idle;
        self.outputs.push_back(Output::ReplyEnd);
    }

    fn start(&mut self, request: Request, now: Instant) {
        let job = self.jobs.start(request.kind(), now);
        self.outputs.push_back(Output::Start(job, request));
    }

    fn cancel(&mut self, kind: Kind) {
        if let Some(job) = self.jobs.end(kind) {
            self.outputs.push_back(Output::Cancel(job));
        }
    }
}
