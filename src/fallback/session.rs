//! The conversation: who has the floor, what is under way, what the agent owes the caller.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ear::{self, Ear, Utterance};
use super::jobs::{Jobs, KINDS};
use super::reply::{Reply, Short, Taken};
use super::scribe::{Said, Scribe, Verdict};
use super::turn::{Cost, GO_ON, Owed, Turn, Wordless};
use super::{Config, Context, Output, State};
use crate::dialogue::Dialogue;
use crate::id::JobId;
use crate::job::{self, Event, Failure, Kind, Request};

/// A language model that fails before its first sentence is asked once more.
const THINK_ATTEMPTS_MAX: u32 = 2;

/// This many turns in a row without a whole answer are services that do not work: the session has failed. Before
/// that the caller is asked to say it again: one bad answer of a service costs one turn and not the call.
pub const TURNS_LOST_MAX: u32 = 3;

/// How long the agent waits before it tries again to speak first. The caller said nothing that could be repeated.
const SPEAK_FIRST_AGAIN: Duration = Duration::from_secs(1);

/// The agent of one call, without a live model.
#[derive(Debug)]
pub struct Session {
    config: Config,
    ear: Ear,
    scribe: Scribe,
    jobs: Jobs,
    turn: Turn,
    owed: Option<Owed>,
    /// Turns in a row that had no whole answer.
    turns_lost: u32,
    wordless: Wordless,
    /// Since when the caller waits, whenever they do.
    since: Instant,
    /// As the last [`Context`] said, or audio was given since.
    is_agent_audible: bool,
    outputs: VecDeque<Output>,
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
            turns_lost: 0,
            wordless: Wordless::Speech,
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
        match &self.owed {
            Some(Owed::Cue(cue) | Owed::Rest(cue)) => instruction.extend(["\n\n", cue]),
            Some(Owed::Answer) | None => {}
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
            Event::Skipped { .. }
            | Event::Waits { .. }
            | Event::Started { .. }
            | Event::BrokeOff { .. }
            | Event::Usage { .. }
            | Event::Billed(_) => {
                self.outputs.push_back(Output::Note(kind, event));
            }
            Event::Text(text) => self.handle_words(kind, &text),
            Event::Audio(samples) => self.handle_reply_audio(kind, samples, now),
            Event::Done => {
                self.jobs.end(kind);
                self.handle_done(kind, now);
            }
            Event::Failed(failure) => {
                self.jobs.end(kind);
                self.handle_failure(kind, failure, now);
            }
        }
        self.advance(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let utterance = self.ear.handle_timeout(now).filter(|_| !self.is_closed());
        self.handle_utterance(utterance);
        while let Some((kind, failure)) = self.jobs.expired(now) {
            self.cancel(kind);
            self.handle_failure(kind, failure, now);
        }
        if matches!(self.turn, Turn::Pausing { until } if now >= until) {
            self.turn = Turn::Idle;
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
        let pause = match &self.turn {
            Turn::Pausing { until } => Some(*until),
            Turn::Open { reply, .. } if reply.has_next() && !self.jobs.is_running(Kind::Speak) => {
                reply.next_at()
            }
            Turn::Idle | Turn::Asked { .. } | Turn::Open { .. } | Turn::Closed => None,
        };
        [self.jobs.poll_timeout(), ear, pause].into_iter().flatten().min()
    }

    pub fn state(&self) -> State {
        match &self.turn {
            Turn::Closed => State::Closed,
            Turn::Open { reply, .. } if reply.is_audible() => State::Speaking,
            Turn::Idle | Turn::Asked { .. } | Turn::Open { .. } | Turn::Pausing { .. }
                if self.ear.is_taken() =>
            {
                State::Listening { is_caller_speaking: true }
            }
            Turn::Asked { .. } | Turn::Open { .. } | Turn::Pausing { .. } => State::Thinking,
            Turn::Idle if self.scribe.is_busy() => State::Thinking,
            Turn::Idle => State::Listening { is_caller_speaking: false },
        }
    }

    /// Since when the caller waits for the agent: the end of their speech, if it is the agent's turn now. `None`
    /// while the rest of an answer is asked for whose beginning may still be playing.
    pub fn waiting_since(&self) -> Option<Instant> {
        let is_speaking = matches!(self.owed, Some(Owed::Rest(_)));
        (self.state() == State::Thinking && !is_speaking).then_some(self.since)
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
        let is_replying = matches!(self.turn, Turn::Asked { .. } | Turn::Open { .. } | Turn::Pausing { .. });
        if is_replying {
            self.cancel(Kind::Think);
            self.cancel(Kind::Speak);
            self.turn = Turn::Idle;
        }
        if is_speaking {
            self.turns_lost = 0;
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
            (Kind::Think, Turn::Open { reply, .. }) => match reply.handle_text(text) {
                Taken::More => {}
                Taken::Enough => {
                    reply.finish_text();
                    self.cancel(Kind::Think);
                }
                Taken::Retracted { was_audible } => self.retract(was_audible),
            },
            (Kind::Think | Kind::Speak, _) => {}
        }
    }

    /// What the agent says, or was about to say, was a thought of the model: it must not be heard any more.
    fn retract(&mut self, was_audible: bool) {
        self.cancel(Kind::Speak);
        if was_audible {
            self.is_agent_audible = false;
            self.outputs.push_back(Output::Interrupt);
        }
    }

    fn handle_reply_audio(&mut self, kind: Kind, mut samples: Vec<i16>, now: Instant) {
        let (Kind::Speak, Turn::Open { reply, .. }) = (kind, &mut self.turn) else { return };
        let Some(spoke) = reply.handle_audio(&mut samples, now) else { return };
        let (is_full, is_sentence_full) = (reply.is_full(), reply.is_sentence_full());
        self.is_agent_audible = true;
        if spoke.begins {
            self.owed = None;
            self.outputs.push_back(Output::ReplyBegins { waited_since: self.since });
        }
        self.outputs.extend(spoke.sentence.map(|text| Output::AgentSays { text }));
        self.outputs.push_back(Output::Audio(samples));
        if is_full || is_sentence_full {
            self.cancel(Kind::Speak);
            self.outputs.push_back(Output::SentenceEnd);
        }
        if is_full {
            self.end_reply(now);
        } else if let (true, Turn::Open { reply, .. }) = (is_sentence_full, &mut self.turn) {
            reply.handle_spoken();
        }
    }

    fn handle_done(&mut self, kind: Kind, now: Instant) {
        match (kind, &mut self.turn) {
            (Kind::Transcribe, _) => {
                if self.scribe.handle_done() == Verdict::Wordless {
                    self.handle_wordless();
                }
            }
            (Kind::Think, Turn::Open { reply, .. }) => {
                reply.finish_text();
                if !reply.has_words() {
                    self.handle_failure(kind, Failure::Empty, now);
                }
            }
            (Kind::Speak, Turn::Open { reply, .. }) => {
                if reply.handle_spoken() {
                    self.outputs.push_back(Output::SentenceEnd);
                } else {
                    self.handle_failure(kind, Failure::Empty, now);
                }
            }
            (Kind::Think | Kind::Speak, _) => {}
        }
    }

    /// There are no words in what sounded like the caller. Unless they hear more of the agent anyhow, they are asked
    /// to say it again, and after that not until words were recognised: a noisy line is no conversation.
    fn handle_wordless(&mut self) {
        let is_agent_next = self.owed.is_some() || !matches!(self.turn, Turn::Idle);
        if is_agent_next || self.ear.is_taken() || self.scribe.is_busy() || self.scribe.has_said() {
            return;
        }
        if self.wordless == Wordless::Noise || !self.is_floor_free() {
            return self.outputs.push_back(Output::Noise);
        }
        self.wordless = Wordless::Noise;
        self.outputs.push_back(Output::Note(Kind::Transcribe, Event::Failed(Failure::Empty)));
        self.outputs.push_back(Output::Misheard);
    }

    /// The job of this kind failed and is not under way any more.
    fn handle_failure(&mut self, kind: Kind, failure: Failure, now: Instant) {
        if self.cost(kind, &failure) == Cost::Nothing {
            self.outputs.push_back(Output::Note(kind, Event::Failed(failure)));
        } else if self.turns_lost + 1 >= TURNS_LOST_MAX {
            self.close();
            self.outputs.push_back(Output::Failed { kind, failure });
        } else {
            self.outputs.push_back(Output::Note(kind, Event::Failed(failure)));
            self.lose_turn(kind, now);
        }
    }

    /// What it costs that the job of this kind failed; makes good what can be made good.
    fn cost(&mut self, kind: Kind, failure: &Failure) -> Cost {
        match (kind, &mut self.turn) {
            (Kind::Transcribe, _) => match self.scribe.handle_failure(self.ear.is_taken()) {
                Verdict::Fine | Verdict::Wordless => Cost::Nothing,
                Verdict::Misheard => Cost::Turn,
            },
            (Kind::Think, Turn::Open { attempt, reply }) => {
                let is_limit = matches!(failure, Failure::Unfinished { .. });
                reply.break_off(if is_limit { Short::AtLimit } else { Short::BrokenOff });
                let attempt = *attempt;
                if !reply.has_words() && attempt >= THINK_ATTEMPTS_MAX {
                    return Cost::Turn;
                }
                if !reply.has_words() {
                    self.ask(attempt + 1);
                }
                Cost::Nothing
            }
            (Kind::Speak, Turn::Open { reply, .. }) => {
                if reply.handle_failure() {
                    Cost::Nothing
                } else {
                    Cost::Turn
                }
            }
            (Kind::Think | Kind::Speak, _) => Cost::Nothing,
        }
    }

    /// The caller has no answer to what they said: they are asked to say it again. What the agent had to say by
    /// itself is tried again a little later.
    fn lose_turn(&mut self, kind: Kind, now: Instant) {
        self.turns_lost += 1;
        let is_cue = |owed: &Owed| matches!(owed, Owed::Cue(cue) if cue != GO_ON);
        if kind == Kind::Transcribe {
            self.owed.take_if(|owed| !is_cue(owed) && *owed != Owed::Answer);
            return self.outputs.push_back(Output::Misheard);
        }
        self.cancel(Kind::Think);
        self.cancel(Kind::Speak);
        if matches!(&self.turn, Turn::Open { reply, .. } if reply.is_audible()) {
            self.outputs.push_back(Output::ReplyEnd);
        }
        if self.owed.as_ref().is_some_and(is_cue) {
            self.turn = Turn::Pausing { until: now + SPEAK_FIRST_AGAIN };
        } else {
            self.owed = None;
            self.turn = Turn::Idle;
            self.outputs.push_back(Output::Misheard);
        }
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
            // The rest of a broken answer was asked for while the caller spoke: what they said goes before.
            self.cancel(Kind::Think);
            self.cancel(Kind::Speak);
            self.turn = Turn::Idle;
            self.wordless = Wordless::Speech;
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
        let is_early = reply.has_next() && reply.next_at().is_some_and(|at| now < at);
        if self.jobs.is_running(Kind::Speak) || is_early {
            return;
        }
        if let Some(text) = reply.next_sentence() {
            let language = self.config.language.clone();
            self.start(Request::Speak(job::Sentence { text, language }), now);
        } else if reply.is_over() {
            self.end_reply(now);
        }
    }

    fn end_reply(&mut self, now: Instant) {
        self.cancel(Kind::Think);
        let turn = std::mem::replace(&mut self.turn, Turn::Idle);
        self.outputs.push_back(Output::ReplyEnd);
        let Turn::Open { attempt, reply } = turn else { return };
        match reply.short() {
            Some((short, said)) if attempt < THINK_ATTEMPTS_MAX => {
                self.since = now;
                self.owed = Some(Owed::rest(short, said));
                self.ask(attempt + 1);
            }
            Some((Short::BrokenOff, _)) => {
                self.owed = None;
                self.outputs.push_back(Output::Misheard);
            }
            // What is too long a second time has told the caller enough: they may ask for the rest.
            Some((Short::AtLimit, _)) | None => self.turns_lost = 0,
        }
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
