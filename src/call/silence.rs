//! Silence: who owes the other a word, since when, and what is done about it.
//!
//! While the agent owes the caller something and nothing is heard, the line must not go dead: after a moment a
//! cover is played, then the model is asked again, and in the end it is given up. Knows nothing of models or of
//! what is played; it is told when something is heard.

use std::time::{Duration, Instant};

/// When the caller hears a cover. People begin to doubt the line after one to two seconds of silence.
const COVER_AFTER: Duration = Duration::from_millis(1200);

/// Cover in words comes at once when something is known to be wrong; when the model is only slow it comes this
/// late, after the comfort tone.
const WORDS_AFTER: Duration = Duration::from_secs(4);

/// Cover in words again, if it still takes so long.
const WORDS_EVERY: Duration = Duration::from_secs(8);

/// When a connected model that says nothing is asked again.
const NUDGE_AFTER: Duration = Duration::from_secs(4);

/// When a connected model that says nothing is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(8);

/// What the agent owes the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Debt {
    /// The first words of the call.
    Greeting,
    /// An answer to what the caller said.
    Answer,
    /// The rest of what it was saying when its session was lost.
    Rest,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Let the caller hear that the line is alive.
    Tone,
    /// Tell the caller so.
    Words,
    /// Ask the model again.
    Nudge,
    /// The model will not answer.
    GiveUp,
}

/// The state of one call.
#[derive(Debug, Default)]
pub(super) struct Silence {
    owed: Option<Owed>,
    /// The longest stretch in which something was owed and nothing was heard.
    longest: Duration,
}

#[derive(Debug)]
struct Owed {
    debt: Debt,
    since: Instant,
    /// The caller hears nothing since; `None` while something is heard.
    quiet_since: Option<Instant>,
    tone_at: Option<Instant>,
    words_at: Option<Instant>,
    nudge_at: Option<Instant>,
    give_up_at: Option<Instant>,
}

impl Owed {
    /// The caller does not speak: words are always due at some time then.
    const fn has_floor(&self) -> bool {
        self.words_at.is_some()
    }
}

impl Silence {
    /// The agent owes this since then. Patience with the model is as old as the first debt that is open.
    pub(super) fn owe(&mut self, debt: Debt, since: Instant) {
        if let Some(owed) = self.owed.as_mut().filter(|owed| owed.has_floor()) {
            owed.debt = debt;
            return;
        }
        let older = self.owed.take();
        // Some time it has in any case: to a new question, half of what it had to the first.
        let patience = |older: Instant, own: Duration| older.max(since + own / 2);
        self.owed = Some(Owed {
            debt,
            since,
            quiet_since: Some(since),
            tone_at: Some(since + COVER_AFTER),
            words_at: Some(since + WORDS_AFTER),
            nudge_at: match &older {
                Some(older) => older.nudge_at.map(|at| patience(at, NUDGE_AFTER)),
                None => Some(since + NUDGE_AFTER),
            },
            give_up_at: match older.and_then(|older| older.give_up_at) {
                Some(at) => Some(patience(at, GIVE_UP_AFTER)),
                None => Some(since + GIVE_UP_AFTER),
            },
        });
    }

    /// The caller speaks: nothing is said over that, and whatever is owed is owed after it.
    pub(super) fn yield_floor(&mut self, now: Instant) {
        self.note_heard(now);
        if let Some(owed) = &mut self.owed {
            (owed.tone_at, owed.words_at) = (None, None);
        }
    }

    /// The agent speaks, or need not any more.
    pub(super) fn settle(&mut self, now: Instant) {
        self.note_heard(now);
        self.owed = None;
    }

    /// Something is wrong: a cover in words is due when one is due.
    pub(super) fn explain(&mut self) {
        if let Some(owed) = &mut self.owed
            && let Some(tone_at) = owed.tone_at.take()
        {
            owed.words_at = owed.words_at.map(|at| at.min(tone_at));
        }
    }

    /// Another model has the word: its time to answer begins now; the caller's wait does not begin anew.
    pub(super) fn restart_patience(&mut self, now: Instant) {
        if let Some(owed) = &mut self.owed {
            owed.nudge_at = Some(now + NUDGE_AFTER);
            owed.give_up_at = Some(now + GIVE_UP_AFTER);
        }
    }

