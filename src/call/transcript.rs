//! Who said what: fragments of both transcriptions put together into turns, the agent's cut to what was heard.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::privacy::Privacy;
use super::record::{Ledger, Turn};
use super::uplink::Speech;
use crate::audio::Rate;
use crate::dialogue::{Dialogue, Speaker};
use crate::time::millis;

/// Line samples per character of speech, about 15 characters a second: how long a text takes that runs ahead of
/// its audio. Only used for a turn that is cut before the model had produced all of its audio.
const SAMPLES_PER_CHAR: u64 = Rate::LINE.0 as u64 / 15;

/// Agent turns that may wait to be heard. More than two only occur with a misbehaving service.
const TURNS_MAX: usize = 16;

/// Words whose speech was not noticed came at most this long after it: services transcribe within a second or two.
const TRANSCRIPTION_MAX: Duration = Duration::from_secs(3);

/// Text kept of one turn, bytes. A peer that sends more is not speaking.
const TEXT_MAX: usize = 64 * 1024;

/// The open turns of one call.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    caller: Option<CallerTurn>,
    agent: VecDeque<AgentTurn>,
    /// What was said and heard, turn by turn.
    dialogue: Dialogue,
    privacy: Privacy,
}

#[derive(Debug)]
struct CallerTurn {
    text: String,
    speech: Speech,
    /// The words were not said before this.
    earliest: Instant,
}

#[derive(Debug)]
struct AgentTurn {
    fragments: Vec<Fragment>,
    text_len: usize,
    /// Positions in the agent's speech, line samples.
    start: u64,
    /// `None` while audio is coming.
    end: Option<u64>,
    /// When its first audio came; `None` while there is only text.
    spoke: Option<Spoke>,
}

#[derive(Clone, Copy, Debug)]
struct Spoke {
    at: Instant,
    latency_ms: Option<u64>,
}

/// Text that begins at this position of the audio.
#[derive(Debug)]
struct Fragment {
    text: String,
    at: u64,
}

impl Transcript {
    /// A fragment of the caller's words. `speech` is when they were spoken, if it is known.
    pub(super) fn caller_said(&mut self, text: &str, speech: Option<Speech>, now: Instant) {
        let turn = self.caller.get_or_insert_with(|| CallerTurn {
            text: String::new(),
            speech: speech.unwrap_or(Speech { started: now, ended: now }),
            earliest: speech
                .map_or_else(|| now.checked_sub(TRANSCRIPTION_MAX).unwrap_or(now), |speech| speech.started),
        });
        if turn.text.len() + text.len() <= TEXT_MAX {
            turn.text.push_str(text);
        }
        if let Some(speech) = speech {
            turn.speech.ended = speech.ended;
        }
    }

    /// What was said and heard up to now, with what is not a finished turn yet.
    pub(super) fn dialogue(&self, heard: u64) -> Dialogue {
        let mut dialogue = self.dialogue.clone();
        for turn in self.agent.iter().filter(|turn| turn.spoke.is_some() && heard > turn.start) {
            dialogue.push(Speaker::Agent, &turn.heard_text(heard));
        }
        if let Some(turn) = &self.caller {
            dialogue.push(Speaker::Caller, &turn.text);
        }
        dialogue
    }

    /// The end of what the agent said last.
    pub(super) fn last_words(&self) -> String {
        const WORDS: usize = 12;
        let last = self.dialogue.lines().rfind(|line| line.speaker == Speaker::Agent);
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

    /// The caller's open words will be transcribed again: by the next one who hears them.
    pub(super) fn forget_caller(&mut self) {
        self.caller = None;
    }

    /// The caller's turn is over: the model answers, or the call ends.
    pub(super) fn close_caller(&mut self, ledger: &Ledger) -> Option<Turn> {
        let CallerTurn { text, speech, earliest } = self.caller.take()?;
        self.dialogue.push(Speaker::Caller, &text);
        let text = self.privacy.mask(text.trim(), earliest, speech.ended.max(speech.started));
        Some(Turn {
            speaker: Speaker::Caller,
            text,
            started_at: ledger.wall(speech.started),
            ended_at: ledger.wall(speech.ended.max(speech.started)),
            interrupted: false,
            latency_ms: None,
        })
    }

    /// A fragment of the agent's words, which belongs to the audio from `position` on.
    pub(super) fn agent_said(&mut self, text: &str, position: u64) {
        let turn = self.open_agent_turn(position);
        if turn.text_len + text.len() <= TEXT_MAX {
            turn.text_len += text.len();
            turn.fragments.push(Fragment { text: text.to_owned(), at: position });
        }
    }

    /// Audio of the agent came. `answered` is the end of the caller's speech that it answers.
    pub(super) fn agent_spoke(&mut self, position: u64, answered: Option<Instant>, now: Instant) {
        let turn = self.open_agent_turn(position);
        turn.spoke.get_or_insert_with(|| Spoke {
            at: now,
            latency_ms: answered.map(|end| millis(now.saturating_duration_since(end))),
        });
    }

    /// Whether the turn that is open has no audio yet.
    pub(super) fn is_agent_about_to_speak(&self) -> bool {
        self.agent.back().is_none_or(|turn| turn.end.is_some() || turn.spoke.is_none())
    }

    /// All audio of the open turn came: it ends at `position`.
    pub(super) fn agent_finished(&mut self, position: u64) {
        if let Some(turn) = self.agent.back_mut().filter(|turn| turn.end.is_none()) {
            turn.end = Some(position);
        }
    }

    /// Where the oldest turn begins that is not in the log yet.
    pub(super) fn cut_start(&self) -> Option<u64> {
        self.agent.front().map(|turn| turn.start)
    }

    /// Where the oldest finished turn ends.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.agent.front()?.end
    }

