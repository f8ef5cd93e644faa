//! Callers by a clock of their own: what they send, and what they measure of what they are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::audio::g711;
use crate::load::histogram::Delays;
use crate::load::outcome::Losses;
use crate::load::sound::{REPLY_PEAK, SAMPLE, offset, tone};
use crate::sim::carrier::wire::Ids;

const MS: fn(u64) -> Duration = Duration::from_millis;

const FIRST: TurnId = TurnId { call: 0, turn: 0 };
const SECOND: TurnId = TurnId { call: 0, turn: 1 };

/// Sound of the line of this level, as the server sends it.
fn sound(peak: i16, length: Duration) -> Vec<u8> {
    tone(peak, length).into_iter().step_by(3).map(g711::encode).collect()
}

fn reply(length: Duration) -> Vec<u8> {
    sound(REPLY_PEAK, length)
}

/// A caller, the time, and what was sent so far.
struct Call {
    recordings: Arc<Recordings>,
    caller: Caller,
    tally: Tally,
    start: Instant,
    now: Instant,
    sent: Vec<(Duration, Value)>,
}

impl Call {
    fn with(acts: &[Act]) -> Self {
        let recordings = Arc::new(Recordings::built_in().unwrap());
        let [account_sid, call_sid, stream_sid] = ["AC1", "CA1", "MZ1"].map(str::to_owned);
        let mut writer = Writer::new(Ids { account_sid, call_sid, stream_sid });
        writer.start(&[]);
        let start = Instant::now();
        let caller =
            Caller::new(Arc::clone(&recordings), acts.to_vec(), writer, Replies::OfKnownLength, start);
        Self { recordings, caller, tally: Tally::default(), start, now: start, sent: Vec::new() }
    }

    /// Time goes on until then, or until the caller's part ends.
    fn until(&mut self, at: Duration) {
        while self.caller.end().is_none() && self.caller.poll_timeout() <= self.start + at {
            self.step();
        }
        self.now = self.start + at;
    }

    /// Time goes on until the caller's part ends; when that was.
    fn until_its_end(&mut self) -> Duration {
        while self.caller.end().is_none() {
            self.step();
            assert!(self.now < self.start + Duration::from_secs(100), "it never ends");
        }
        self.now - self.start
    }

    /// The next thing that is due.
    fn step(&mut self) {
        self.wake(self.caller.poll_timeout());
    }

    fn wake(&mut self, at: Instant) {
        self.now = at;
        let sent = &mut self.sent;
        let since = at - self.start;
        let send = &mut |text: String| sent.push((since, serde_json::from_str(&text).unwrap()));
        self.caller.handle_timeout(at, &mut self.tally, send);
    }

    fn tell(&mut self, message: &Value) {
        self.caller.handle_text(message.to_string().as_bytes(), self.now, &mut self.tally);
    }

    fn hear(&mut self, bytes: &[u8]) {
        let payload = STANDARD.encode(bytes);
        self.tell(&json!({"event": "media", "streamSid": "MZ1", "media": {"payload": payload}}));
    }

    fn clear(&mut self) {
        self.tell(&json!({"event": "clear", "streamSid": "MZ1"}));
    }

    fn mark(&mut self, name: &str) {
        self.tell(&json!({"event": "mark", "streamSid": "MZ1", "mark": {"name": name}}));
    }

    /// The caller is gone; what was measured.
    fn finish(self) -> Tally {
        let Self { caller, mut tally, now, .. } = self;
        caller.finish(now, &mut tally);
        tally
    }

    fn turn(&self, turn: TurnId) -> &Turn {
        &self.recordings.calls[turn.call][turn.turn]
    }

    /// The number of the first frame with this sound.
    fn first_frame(&self, payload: &str) -> Option<u64> {
        let media: Vec<_> = self.sent.iter().filter(|(_, message)| message["event"] == "media").collect();
        media.iter().position(|(_, message)| message["media"]["payload"] == payload).map(|at| at as u64)
    }

    fn began(&self, turn: TurnId) -> Option<u64> {
        self.first_frame(&self.turn(turn).frames[0])
    }

    /// Time goes on until the probe of this number has begun: its frame, and its place.
    fn probed(&mut self, number: usize) -> (u64, usize) {
        loop {
            if let Some(found) = self.probes().get(number) {
                return *found;
            }
            self.step();
            assert!(self.caller.end().is_none(), "there is no probe {number}");
        }
    }

    fn probes(&self) -> Vec<(u64, usize)> {
        let media = self.sent.iter().filter(|(_, message)| message["event"] == "media");
        let place = |payload: &Value| (0..sound::PLACES).find(|&at| self.recordings.probe(at, 0) == payload);
        let frames = (0..).zip(media);
        frames
            .filter_map(|(frame, (_, message))| Some((frame, place(&message["media"]["payload"])?)))
            .collect()
    }

