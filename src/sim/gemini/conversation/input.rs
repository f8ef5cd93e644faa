//! What a client sends into a conversation: audio, text, activity and history.

use std::time::Instant;

use serde_json::json;

use super::super::behaviour::{Hearing, SilentStart};
use super::super::ears::Heard;
use super::super::fault::Moment;
use super::super::observation::{ContentUse, Observation, SeedTurn};
use super::super::personality::{Personality, TranscriptStyle};
use super::super::plan;
use super::super::policy;
use super::super::refusal::Refusal;
use super::super::request::{ActivityHandling, Blob, ClientContent, RealtimeInput};
use super::super::script::Cue;
use super::{Conversation, Floor, History};
use crate::audio::Rate;

impl Conversation {
    pub(super) fn handle_realtime(&mut self, input: &RealtimeInput, now: Instant) -> Result<(), Refusal> {
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
        if let Some(text) = &input.text {
            self.outputs().observe(Observation::TextReceived(text.clone()));
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
        self.tell_received(rate, &samples);
        self.mouth.tally.hear(rate, samples.len());
        let mut heard = Vec::new();
        self.ears.handle_audio(rate, &samples, &mut heard);
        self.handle_heard(heard, now);
        Ok(())
    }

    fn tell_received(&mut self, rate: Rate, samples: &[i16]) {
        let seconds = |samples| samples / u64::from(rate.0);
        if self.received == 0 && !samples.is_empty() {
            self.outputs().observe(Observation::FirstAudioHeard);
        }
        let before = self.received;
        self.received += samples.len() as u64;
        if self.behaviour.hearing == Hearing::Chunks {
            let chunk = Observation::AudioChunk { at_ms: rate.millis(before), samples: samples.into() };
            self.outputs().observe(chunk);
        }
        if seconds(self.received) > seconds(before) {
            let samples = self.received;
            self.outputs().observe(Observation::AudioReceived { samples });
        }
    }

    fn handle_heard(&mut self, heard: impl IntoIterator<Item = Heard>, now: Instant) {
        for heard in heard {
            match heard {
                Heard::SpeechStart { offset } => {
                    self.outputs().observe(Observation::SpeechStart);
                    self.mouth.activity_start(offset);
                    self.outputs().reach(Moment::CallerSpeaks);
                    self.barge_in();
                }
                Heard::SpeechEnd { offset } => {
                    self.tell_heard();
                    self.mouth.activity_end(offset);
                    self.outputs().observe(Observation::SpeechEnd);
                    self.answer(Cue::Speech, now);
                }
                Heard::Burst => {
                    if let Some(burst) = self.script.probe() {
                        self.mouth.burst(burst);
                        self.end_turn();
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
            && matches!(self.floor, Floor::Calling(_) | Floor::Answering(_));
        if interrupts {
            self.interrupt();
        }
        self.answer(Cue::Text, now);
    }

    pub(super) fn handle_content(&mut self, content: &ClientContent, now: Instant) -> Result<(), Refusal> {
        let personality = self.behaviour.personality;
        policy::check_content(content, personality)?;
        let usage = match self.history {
            History::Seeding if content.turn_complete => ContentUse::EndOfHistory,
            History::Seeding => ContentUse::History,
            // 3.1 takes it as a seed only.
            History::Underway if personality == Personality::Flash31 => {
                return Err(Refusal::InvalidArgument);
            }
            History::Fresh | History::Underway => ContentUse::Input,
        };
        let told = content.turns.iter().map(|turn| SeedTurn { role: turn.role.clone(), text: turn.text() });
        self.outputs().observe(Observation::ContentReceived { usage, turns: told.collect() });
        if usage != ContentUse::Input {
            content.turns.iter().for_each(|turn| self.script.recall(&turn.text()));
        }
        if usage == ContentUse::EndOfHistory {
            self.history = History::Fresh;
        }
        // On 3.x the end of the history starts no reply.
        if usage == ContentUse::History || usage == ContentUse::EndOfHistory && personality.is_3x() {
            return Ok(());
        }
        self.interrupt();
        if content.turn_complete {
            self.answer(Cue::Text, now);
        }
        Ok(())
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
}
