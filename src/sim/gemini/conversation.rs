//! Who speaks: turns of the caller, answers of the model, and how they cut each other off.
//!
//! Sans-IO: requests, audio and the time go in, messages come out. Knows nothing of setup and sockets.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::behaviour::{Behaviour, SilentStart};
use super::ears::{Ears, Heard};
use super::observation::Observation;
use super::outputs::Outputs;
use super::personality::TranscriptStyle;
use super::plan::{self, Part};
use super::policy;
use super::refusal::Refusal;
use super::request::{ActivityHandling, Blob, ClientContent, RealtimeInput, Request, Setup, ToolResponse};
use super::scenario::Scenario;
use super::script::{Cue, Reply, Script, Source};
use super::speech::{Answer, Mouth};

/// One conversation, from `setupComplete` on.
#[derive(Debug)]
pub(super) struct Conversation {
    behaviour: Arc<Behaviour>,
    handling: ActivityHandling,
    /// Whether the caller's words are told.
    tells_heard: bool,
    ears: Ears,
    /// Samples of caller audio that have come in.
    received: u64,
    history: History,
    script: Script,
    floor: Floor,
    /// What wants an answer as soon as the current one is over.
    queued: Option<Cue>,
    mouth: Mouth,
}

/// Whose turn it is.
#[derive(Debug)]
enum Floor {
    Idle,
    Thinking { until: Instant, reply: Reply },
    Calling { id: String, reply: Reply },
    Answering(Answer),
}

/// What `clientContent` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    /// It is history, until the first one that is complete.
    Seeding,
    Fresh,
    /// The model has said something.
    Underway,
}

impl Conversation {
    pub(super) fn new(behaviour: Arc<Behaviour>, scenario: Arc<Scenario>, setup: &Setup, seed: u64) -> Self {
        let personality = behaviour.personality;
        let script = Script::new(scenario);
        let input = &setup.realtime_input_config;
        let ears = match script.probe() {
            Some(_) => Ears::probe(),
            None => Ears::new(&input.automatic_activity_detection, personality.is_vertex()),
        };
        let is_seeded = setup.history_config.initial_history_in_client_content;
        Self {
            handling: input.activity_handling,
            tells_heard: personality.is_3x() || setup.input_audio_transcription.is_some(),
            ears,
            received: 0,
            history: if is_seeded { History::Seeding } else { History::Fresh },
            script,
            floor: Floor::Idle,
            queued: None,
            mouth: Mouth::new(personality, setup, seed),
            behaviour,
        }
    }

    pub(super) const fn outputs(&mut self) -> &mut Outputs {
        &mut self.mouth.outputs
    }

    /// What the service says first.
    pub(super) fn open(&mut self) {
        self.mouth.setup_complete();
    }

    /// The connection has ended.
    pub(super) fn close(&mut self) {
        let samples = self.received;
        self.outputs().observe(Observation::AudioReceived { samples });
    }

