//! The call with its fallback: speech to text, a language model and text to speech, and the way back to live.

use std::time::Instant;

use super::record::{Cause, Event, Rung};
use super::responder::{Comeback, Role};
use super::silence::Debt;
use super::uplink::Speech;
use super::{Call, Output, clip};
use crate::fallback::{self, Context, State};
use crate::id::JobId;
use crate::live::Usage;
use crate::live::failure::{Failure, Verdict};
use crate::live::session;
use crate::{job, time};

/// What the language model is told when the caller was not answered by the one before.
const ANSWER: &str = "The line was interrupted. Answer what the caller said last, without greeting.";

impl Call {
    /// Events of a job that is not running are late: the session drops them.
    pub fn handle_job(&mut self, id: JobId, event: job::Event, now: Instant) {
        if let Some(standin) = self.responder.standin() {
            standin.session.handle_job(id, event, now);
        }
        self.advance(now);
    }

    /// The live service cannot be had: the fallback answers, or nobody can.
    pub(super) fn stand_in(&mut self, cause: Failure, verdict: Verdict, now: Instant) {
        let cause = Cause::Live { cause };
        if !self.setting.services.has_fallback {
            return self.give_up(cause, now);
        }
        let config = fallback::Config {
            instruction: self.instruction(),
            language: self.agent.language.clone(),
            temperature: self.agent.temperature,
            hearing: self.setting.services.hearing,
            is_interruptible: !self.agent.vad.no_interruption,
            ..fallback::Config::default()
        };
        self.responder.stand_in(config, verdict, now);
        self.outbox.event(Event::Rung { rung: Rung::Fallback, cause: Some(cause) }, now);
        self.silence.explain();
        let held = self.uplink.held();
        if !held.is_zero() {
            self.outbox.event(Event::AudioHeld { held_ms: time::millis(held) }, now);
        }
        let cue = match self.silence.debt() {
            Some(Debt::Greeting) => self.agent.greeting.instruction().map(str::to_owned),
            Some(Debt::Rest) => Some(self.rest_cue()),
            Some(Debt::Answer) if held.is_zero() => Some(ANSWER.to_owned()),
            Some(Debt::Answer) | None => None,
        };
        if let (Some(cue), Some(standin)) = (cue, self.responder.standin()) {
            standin.session.speak_first(&cue, now);
        }
        self.follow_standin(now);
    }

    /// Caller audio for the fallback.
    pub(super) fn listen(&mut self, samples: &[i16], now: Instant) {
        let is_agent_audible = self.downlink.is_speech_audible(now);
        if let Some(standin) = self.responder.standin() {
            standin.session.handle_audio(samples, Context { is_agent_audible }, now);
        }
    }

    /// Carries out what the fallback wants.
    pub(super) fn follow_standin(&mut self, now: Instant) {
        while let Some(output) = self.responder.standin().and_then(|standin| standin.session.poll_output()) {
            self.handle_fallback(output, now);
        }
        let Some(standin) = self.responder.standin() else { return };
        match (standin.session.state(), standin.session.waiting_since()) {
            (State::Thinking, None) if self.downlink.is_speech_audible(now) => {}
            (State::Thinking, since) => self.silence.owe(Debt::Answer, since.unwrap_or(now)),
            (State::Listening { is_caller_speaking: true }, _) => self.yield_floor(now),
            (State::Listening { is_caller_speaking: false } | State::Speaking | State::Closed, _) => {}
        }
    }

    /// Live again, if a session is ready and this is a turn boundary.
    pub(super) fn come_back(&mut self, now: Instant) {
        let config = session::Config { has_other_tier: true, ..self.setting.services.live };
        self.responder.try_comeback(config, now);
        self.follow_session(now);
        let is_quiet = self.is_quiet(now);
        let Some(standin) = self.responder.standin() else { return };
        let is_ready = matches!(&standin.comeback, Comeback::Trying(session) if session.is_ready());
        let is_listening = standin.session.state() == State::Listening { is_caller_speaking: false };
        if is_ready && is_listening && is_quiet {
            self.close_standin(now);
            self.responder.come_back();
            self.note_rung(Rung::Live, now);
            self.begin_session(Vec::new(), now);
        }
    }