    /// The next turn that was heard to its end, if `heard` is beyond it.
    pub(super) fn pop_heard(&mut self, heard: u64, ledger: &Ledger, now: Instant) -> Option<Turn> {
        while self.next_end().is_some_and(|end| heard >= end) {
            let turn = self.agent.pop_front()?;
            let begin = turn.begin();
            if let Some(turn) = turn.into_turn(heard, ledger, now) {
                self.dialogue.push(Speaker::Agent, &turn.text);
                return Some(self.privacy.mask_turn(turn, begin, now));
            }
        }
        None
    }

    /// The next turn that was cut off when the caller had heard up to `heard`.
    pub(super) fn pop_cut(&mut self, heard: u64, ledger: &Ledger, now: Instant) -> Option<Turn> {
        while let Some(turn) = self.agent.pop_front() {
            let is_cut = turn.end.is_none_or(|end| heard < end);
            let begin = turn.begin();
            if let Some(mut turn) = turn.into_turn(heard, ledger, now) {
                turn.interrupted = is_cut;
                self.dialogue.push(Speaker::Agent, &turn.text);
                return Some(self.privacy.mask_turn(turn, begin, now));
            }
        }
        None
    }

    fn open_agent_turn(&mut self, position: u64) -> &mut AgentTurn {
        let is_open = self.agent.back().is_some_and(|turn| turn.end.is_none());
        if !is_open && self.agent.len() < TURNS_MAX {
            self.agent.push_back(AgentTurn::new(position));
        }
        self.agent.back_mut().expect("a turn was just pushed, or there are TURNS_MAX of them")
    }
}

impl AgentTurn {
    const fn new(start: u64) -> Self {
        Self { fragments: Vec::new(), text_len: 0, start, end: None, spoke: None }
    }

    fn begin(&self) -> Option<Instant> {
        self.spoke.map(|spoke| spoke.at)
    }

    /// `None` if nothing of it was heard: words that were only generated are not in the log.
    fn into_turn(self, heard: u64, ledger: &Ledger, now: Instant) -> Option<Turn> {
        let spoke = self.spoke.filter(|_| heard > self.start)?;
        Some(Turn {
            speaker: Speaker::Agent,
            text: self.heard_text(heard).trim().to_owned(),
            started_at: ledger.wall(spoke.at),
            ended_at: ledger.wall(now),
            interrupted: false,
            latency_ms: spoke.latency_ms,
        })
    }

    /// The words up to position `heard`: each stretch of text is spread evenly over its audio and cut between
    /// words.
    fn heard_text(&self, heard: u64) -> String {
        let mut text = String::new();
        let mut rest = &self.fragments[..];
        while let Some(first) = rest.first() {
            let len = rest.iter().take_while(|fragment| fragment.at == first.at).count();
            let (stretch, later) = rest.split_at(len);
            let words: String = stretch.iter().map(|fragment| fragment.text.as_str()).collect();
            let end = later.first().map_or_else(|| self.end_of(first.at, &words), |next| next.at);
            text.push_str(cut(&words, heard.saturating_sub(first.at), end.saturating_sub(first.at)));
            rest = later;
        }
        text
    }

    /// Where the last stretch of text ends: with the audio, or, if not all audio had come, where it should.
    fn end_of(&self, at: u64, words: &str) -> u64 {
        self.end.unwrap_or_else(|| at + words.chars().count() as u64 * SAMPLES_PER_CHAR)
    }
}

