//! Who said what: fragments of both transcriptions put together into turns, the agent's cut to what was heard.
//!
//! The service promises no order of words and sound (Gemini Live API, `outputTranscription`): words come before their
//! sound, with it, or seconds after. So turns stand in one queue, in the order in which they were said, and wait there
//! until they are over and late words could have come.

mod speech;
mod words;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::speech::{AgentTurn, CallerTurn, Heard, Spoke, Text};
use super::privacy::Privacy;
use super::record::{Ledger, Turn};
use super::uplink::Speech;
use crate::dialogue::{Dialogue, Speaker};
use crate::time::millis;

/// Turns that may wait. More than four only occur with a misbehaving service.
const TURNS_MAX: usize = 32;

/// Words whose speech was not noticed came at most this long after it: services transcribe within a second or two.
/// So long may words come after an answer has begun, or is over.
pub(super) const LATE_MAX: Duration = Duration::from_secs(3);

/// Words with nothing to answer before them are those of audio that comes this soon, and not of the audio before.
const AHEAD_MAX: Duration = Duration::from_millis(500);

/// Speech of the caller that is shorter is no question: a click, or a sound of agreement.
const QUESTION_MIN: Duration = Duration::from_millis(200);

/// The turns of one call that are not in the log yet.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    queue: VecDeque<Open>,
    /// What was said and heard, turn by turn.
    dialogue: Dialogue,
    privacy: Privacy,
}

#[derive(Debug)]
enum Open {
    Caller(CallerTurn),
    Agent(Box<AgentTurn>),
}

/// What is known of the caller at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor {
    /// What the caller has said since the last answer began.
    pub(super) speech: Option<Speech>,
    /// The caller speaks now.
    pub(super) is_speaking: bool,
}

/// What audio of the agent answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered {
    /// Since when the caller waits.
    pub(super) since: Option<Instant>,
    /// What the caller said, if it was noticed.
    pub(super) speech: Option<Speech>,
}

impl Floor {
    /// The caller has said something since the answer began.
    fn has_question(self) -> bool {
        let is_long = |speech: Speech| speech.ended.saturating_duration_since(speech.started) >= QUESTION_MIN;
        self.speech.is_some_and(is_long)
    }

    /// The caller has finished saying something since `at`.
    fn has_asked_since(self, at: Instant) -> bool {
        self.has_question() && !self.is_speaking && self.speech.is_some_and(|speech| speech.ended > at)
    }
}

impl Transcript {
    /// A fragment of the caller's words, as the live service transcribes them; `true` if it is the first of a turn that
    /// does not fit. Words that come while the agent already answers are those that it answers, unless the caller has
    /// spoken since.
    pub(super) fn caller_said(&mut self, text: &str, floor: Floor, now: Instant) -> bool {
        if let Some(turn) = self.open_caller() {
            let is_later = floor.speech.is_some_and(|speech| speech.ended > turn.speech.ended);
            if let Some(speech) = floor.speech {
                turn.speech.ended = speech.ended;
            }
            return turn.words.add(text, is_later, false);
        }
        let Some((answer, answers)) = self.answer_to(floor, now) else {
            return self.new_caller(self.queue.len(), text, floor.speech, now);
        };
        if let Some(Open::Caller(turn)) = answer.checked_sub(1).and_then(|before| self.queue.get_mut(before))
        {
            return turn.words.add(text, false, false);
        }
        let is_too_long = self.new_caller(answer, text, answers, now);
        if let Some(Open::Caller(turn)) = self.queue.get_mut(answer) {
            turn.until = Some(now + LATE_MAX);
        }
        is_too_long
    }

    /// A whole turn of the caller, transcribed by one who says when it was spoken.
    pub(super) fn caller_spoke(&mut self, text: &str, speech: Speech, now: Instant) -> bool {
        let is_too_long = self.new_caller(self.queue.len(), text, Some(speech), now);
        if let Some(Open::Caller(turn)) = self.queue.back_mut() {
            turn.until = Some(now);
        }
        is_too_long
    }

    /// The caller's open words will be transcribed again: by the next one who hears them.
    pub(super) fn forget_caller(&mut self) {
        let is_open = |open: &Open| matches!(open, Open::Caller(turn) if turn.until.is_none());
        self.queue.retain(|open| !is_open(open));
    }