    /// Cancels what the fallback is doing.
    pub(super) fn close_standin(&mut self, now: Instant) {
        if let Some(standin) = self.responder.standin() {
            standin.session.close();
        }
        while let Some(output) = self.responder.standin().and_then(|standin| standin.session.poll_output()) {
            if let fallback::Output::Cancel(_) | fallback::Output::CallerSaid { .. } = &output {
                self.handle_fallback(output, now);
            }
        }
    }

    fn handle_fallback(&mut self, output: fallback::Output, now: Instant) {
        match output {
            fallback::Output::Start(id, request) => {
                if let Some(standin) = self.responder.standin() {
                    standin.asked.retain(|(kind, _)| *kind != request.kind());
                    standin.asked.push((request.kind(), now));
                }
                self.outbox.push(Output::Start(id, request));
            }
            fallback::Output::Cancel(id) => self.outbox.push(Output::Cancel(id)),
            fallback::Output::CallerSaid { text, started, ended } => {
                self.uplink.take_speech();
                self.transcript.caller_spoke(&text, Speech { started, ended }, now);
            }
            fallback::Output::WantsReply => {
                let dialogue = self.transcript.dialogue(self.downlink.heard(now));
                if let Some(standin) = self.responder.standin() {
                    standin.session.reply(&dialogue, now);
                }
            }
            fallback::Output::ReplyBegins { waited_since } => {
                if let Some(standin) = self.responder.standin() {
                    standin.answers = Some(waited_since);
                    standin.lead.begin();
                }
                self.settle(now);
            }
            fallback::Output::AgentSays { text } => {
                self.transcript.agent_reads(&format!("{text} "), self.downlink.position(), now);
            }
            fallback::Output::Audio(samples) => {
                let Some(standin) = self.responder.standin() else { return };
                let (answers, samples) = (standin.answers, standin.lead.skip(&samples));
                self.play(samples, answers, now);
            }
            fallback::Output::SentenceEnd => {}
            fallback::Output::ReplyEnd => {
                self.finish_reply(now, now);
                self.downlink.handle_turn_complete();
            }
            fallback::Output::Interrupt => {
                self.handle_interrupted(now);
                self.downlink.handle_turn_complete();
            }
            fallback::Output::Misheard => {
                self.settle(now);
                self.say(clip::say_again(), now);
            }
            fallback::Output::Noise => self.settle(now),
            fallback::Output::SpeechLost(lost) => {
                self.outbox.event(Event::SpeechLost { lost_ms: time::millis(lost) }, now);
            }
            fallback::Output::Note(kind, event) => self.handle_note(kind, event, now),
            fallback::Output::Failed { kind, failure } => {
                self.outbox.event(Event::JobFailed { job: kind, failure: failure.clone() }, now);
                self.give_up(Cause::Fallback { job: kind, cause: failure }, now);
            }
        }
    }

    fn handle_note(&mut self, kind: job::Kind, event: job::Event, now: Instant) {
        match event {
            job::Event::Skipped { provider, failure } => {
                let provider = provider.to_string();
                self.outbox.event(Event::ProviderSkipped { job: kind, provider, failure }, now);
            }
            job::Event::Waits { .. } => self.silence.explain(),
            job::Event::Started { provider } => {
                let asked = self.responder.standin().and_then(|standin| standin.first_word(kind));
                let first = now.saturating_duration_since(asked.unwrap_or(now));
                let (provider, first_ms) = (provider.to_string(), time::millis(first));
                self.outbox.event(Event::ProviderUsed { job: kind, provider, first_ms }, now);
            }
            job::Event::BrokeOff { provider, failure } => {
                let provider = provider.to_string();
                self.outbox.event(Event::ProviderFailed { job: kind, provider, failure }, now);
            }
            job::Event::Failed(failure) => self.outbox.event(Event::JobFailed { job: kind, failure }, now),
            job::Event::Usage { prompt_tokens, response_tokens } => {
                let total_tokens = prompt_tokens + response_tokens;
                let usage = Usage { prompt_tokens, response_tokens, total_tokens, ..Usage::default() };
                self.outbox.event(Event::Usage(usage), now);
            }
            job::Event::Billed(bill) => {
                self.outbox.event(Event::ProviderBilled { job: kind, bill }, now);
            }
            job::Event::Text(_) | job::Event::Audio(_) | job::Event::Done => {}
        }
    }

    /// Whether the fallback answers.
    pub(super) const fn is_standing_in(&self) -> bool {
        matches!(self.responder.role, Role::Fallback(_))
    }
}