    /// When a sample of the turn sounded, of which the first frame was this one.
    fn sounded(frame: u64, sample: usize) -> Duration {
        FRAME_TIME * frame as u32 + SAMPLE * sample as u32
    }

    /// Says the turn to its end; when its last word ended.
    fn says(&mut self, turn: TurnId) -> Duration {
        let last = self.turn(turn).frames.last().unwrap().clone();
        while self.first_frame(&last).is_none() {
            self.step();
        }
        Self::sounded(self.began(turn).unwrap(), self.turn(turn).end)
    }
}

/// One measurement, which an HDR histogram has to three digits.
#[track_caller]
fn assert_measured(delays: &Delays, expected: Duration) {
    let (found, expected) = (delays.max_ms(), expected.as_secs_f64() * 1e3);
    assert_eq!(delays.len(), 1);
    assert!((found - expected).abs() <= expected / 500.0, "{found} ms is not {expected} ms");
}

#[rstest]
#[case::greeted(Some((200, 1000)), 1500)]
#[case::greeted_late(Some((2400, 500)), 3200)]
#[case::not_greeted(None, 2500)]
fn a_caller_begins_after_the_greeting(#[case] greeting: Option<(u64, u64)>, #[case] expected: u64) {
    let mut call = Call::with(&[Act::Settle, Act::Say(FIRST), Act::HangUp]);
    if let Some((at, length)) = greeting {
        call.until(MS(at));
        call.hear(&reply(MS(length)));
    }
    call.until_its_end();
    let began = call.began(FIRST).unwrap();
    // A frame is sent when it is full.
    assert_eq!(FRAME_TIME * (began as u32 + 1), MS(expected));
    let tally = call.finish();
    match greeting {
        Some((at, _)) => assert_measured(&tally.heard.first_sound, MS(at)),
        None => assert!(tally.heard.first_sound.is_empty()),
    }
}

#[test]
fn frames_leave_every_20_ms_with_their_numbers() {
    let mut call = Call::with(&[Act::Say(FIRST), Act::HangUp]);
    call.until_its_end();
    assert_eq!(call.sent.len(), call.turn(FIRST).frames.len());
    for (index, (at, message)) in (0_u64..).zip(&call.sent) {
        let media = &message["media"];
        assert_eq!(*at, MS(20) * (index as u32 + 1));
        assert_eq!(message["sequenceNumber"], (index + 2).to_string());
        assert_eq!(media["chunk"], (index + 1).to_string());
        assert_eq!(media["timestamp"], (index * 20).to_string());
        assert_eq!(media["payload"], call.turn(FIRST).frames[index as usize].as_str());
    }
    assert_eq!(call.caller.stop(), {
        let sequence = call.sent.len() + 2;
        format!(
            r#"{{"event":"stop","sequenceNumber":"{sequence}","stop":{{"accountSid":"AC1","callSid":"CA1"}},"streamSid":"MZ1"}}"#
        )
    });
}

#[test]
fn a_caller_that_is_late_sends_what_is_due_and_says_how_late_it_was() {
    let mut call = Call::with(&[Act::Settle, Act::HangUp]);
    call.wake(call.start + MS(20));
    call.wake(call.start + MS(95));
    assert_eq!(call.sent.len(), 4);
    let late: Vec<_> = call.tally.lateness.counts().iter().map(|(us, count)| (us / 1000, *count)).collect();
    assert_eq!((late, call.tally.frames), (vec![(0, 1), (15, 1), (35, 1), (55, 1)], 4));
}

#[rstest]
#[case::soon(120)]
#[case::late(1900)]
fn an_answer_is_measured_from_the_last_word_and_heard_to_its_end(#[case] silence: u64) {
    let mut call = Call::with(&[Act::Say(FIRST), Act::Hear, Act::HangUp]);
    let said = call.says(FIRST);
    call.until(said + MS(silence));
    call.hear(&reply(MS(1000)));
    let ended = call.until_its_end();
    assert_eq!(call.caller.end(), Some(&End::HungUp));
    let (heard, frame) = (said + MS(silence + 1000) + PAUSE, FRAME_TIME);
    assert!(ended >= heard && ended < heard + frame, "{ended:?} {heard:?}");
    let tally = call.finish();
    assert_measured(&tally.heard.answer, MS(silence));
    assert_measured(&tally.heard.dead_air, MS(silence));
    assert_eq!((tally.losses.replies, tally.losses.downlink_samples), (1, 8000));
}

#[test]
fn a_caller_without_an_answer_gives_up() {
    let mut call = Call::with(&[Act::Press('1'), Act::Hear, Act::HangUp]);
    let ended = call.until_its_end();
    assert_eq!(call.caller.end(), Some(&End::Failed("no answer")));
    assert_eq!(ended, FRAME_TIME + ANSWER_MAX);
    assert!(call.finish().heard.answer.is_empty());
}