    pub(super) fn handle_request(&mut self, request: Request, now: Instant) -> Result<(), Refusal> {
        match request {
            Request::Setup(_) => return Err(Refusal::SetupFirst),
            Request::RealtimeInput(input) => self.handle_realtime(&input, now)?,
            Request::ClientContent(content) => self.handle_content(&content, now)?,
            Request::ToolResponse(response) => self.handle_tool_response(&response, now),
            Request::ContextUpdate => {}
        }
        self.handle_timeout(now);
        Ok(())
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            match std::mem::replace(&mut self.floor, Floor::Idle) {
                Floor::Idle => {}
                Floor::Thinking { reply, .. } => self.start(reply, now),
                floor @ Floor::Calling { .. } => self.floor = floor,
                Floor::Answering(answer) => self.go_on(answer, now),
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.floor {
            Floor::Idle | Floor::Calling { .. } => None,
            Floor::Thinking { until, .. } => Some(*until),
            Floor::Answering(answer) => answer.due(),
        }
    }

    fn handle_realtime(&mut self, input: &RealtimeInput, now: Instant) -> Result<(), Refusal> {
        if let Some(chunk) = input.media_chunks.first() {
            if self.behaviour.personality.is_3x() {
                return Err(Refusal::MediaChunks);
            }
            self.handle_audio(chunk, now)?;
        }
        if input.activity_start.is_some() {
            let heard = self.ears.handle_activity_start()?;
            self.handle_heard(heard, now);
        }
        if let Some(audio) = &input.audio {
            self.handle_audio(audio, now)?;
        }
        if input.text.is_some() {
            self.handle_text(now);
        }
        if input.activity_end.is_some() {
            let heard = self.ears.handle_activity_end()?;
            self.handle_heard(heard, now);
        }
        if input.audio_stream_end {
            let heard = self.ears.handle_stream_end();
            self.handle_heard(heard, now);
        }
        Ok(())
    }

    fn handle_audio(&mut self, audio: &Blob, now: Instant) -> Result<(), Refusal> {
        let (rate, samples) = audio.audio()?;
        let seconds = |samples| samples / u64::from(rate.0);
        if self.received == 0 && !samples.is_empty() {
            self.outputs().observe(Observation::FirstAudioHeard);
        }
        let before = self.received;
        self.received += samples.len() as u64;
        if seconds(self.received) > seconds(before) {
            let samples = self.received;
            self.outputs().observe(Observation::AudioReceived { samples });
        }
        self.mouth.tally.hear(rate, samples.len());
        let mut heard = Vec::new();
        self.ears.handle_audio(rate, &samples, &mut heard);
        self.handle_heard(heard, now);
        Ok(())
    }

    fn handle_heard(&mut self, heard: impl IntoIterator<Item = Heard>, now: Instant) {
        for heard in heard {
            match heard {
                Heard::SpeechStart { offset } => {
                    self.outputs().observe(Observation::SpeechStart);
                    self.mouth.voice_activity("ACTIVITY_START", offset);
                    self.barge_in();
                }
                Heard::SpeechEnd { offset } => {
                    self.tell_heard();
                    self.mouth.voice_activity("ACTIVITY_END", offset);
                    self.outputs().observe(Observation::SpeechEnd);
                    self.answer(Cue::Speech, now);
                }
                Heard::Burst => {
                    if let Some(burst) = self.script.probe() {
                        self.mouth.burst(burst);
                    }
                }
            }
        }
    }

    fn tell_heard(&mut self) {
        let Some(words) = self.script.hear().filter(|_| self.tells_heard) else { return };
        match self.behaviour.personality.transcript_style() {
            TranscriptStyle::Along => self.mouth.transcription("inputTranscription", &json!({"text": words})),
            TranscriptStyle::Ahead => self.tell_fragments(&words),
            TranscriptStyle::Bracketed => {
                self.mouth.transcription("inputTranscription", &json!({}));
                self.tell_fragments(&words);
                self.mouth.transcription("inputTranscription", &json!({"finished": true}));
            }
        }
    }

    fn tell_fragments(&mut self, words: &str) {
        for fragment in plan::fragments(words, true) {
            self.mouth.transcription("inputTranscription", &json!({"text": fragment}));
        }
    }

    fn handle_text(&mut self, now: Instant) {
        let interrupts = self.behaviour.personality.text_interrupts()
            && self.handling == ActivityHandling::Interrupts
            && matches!(self.floor, Floor::Calling { .. } | Floor::Answering(_));
        if interrupts {
            self.interrupt();
        }
        self.answer(Cue::Text, now);
    }

    fn handle_content(&mut self, content: &ClientContent, now: Instant) -> Result<(), Refusal> {
        let personality = self.behaviour.personality;
        policy::check_content(content, personality)?;
        match self.history {
            History::Seeding if !content.turn_complete => return Ok(()),
            History::Seeding => {
                self.history = History::Fresh;
                // On 3.x the end of the history starts no reply.
                if personality.is_3x() {
                    return Ok(());
                }
            }
            // 3.1 takes it as a seed only.
            History::Underway if personality == super::Personality::Flash31 => {
                return Err(Refusal::InvalidArgument);
            }
            History::Fresh | History::Underway => {}
        }
        self.interrupt();
        if content.turn_complete {
            self.answer(Cue::Text, now);
        }
        Ok(())
    }

    fn handle_tool_response(&mut self, response: &ToolResponse, now: Instant) {
        let is_answered = |id: &str| response.function_responses.iter().any(|response| response.id == id);
        // Answers to calls that were cancelled, or never made, are ignored.
        if !matches!(&self.floor, Floor::Calling { id, .. } if is_answered(id)) {
            return;
        }
        if let Floor::Calling { reply, .. } = std::mem::replace(&mut self.floor, Floor::Idle) {
            self.mouth.function_answered();
            self.floor = Floor::Thinking { until: now + self.behaviour.think, reply };
        }
    }

    fn barge_in(&mut self) {
        match (&self.floor, self.handling) {
            (Floor::Idle, _) => {
                if self.behaviour.silence == SilentStart::Interrupted {
                    self.mouth.interrupted();
                }
            }
            (_, ActivityHandling::Interrupts) => self.interrupt(),
            (_, ActivityHandling::NoInterruption) => {}
        }
    }

    /// Stops whatever the model is at. An answer that it only thought about was never begun.
    fn interrupt(&mut self) {
        self.queued = None;
        match std::mem::replace(&mut self.floor, Floor::Idle) {
            Floor::Idle | Floor::Thinking { .. } => {}
            Floor::Calling { id, .. } => {
                self.mouth.cancel_call(&id);
                self.mouth.interrupted();
                self.mouth.turn_complete();
            }
            Floor::Answering(mut answer) => {
                self.mouth.interrupted();
                for part in answer.take_stale(self.behaviour.stale) {
                    self.mouth.say(&part, &answer.lines);
                }
                self.mouth.turn_complete();
            }
        }
    }

    /// Answers as soon as the floor is free.
    fn answer(&mut self, cue: Cue, now: Instant) {
        match self.floor {
            Floor::Idle => {
                if let Some(reply) = self.script.reply(cue) {
                    self.floor = Floor::Thinking { until: now + self.behaviour.think, reply };
                }
            }
            Floor::Thinking { .. } => {}
            Floor::Calling { .. } | Floor::Answering(_) => self.queued = Some(cue),
        }
    }

    fn start(&mut self, mut reply: Reply, now: Instant) {
        self.history = History::Underway;
        self.script.commit(reply.source);
        if let Some(call) = reply.call.take() {
            let id = self.mouth.call(&call);
            reply.source = Source::Result;
            self.floor = Floor::Calling { id, reply };
            return;
        }
        let Behaviour { personality, delivery, .. } = &*self.behaviour;
        let steps = plan::plan(&reply.lines, self.mouth.form, *personality, delivery);
        self.floor = Floor::Answering(Answer { lines: reply.lines, steps, begun: now });
    }

    /// Says the next part of an answer.
    fn go_on(&mut self, mut answer: Answer, now: Instant) {
        match answer.steps.pop_front().map(|step| step.part) {
            None => {}
            Some(Part::TurnComplete) => {
                self.mouth.turn_complete();
                if let Some(cue) = self.queued.take() {
                    self.answer(cue, now);
                }
            }
            Some(part) => {
                self.mouth.say(&part, &answer.lines);
                self.floor = Floor::Answering(answer);
            }
        }
    }
}