    /// An empty answer: the model is asked again at once, or, the second time, given up.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(owed) = &mut self.owed {
            match &mut owed.nudge_at {
                Some(at) => *at = now,
                None => owed.give_up_at = Some(now),
            }
        }
    }

    pub(super) fn debt(&self) -> Option<Debt> {
        self.owed.as_ref().map(|owed| owed.debt)
    }

    /// Since when the caller waits.
    pub(super) fn since(&self) -> Option<Instant> {
        self.owed.as_ref().map(|owed| owed.since)
    }

    /// The caller hears something from now on, or nothing.
    pub(super) fn note_audible(&mut self, is_audible: bool, now: Instant) {
        if is_audible {
            self.note_heard(now);
        } else if let Some(owed) = self.owed.as_mut().filter(|owed| owed.has_floor()) {
            owed.quiet_since.get_or_insert(now);
        }
    }

    /// The longest stretch of dead air so far.
    pub(super) fn longest(&mut self, now: Instant) -> Duration {
        let current = self.owed.as_ref().and_then(|owed| owed.quiet_since);
        current.map_or(self.longest, |since| self.longest.max(now.saturating_duration_since(since)))
    }

    /// When [`Silence::poll`] has something next. `is_asked`: a connected model is expected to answer.
    pub(super) fn poll_timeout(&self, is_asked: bool) -> Option<Instant> {
        let owed = self.owed.as_ref()?;
        let has_floor = owed.has_floor();
        let model = [owed.nudge_at, owed.give_up_at].into_iter().flatten().filter(|_| is_asked && has_floor);
        [owed.tone_at, owed.words_at].into_iter().flatten().chain(model).min()
    }

    /// What is due at `now`.
    pub(super) fn poll(&mut self, is_asked: bool, now: Instant) -> Option<Step> {
        let owed = self.owed.as_mut().filter(|owed| owed.has_floor())?;
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut owed.words_at) {
            owed.tone_at = None;
            owed.words_at = Some(now + WORDS_EVERY);
            return Some(Step::Words);
        }
        if is_due(&mut owed.tone_at) {
            return Some(Step::Tone);
        }
        if is_asked && is_due(&mut owed.give_up_at) {
            return Some(Step::GiveUp);
        }
        (is_asked && is_due(&mut owed.nudge_at)).then_some(Step::Nudge)
    }

    fn note_heard(&mut self, now: Instant) {
        if let Some(owed) = &mut self.owed
            && let Some(since) = owed.quiet_since.take()
        {
            self.longest = self.longest.max(now.saturating_duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        silence: Silence,
        start: Instant,
        is_asked: bool,
    }

    impl World {
        fn owing(debt: Debt) -> Self {
            let start = Instant::now();
            let mut silence = Silence::default();
            silence.owe(debt, start);
            Self { silence, start, is_asked: true }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// Everything that is due up to `ms`, with its time.
        fn steps(&mut self, ms: u64) -> Vec<(u64, Step)> {
            let mut steps = Vec::new();
            while let Some(at) = self
                .silence
                .poll_timeout(self.is_asked)
                .filter(|at| *at <= self.start + Duration::from_millis(ms))
            {
                let step = self.silence.poll(self.is_asked, at).expect("a timer that is due has a step");
                steps.push((u64::try_from((at - self.start).as_millis()).unwrap(), step));
            }
            steps
        }
    }

    #[test]
    fn a_model_that_is_slow_is_covered_by_a_tone_then_by_words_nudged_and_given_up() {
        let mut world = World::owing(Debt::Answer);
        let expected = [(1200, Step::Tone), (4000, Step::Words), (4000, Step::Nudge), (8000, Step::GiveUp)];
        assert_eq!(world.steps(11_999), expected);
        assert_eq!(world.steps(12_000), [(12_000, Step::Words)]);
    }

    #[test]
    fn a_known_fault_is_explained_in_words_and_nobody_is_nudged() {
        let mut world = World::owing(Debt::Answer);
        world.is_asked = false;
        world.silence.explain();
        assert_eq!(world.steps(20_000), [(1200, Step::Words), (9200, Step::Words), (17_200, Step::Words)]);
    }

    #[test]
    fn a_new_model_gets_its_own_time() {
        let mut world = World::owing(Debt::Answer);
        world.is_asked = false;
        world.steps(3000);
        world.is_asked = true;
        let now = world.at(3000);
        world.silence.restart_patience(now);
        let steps: Vec<_> =
            world.steps(11_000).into_iter().filter(|(_, step)| *step != Step::Words).collect();
        assert_eq!(steps, [(7000, Step::Nudge), (11_000, Step::GiveUp)]);
    }

    #[test]
    fn an_empty_answer_is_asked_for_again_at_once_and_then_no_more() {
        let mut world = World::owing(Debt::Answer);
        let now = world.at(500);
        world.silence.hurry(now);
        assert_eq!(world.steps(500), [(500, Step::Nudge)]);
        world.silence.hurry(now);
        assert_eq!(world.steps(500), [(500, Step::GiveUp)]);
    }

    #[test]
    fn a_caller_who_asks_again_gets_no_cover_over_it_and_no_more_patience_for_the_model() {
        let mut world = World::owing(Debt::Answer);
        assert_eq!(world.steps(2000), [(1200, Step::Tone)]);
        let (began, ended) = (world.at(2000), world.at(3500));
        world.silence.yield_floor(began);
        world.silence.note_audible(false, began);
        assert_eq!(
            world.silence.longest(ended),
            Duration::from_secs(2),
            "the caller speaks: that is no dead air"
        );
        assert_eq!(world.silence.poll_timeout(true), None);
        world.silence.owe(Debt::Answer, ended);
        let expected = [(4700, Step::Tone), (5500, Step::Nudge), (7500, Step::Words), (8000, Step::GiveUp)];
        assert_eq!(world.steps(8000), expected);
    }

    #[test]
    fn dead_air_is_what_is_owed_and_not_heard() {
        let mut world = World::owing(Debt::Answer);
        let at: Vec<_> = [1000, 2000, 2500, 9000].map(|ms| world.at(ms)).into();
        world.silence.note_audible(true, at[0]);
        world.silence.note_audible(false, at[1]);
        assert_eq!(world.silence.longest(at[2]), Duration::from_secs(1));
        world.silence.settle(at[2]);
        world.silence.note_audible(false, at[2]);
        assert_eq!(world.silence.longest(at[3]), Duration::from_secs(1), "nothing is owed any more");
        assert_eq!(world.silence.poll_timeout(true), None);
    }
}