#[rstest]
#[case::in_time(15, Some(15))]
#[case::at_the_bar(60, Some(60))]
#[case::late(1900, Some(1900))]
// An answer that comes too late is none.
#[case::never(2100, None)]
fn a_probe_is_measured_to_the_first_sample_of_its_answer(#[case] delay: u64, #[case] expected: Option<u64>) {
    for place in 0..sound::PLACES {
        let mut call = Call::with(&[Act::Settle, Act::Probe(1), Act::HangUp]);
        // The greeting ends so that the probe is this one.
        call.until(MS(20));
        call.hear(&reply(MS(1200 + 200 * place as u64)));
        let (frame, found) = call.probed(0);
        assert_eq!((frame % GRID_FRAMES, found), (0, place));
        let probe = Call::sounded(frame, offset(place));
        call.until(probe + MS(delay));
        call.hear(&sound(28_000, MS(40)));
        call.until_its_end();
        let Tally { heard, losses, .. } = call.finish();
        assert_eq!((losses.probes, losses.probes_lost), (1, u64::from(expected.is_none())));
        match expected {
            Some(expected) => assert_measured(&heard.added_delay, MS(expected)),
            None => assert!(heard.added_delay.is_empty()),
        }
    }
}

#[test]
fn probes_wait_for_a_quiet_line_and_for_the_answer_to_the_one_before() {
    let mut call = Call::with(&[Act::Probe(3), Act::HangUp]);
    let mut probes = Vec::new();
    for number in 0..3 {
        let (frame, place) = call.probed(number);
        assert_eq!((frame % GRID_FRAMES, place), (0, sound::place_in(frame)));
        probes.push(Call::sounded(frame, offset(place)));
        // The line is quiet again 100 ms and 40 ms after the probe.
        call.until(probes[number] + MS(100));
        call.hear(&sound(28_000, MS(40)));
    }
    call.until_its_end();
    let Tally { heard, losses, .. } = call.finish();
    assert_eq!((losses.probes, losses.probes_lost, losses.replies, heard.added_delay.len()), (3, 0, 0, 3));
    for pair in probes.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= MS(140) + PAUSE && apart < MS(140) + PAUSE + MS(220), "{apart:?}");
    }
}

#[rstest]
#[case::cleared(Some(150), 150)]
#[case::cleared_late(Some(700), 700)]
// An answer of 3 s, of which 700 ms and the frame in which that is noticed were heard.
#[case::to_the_end_of_the_answer(None, 2400)]
fn a_barge_in_is_measured_from_the_first_sample_to_silence(#[case] clear: Option<u64>, #[case] about: u64) {
    let mut call = Call::with(&[Act::Say(FIRST), Act::Interrupt(SECOND), Act::Hear]);
    let said = call.says(FIRST);
    call.until(said + MS(500));
    call.hear(&reply(MS(3000)));
    let heard = said + MS(500);
    while call.began(SECOND).is_none() {
        call.step();
    }
    let began = Call::sounded(call.began(SECOND).unwrap(), 0);
    assert!(began + FRAME_TIME >= heard + INTERRUPT_AFTER, "{began:?}");
    assert!(began < heard + INTERRUPT_AFTER + FRAME_TIME, "{began:?}");
    let onset = Call::sounded(call.began(SECOND).unwrap(), call.turn(SECOND).onset);
    let silence = match clear {
        Some(clear) => onset + MS(clear),
        None => heard + MS(3000),
    };
    call.until(silence);
    if clear.is_some() {
        call.clear();
    }
    call.until_its_end();
    let Tally { heard, losses, .. } = call.finish();
    assert_measured(&heard.barge_in, silence - onset);
    assert!((silence - onset).abs_diff(MS(about)) < MS(200), "{:?}", silence - onset);
    // What is left of an answer that was interrupted says nothing of its length.
    assert_eq!((losses.replies, losses.downlink_lost_samples), (u64::from(clear.is_none()), 0));
}