    /// The caller's turn is over: the model answers, or the call ends. Words may still come until then.
    pub(super) fn close_caller(&mut self, until: Instant) {
        if let Some(turn) = self.open_caller() {
            turn.until = Some(until);
        }
    }

    /// A fragment of the agent's words, as the live service transcribes them, when its audio had come up to `position`;
    /// `true` if it is the first of a turn that does not fit.
    pub(super) fn agent_said(&mut self, text: &str, position: u64, floor: Floor, now: Instant) -> bool {
        let own = self.last_agent().filter(|turn| turn.is_running() || is_late_of(turn, floor, now));
        match own {
            Some(turn) => turn.say(text, position, now),
            None => {
                if let Some(turn) = self.last_agent() {
                    turn.keep_late();
                }
                self.running_agent(position, now).say(text, position, now)
            }
        }
    }

    /// Words that are spoken from `position` on, by one who knows.
    pub(super) fn agent_reads(&mut self, text: &str, position: u64, now: Instant) {
        self.running_agent(position, now).read(text, position);
    }

    /// Audio of the agent came, which answers this if it begins a turn.
    pub(super) fn agent_spoke(&mut self, position: u64, answered: Answered, now: Instant) {
        let turn = self.running_agent(position, now);
        turn.spoke.get_or_insert_with(|| Spoke {
            at: now,
            latency_ms: answered.since.map(|end| millis(now.saturating_duration_since(end))),
            answers: answered.speech,
        });
    }

    /// Whether the next audio begins a turn.
    pub(super) fn is_agent_about_to_speak(&self) -> bool {
        let last = self.queue.iter().rev().find_map(Open::agent);
        last.is_none_or(|turn| !turn.is_running() || turn.spoke.is_none())
    }

    /// All audio of the open turn came: it ends at `position`. Words may still come until then.
    pub(super) fn agent_finished(&mut self, position: u64, until: Instant, now: Instant) {
        if let Some(turn) = self.last_agent().filter(|turn| turn.is_running()) {
            turn.end = Some(position);
            turn.open.finished = Some(now);
            turn.open.until = Some(until);
            self.hold_question(until);
        }
    }

    /// The service says that the turn is over.
    pub(super) fn agent_over(&mut self, now: Instant) {
        if let Some(turn) = self.last_agent().filter(|turn| !turn.is_running() && !turn.open.is_over) {
            turn.open.is_over = true;
            turn.open.until = Some(now + LATE_MAX);
            self.hold_question(now + LATE_MAX);
        }
    }

    /// What the last answer answers may get words as long as the answer itself.
    fn hold_question(&mut self, until: Instant) {
        let answer = self.queue.iter().rposition(|open| open.agent().is_some());
        let before = answer.and_then(|answer| answer.checked_sub(1)).and_then(|at| self.queue.get_mut(at));
        if let Some(Open::Caller(turn)) = before {
            turn.until = turn.until.map(|earlier| earlier.max(until));
        }
    }

    /// The model was told something: what it says next need not be of the last turn.
    pub(super) fn note_prompt(&mut self) {
        if let Some(turn) = self.last_agent() {
            turn.open.is_followed = !turn.is_running();
        }
    }

    /// The caller has heard up to `heard`, and will not hear what had come up to `received`.
    pub(super) fn cut(&mut self, heard: u64, received: u64, now: Instant) {
        self.note_heard(heard, now);
        for turn in self.queue.iter_mut().filter_map(Open::agent_mut).filter(|turn| turn.heard.is_none()) {
            turn.heard = Some(Heard { at: now, position: heard, is_cut: true, received });
            turn.open.finished.get_or_insert(now);
            turn.open.until.get_or_insert(now + LATE_MAX);
        }
    }

    /// The caller has heard up to `heard`.
    pub(super) fn note_heard(&mut self, heard: u64, now: Instant) {
        for turn in self.queue.iter_mut().filter_map(Open::agent_mut).filter(|turn| turn.heard.is_none()) {
            if let Some(end) = turn.end.filter(|end| heard >= *end) {
                turn.heard = Some(Heard { at: now, position: end, is_cut: false, received: end });
            }
        }
    }

