//! The caller's part of a call, on the caller's own clock: it starts with the first stream and never stops. Pure.
//!
//! What falls due while no stream is up is lost, as speech into a dead line is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fixture::{Act, Fixture, Step};
use super::timeline::span;

#[derive(Clone, Debug)]
pub struct Script {
    steps: VecDeque<Step>,
    hang_up: Duration,
    began: Option<Instant>,
}

impl Script {
    /// The caller of this recording. With `chunk_len` what is said is cut anew, into messages of that many bytes.
    pub fn new(fixture: &Fixture, chunk_len: Option<usize>) -> Self {
        let hang_up = |step: &&Step| step.act == Act::HangUp;
        let hang_up = fixture.steps.iter().find(hang_up).map_or_else(|| fixture.duration(), |step| step.at);
        let acts = fixture.steps.iter().filter(|step| step.act != Act::HangUp);
        let mut steps: Vec<_> = match chunk_len {
            None => acts.cloned().collect(),
            Some(len) => {
                let keys = acts.filter(|step| matches!(step.act, Act::Press(_))).cloned();
                keys.chain(rechunked(fixture, len.max(1))).collect()
            }
        };
        steps.sort_by_key(|step| step.at);
        Self { steps: steps.into(), hang_up, began: None }
    }

    /// A second line of the same caller: it only listens, and hangs up at the same time.
    #[must_use]
    pub fn listening(&self) -> Self {
        Self { steps: VecDeque::new(), ..self.clone() }
    }

    /// A stream is up: the clock starts if it has not, and what is overdue is lost.
    pub fn begin(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        while self.steps.pop_front_if(|step| began + step.at < now).is_some() {}
    }

    /// When each probe of the recording sounds; none before the call began.
    pub fn instants(&self, times: &[Duration]) -> Vec<Instant> {
        self.began.map_or_else(Vec::new, |began| times.iter().map(|&time| began + time).collect())
    }

    /// When the caller hangs up.
    pub fn hangs_up_at(&self) -> Option<Instant> {
        self.began.map(|began| began + self.hang_up)
    }

    /// When the next step is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let began = self.began?;
        Some(began + self.steps.front().map_or(self.hang_up, |step| step.at.min(self.hang_up)))
    }

    /// The next step due, with the instant it was due at. Hanging up is given again and again.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, Act)> {
        let began = self.began?;
        let hang_up = self.hang_up;
        let due = |step: &mut Step| step.at <= hang_up && began + step.at <= now;
        if let Some(step) = self.steps.pop_front_if(due) {
            return Some((began + step.at, step.act));
        }
        (began + hang_up <= now).then_some((began + hang_up, Act::HangUp))
    }
}

/// All that is said, without gaps, in messages of `len` bytes, each sent when its last sample was said.
fn rechunked(fixture: &Fixture, len: usize) -> Vec<Step> {
    let mut said = Vec::new();
    let mut from = None;
    for step in &fixture.steps {
        if let Act::Speak(bytes) = &step.act {
            from.get_or_insert_with(|| step.at.saturating_sub(span(bytes.len())));
            said.extend_from_slice(bytes);
        }
    }
    let mut at = from.unwrap_or_default();
    said.chunks(len)
        .map(|chunk| {
            at += span(chunk.len());
            Step { at, act: Act::Speak(chunk.to_vec()) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn due(script: &mut Script, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some((_, act)) = script.pop_due(now) {
            acts.push(act);
            if acts.last() == Some(&Act::HangUp) {
                break;
            }
        }
        acts
    }

    #[test]
    fn steps_are_due_at_their_own_times_however_late_they_are_asked_for() {
        let now = Instant::now();
        let mut script = Script::new(&Fixture::from_mulaw(&[1; 320]), None);
        script.begin(now);
        assert_eq!(script.poll_timeout(), Some(now + 20 * MS));
        let late = now + 45 * MS;
        assert_eq!(script.pop_due(late), Some((now + 20 * MS, Act::Speak(vec![1; 160]))));
        assert_eq!(script.pop_due(late), Some((now + 40 * MS, Act::Speak(vec![1; 160]))));
        assert_eq!(script.pop_due(late), Some((now + 40 * MS, Act::HangUp)));
    }

    #[test]
    fn what_is_said_between_two_streams_is_lost() {
        let now = Instant::now();
        let mut script = Script::new(&Fixture::from_mulaw(&[1; 800]), None);
        script.begin(now);
        assert_eq!(due(&mut script, now + 20 * MS).len(), 1);
        script.begin(now + 70 * MS);
        assert_eq!(script.poll_timeout(), Some(now + 80 * MS));
    }

    #[test]
    fn other_chunks_carry_the_same_samples_at_the_same_times() {
        let now = Instant::now();
        let fixture = Fixture::from_mulaw(&[1; 400]).pressing(30 * MS, "5");
        let mut script = Script::new(&fixture, Some(240));
        script.begin(now);
        let speak = |len| Act::Speak(vec![1; len]);
        assert_eq!(
            due(&mut script, now + 50 * MS),
            [Act::Press("5".into()), speak(240), speak(160), Act::HangUp]
        );
    }
}