#[rstest]
#[case::whole(Fate::Kept, Losses { replies: 1, downlink_samples: 8000, ..Losses::default() })]
#[case::lost(
    Fate::Lost,
    Losses { replies: 1, downlink_samples: 7840, downlink_lost_samples: 160, ..Losses::default() }
)]
#[case::doubled(
    Fate::Doubled,
    Losses { replies: 1, downlink_samples: 8160, downlink_doubled_samples: 160, ..Losses::default() }
)]
#[case::late(Fate::Late, Losses { replies: 1, downlink_samples: 8000, underruns: 1, ..Losses::default() })]
#[case::broken(
    Fate::Broken,
    Losses {
        replies: 1,
        downlink_samples: 7840,
        downlink_lost_samples: 160,
        violations: 1,
        ..Losses::default()
    }
)]
fn what_becomes_of_a_frame_of_a_reply_is_counted(#[case] fate: Fate, #[case] expected: Losses) {
    let mut call = Call::with(&[Act::Settle, Act::Hear, Act::HangUp]);
    let reply = reply(MS(1000));
    for (index, frame) in reply.chunks(FRAME).enumerate() {
        // As from the bridge: 100 ms ahead of its time. The late one is 10 ms behind it.
        let due = (index as u64 * 20).saturating_sub(100);
        call.until(MS(100 + if fate == Fate::Late && index >= 20 { due.max(410) } else { due }));
        match fate {
            Fate::Lost if index == 20 => {}
            Fate::Broken if index == 20 => call.tell(&json!({"event": "media", "streamSid": "MZ1"})),
            Fate::Doubled if index == 20 => (0..2).for_each(|_| call.hear(frame)),
            Fate::Kept | Fate::Lost | Fate::Doubled | Fate::Late | Fate::Broken => call.hear(frame),
        }
    }
    call.until_its_end();
    assert_eq!(call.finish().losses, expected);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Doubled,
    Late,
    Broken,
}

#[rstest]
#[case::played(None, 1000)]
#[case::cleared(Some(430), 430)]
fn a_mark_comes_back_when_what_was_before_it_has_been_heard(#[case] clear: Option<u64>, #[case] back: u64) {
    let mut call = Call::with(&[Act::Settle, Act::HangUp]);
    call.hear(&reply(MS(1000)));
    call.mark("m7");
    if let Some(clear) = clear {
        call.until(MS(clear));
        call.clear();
    }
    call.until(MS(1100));
    let marks: Vec<_> = call.sent.iter().filter(|(_, message)| message["event"] == "mark").collect();
    assert_eq!(marks.len(), 1);
    let (at, message) = marks[0];
    assert_eq!((*at, &message["mark"]["name"]), (MS(back), &json!("m7")));
    assert_eq!(call.tally.losses.violations, 0);
}

#[test]
fn keys_are_pressed_at_once_and_the_answer_is_measured_from_the_last() {
    let mut call = Call::with(&[Act::Settle, Act::Press('4'), Act::Press('#'), Act::Hear, Act::HangUp]);
    call.until(MS(2500));
    let keys: Vec<_> = call.sent.iter().filter(|(_, message)| message["event"] == "dtmf").collect();
    let keys: Vec<_> = keys.iter().map(|(at, message)| (*at, message["dtmf"]["digit"].clone())).collect();
    assert_eq!(keys, [(MS(2500), json!("4")), (MS(2500), json!("#"))]);
    // The frame of that moment is sent all the same.
    assert_eq!(call.sent.last().unwrap().1["event"], "media");
    let numbers: Vec<_> = call.sent.iter().map(|(_, message)| message["sequenceNumber"].clone()).collect();
    let expected: Vec<_> = (2..2 + numbers.len()).map(|number| json!(number.to_string())).collect();
    assert_eq!(numbers, expected);
    call.until(MS(2920));
    call.hear(&reply(MS(500)));
    call.until_its_end();
    assert_eq!(call.caller.end(), Some(&End::HungUp));
    assert_measured(&call.finish().heard.answer, MS(420));
}

#[test]
fn a_caller_vanishes_in_the_middle_of_the_answer_without_a_word() {
    let mut call = Call::with(&[Act::Say(FIRST), Act::Vanish]);
    let said = call.says(FIRST);
    call.until(said + MS(400));
    call.hear(&reply(MS(3000)));
    let ended = call.until_its_end();
    assert_eq!(call.caller.end(), Some(&End::Vanished));
    let gone = said + MS(400) + INTERRUPT_AFTER;
    assert!(ended >= gone && ended < gone + FRAME_TIME, "{ended:?} {gone:?}");
    assert!(call.sent.iter().all(|(at, message)| *at < ended && message["event"] == "media"));
    let Tally { heard, losses, .. } = call.finish();
    assert_measured(&heard.answer, MS(400));
    assert_eq!(losses, Losses::default());
}

#[test]
fn a_caller_hangs_up_when_the_test_is_over_and_no_later_end_changes_that() {
    let mut call = Call::with(&[Act::Say(FIRST), Act::HangUp]);
    call.until(MS(110));
    call.caller.cut_short();
    let frames = call.sent.len();
    call.wake(call.start + MS(500));
    assert_eq!((call.sent.len(), call.caller.end()), (frames, Some(&End::CutShort)));
    let mut call = Call::with(&[Act::HangUp]);
    call.until_its_end();
    call.caller.cut_short();
    assert_eq!(call.caller.end(), Some(&End::HungUp));
}