    /// Nothing more will be said or heard: every turn may be taken out.
    pub(super) fn close(&mut self, heard: u64, received: u64, now: Instant) {
        self.cut(heard, received, now);
        for open in &mut self.queue {
            match open {
                Open::Caller(turn) => turn.until = Some(now),
                Open::Agent(turn) => turn.open.until = None,
            }
        }
    }

    /// The next turn that is over and will get no more words.
    pub(super) fn pop(&mut self, ledger: &Ledger, now: Instant) -> Option<Turn> {
        while self.next().is_some_and(|(_, until)| until.is_none_or(|until| now >= until)) {
            let (index, _) = self.next()?;
            let (turn, begin, end) = match self.queue.remove(index)? {
                Open::Caller(turn) => (Some(turn.turn(ledger)), turn.earliest, turn.ended()),
                Open::Agent(turn) => {
                    let end = turn.heard.map_or(now, |heard| heard.at);
                    (turn.turn(ledger), turn.spoke.map_or(end, |spoke| spoke.at), end)
                }
            };
            if let Some(turn) = turn {
                self.dialogue.push(turn.speaker, &turn.text);
                return Some(self.privacy.mask_turn(turn, begin, end));
            }
        }
        None
    }

    /// When the next turn that is over will get no more words.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next()?.1
    }

    /// Where the oldest turn begins that is still to be heard.
    pub(super) fn cut_start(&self) -> Option<u64> {
        let mut turns = self.queue.iter().filter_map(Open::agent);
        turns.find(|turn| turn.heard.is_none()).map(|turn| turn.start)
    }

    /// Where the oldest finished turn ends that is still to be heard.
    pub(super) fn next_end(&self) -> Option<u64> {
        let mut turns = self.queue.iter().filter_map(Open::agent);
        turns.find(|turn| turn.heard.is_none())?.end
    }

    /// What was said and heard up to now, with what is not in the log yet.
    pub(super) fn dialogue(&self, heard: u64) -> Dialogue {
        let mut dialogue = self.dialogue.clone();
        for open in &self.queue {
            match open {
                Open::Caller(turn) => dialogue.push(Speaker::Caller, &turn.words.text),
                Open::Agent(turn) if turn.spoke.is_some() && heard > turn.start => {
                    dialogue.push(Speaker::Agent, &turn.heard_text(heard));
                }
                Open::Agent(_) => {}
            }
        }
        dialogue
    }

    /// The end of what the agent said last.
    pub(super) fn last_words(&self, heard: u64) -> String {
        const WORDS: usize = 12;
        let dialogue = self.dialogue(heard);
        let last = dialogue.lines().rfind(|line| line.speaker == Speaker::Agent);
        let words: Vec<_> = last.iter().flat_map(|line| line.text.split_whitespace()).collect();
        words[words.len().saturating_sub(WORDS)..].join(" ")
    }

    /// From `now` on the log has no words: of no turn that is not wholly outside.
    pub(super) fn pause(&mut self, now: Instant) {
        self.privacy.begin(now);
    }

    pub(super) fn resume(&mut self, now: Instant) {
        self.privacy.end(now);
    }

    /// Whether what is said now is kept from the log.
    pub(super) fn is_paused(&self) -> bool {
        self.privacy.is_on()
    }

    /// The turn that leaves the queue next, once it is over, and until when it may get words. An answer that has only
    /// words so far stands in nobody's way.
    fn next(&self) -> Option<(usize, Option<Instant>)> {
        let is_ahead =
            |open: &Open| open.agent().is_some_and(|turn| turn.is_running() && turn.spoke.is_none());
        let index = self.queue.iter().position(|open| !is_ahead(open))?;
        match &self.queue[index] {
            Open::Caller(turn) => turn.until.map(|until| (index, Some(until))),
            Open::Agent(turn) => turn.heard.map(|_| (index, turn.open.until)),
        }
    }

    /// The caller's words that nobody has answered.
    fn open_caller(&mut self) -> Option<&mut CallerTurn> {
        let is_spoken = |open: &Open| open.agent().is_none_or(|turn| turn.spoke.is_some());
        let last = self.queue.iter().rposition(is_spoken)?;
        match self.queue.get_mut(last)? {
            Open::Caller(turn) if turn.until.is_none() => Some(turn),
            Open::Caller(_) | Open::Agent(_) => None,
        }
    }

    /// The answer to the words of the caller that come now, and the speech that it answers: it has begun or ended a
    /// moment ago, and the caller has said nothing since. Of what is being said nothing is transcribed yet, if the words before it
    /// have not come.
    fn answer_to(&self, floor: Floor, now: Instant) -> Option<(usize, Option<Speech>)> {
        let has_spoken = |open: &Open| open.agent().is_some_and(|turn| turn.spoke.is_some());
        let answer = self.queue.iter().rposition(has_spoken)?;
        let turn = self.queue[answer].agent()?;
        let spoke = turn.spoke?;
        let before = answer.checked_sub(1).map(|before| &self.queue[before]);
        let has_words = matches!(before, Some(Open::Caller(_)));
        let is_recent = now < spoke.at + LATE_MAX;
        let is_open = is_recent || turn.open.until.is_some_and(|until| now < until);
        let is_due = is_recent && spoke.answers.is_some() && !has_words;
        let is_new = floor.has_question() && !(floor.is_speaking && is_due);
        let is_cut = turn.heard.is_some_and(|heard| heard.is_cut);
        let is_known = has_words || spoke.answers.is_some();
        (is_open && is_known && !is_new && !is_cut).then_some((answer, spoke.answers))
    }

    fn new_caller(&mut self, index: usize, text: &str, speech: Option<Speech>, now: Instant) -> bool {
        if self.queue.len() >= TURNS_MAX
            && let Some(turn) = self.queue.iter_mut().rev().find_map(Open::caller_mut)
        {
            return turn.words.add(text, true, true);
        }
        if index == self.queue.len() {
            self.note_prompt();
        }
        let earliest =
            speech.map_or_else(|| now.checked_sub(LATE_MAX).unwrap_or(now), |speech| speech.started);
        let mut words = Text::default();
        let is_too_long = words.add(text, false, false);
        let speech = speech.unwrap_or(Speech { started: now, ended: now });
        self.queue.insert(index, Open::Caller(CallerTurn { words, speech, earliest, until: None }));
        is_too_long
    }

    fn last_agent(&mut self) -> Option<&mut AgentTurn> {
        self.queue.iter_mut().rev().find_map(Open::agent_mut)
    }

    /// The answer that is being given, the last in the queue; begins one at `position` if none is.
    fn running_agent(&mut self, position: u64, now: Instant) -> &mut AgentTurn {
        let last = self.queue.iter().rposition(|open| open.agent().is_some());
        let is_running = |at: &usize| self.queue[*at].agent().is_some_and(AgentTurn::is_running);
        let is_full = self.queue.len() >= TURNS_MAX;
        match last.filter(|at| is_full || is_running(at)) {
            Some(at) => {
                let is_ahead = self.queue[at].agent().is_some_and(|turn| turn.spoke.is_none());
                if is_ahead && let Some(open) = self.queue.remove(at) {
                    self.queue.push_back(open);
                }
            }
            None => {
                let ahead = self.last_agent().and_then(|turn| turn.take_ahead(now));
                let mut turn = AgentTurn::new(position);
                if let Some(ahead) = ahead {
                    turn.read(ahead.trim_start(), position);
                }
                self.queue.push_back(Open::Agent(Box::new(turn)));
            }
        }
        self.last_agent().expect("one was just pushed, or there was one")
    }
}

impl Open {
    fn agent(&self) -> Option<&AgentTurn> {
        match self {
            Self::Agent(turn) => Some(turn),
            Self::Caller(_) => None,
        }
    }

    fn agent_mut(&mut self) -> Option<&mut AgentTurn> {
        match self {
            Self::Agent(turn) => Some(turn),
            Self::Caller(_) => None,
        }
    }

    fn caller_mut(&mut self) -> Option<&mut CallerTurn> {
        match self {
            Self::Caller(turn) => Some(turn),
            Self::Agent(_) => None,
        }
    }
}

/// Whether words that come now are late ones of a turn whose audio is complete: the service has not ended it, or nothing
/// was asked since.
fn is_late_of(turn: &AgentTurn, floor: Floor, now: Instant) -> bool {
    let is_asked = turn.open.is_followed || turn.open.finished.is_some_and(|at| floor.has_asked_since(at));
    turn.open.until.is_some_and(|until| now < until) && (!turn.open.is_over || !is_asked)
}

#[cfg(test)]
mod tests;