/// The part of `words` that was heard when `heard` of `total` samples were, cut after a whole word.
fn cut(words: &str, heard: u64, total: u64) -> &str {
    if heard >= total {
        return words;
    }
    let chars = words.chars().count() as u64 * heard / total;
    let end = words.char_indices().nth(chars as usize).map_or(words.len(), |(index, _)| index);
    match words[..end].rfind(char::is_whitespace) {
        Some(space) => &words[..space],
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;
    use rstest::rstest;

    use super::*;
    use crate::id::CallId;
    use crate::time::WallClock;

    fn ledger(now: Instant) -> Ledger {
        Ledger::new(CallId::new(1), WallClock::new(now, OffsetDateTime::UNIX_EPOCH))
    }

    #[rstest]
    #[case("one two three four", 0, 100, "")]
    #[case("one two three four", 50, 100, "one two")]
    #[case("one two three four", 99, 100, "one two three")]
    #[case("one two three four", 100, 100, "one two three four")]
    #[case("one two three four", 5, 0, "one two three four")]
    #[case("überall größer", 60, 100, "überall")]
    #[case("", 1, 2, "")]
    fn words_are_cut_where_hearing_stopped(
        #[case] words: &str,
        #[case] heard: u64,
        #[case] total: u64,
        #[case] expected: &str,
    ) {
        assert_eq!(cut(words, heard, total), expected);
    }

    /// 3.x models send each stretch of text with its audio; 2.5 sends all the text first.
    #[rstest]
    #[case::with_its_audio(&[("Hello Marcelo, nice ", 0), ("to meet", 8000), (" you.", 12000)])]
    #[case::ahead_of_its_audio(&[("Hello Marcelo,", 0), (" nice to meet you.", 0)])]
    fn a_turn_heard_to_its_end_has_all_its_words(#[case] fragments: &[(&str, u64)]) {
        let now = Instant::now();
        let mut transcript = Transcript::default();
        for &(text, at) in fragments {
            transcript.agent_said(text, at);
            transcript.agent_spoke(at, None, now);
        }
        transcript.agent_finished(16000);
        assert_eq!(transcript.pop_heard(15999, &ledger(now), now), None);
        let turn = transcript.pop_heard(16000, &ledger(now), now).unwrap();
        assert_eq!((turn.text.as_str(), turn.interrupted), ("Hello Marcelo, nice to meet you.", false));
        assert_eq!(transcript.pop_heard(16000, &ledger(now), now), None);
    }

    #[rstest]
    #[case::nothing(0, None)]
    #[case::in_the_first_stretch(4000, Some("Hello"))]
    #[case::after_the_first(8000, Some("Hello Marcelo, nice"))]
    #[case::in_the_second(11000, Some("Hello Marcelo, nice to"))]
    fn an_interrupted_turn_has_only_the_words_heard(#[case] heard: u64, #[case] expected: Option<&str>) {
        let now = Instant::now();
        let mut transcript = Transcript::default();
        for (text, at) in [("Hello Marcelo, nice ", 0), ("to meet", 8000), (" you.", 12000)] {
            transcript.agent_said(text, at);
            transcript.agent_spoke(at, None, now);
        }
        let turn = transcript.pop_cut(heard, &ledger(now), now);
        assert_eq!(turn.as_ref().map(|turn| turn.text.as_str()), expected);
        assert!(turn.is_none_or(|turn| turn.interrupted));
    }

    #[test]
    fn text_ahead_of_audio_that_never_came_is_cut_by_the_pace_of_speech() {
        let now = Instant::now();
        let mut transcript = Transcript::default();
        transcript.agent_said("one two three four five six seven eight nine ten", 0);
        transcript.agent_spoke(0, None, now);
        let turn = transcript.pop_cut(8000, &ledger(now), now).unwrap();
        assert_eq!(turn.text, "one two three", "a second is about 15 characters");
    }

    #[test]
    fn words_without_audio_are_not_in_the_log() {
        let now = Instant::now();
        let mut transcript = Transcript::default();
        transcript.agent_said("never spoken", 100);
        transcript.agent_finished(100);
        assert_eq!(transcript.pop_heard(100, &ledger(now), now), None);
        assert_eq!(transcript.next_end(), None, "and it does not stand in the way");
    }

    #[test]
    fn the_callers_fragments_are_joined_as_they_come() {
        let now = Instant::now();
        let mut transcript = Transcript::default();
        for fragment in [" Hello", ",", " my", " name", " is Marcelo."] {
            transcript.caller_said(fragment, None, now);
        }
        assert_eq!(transcript.close_caller(&ledger(now)).unwrap().text, "Hello, my name is Marcelo.");
        assert_eq!(transcript.close_caller(&ledger(now)), None);
    }
}
