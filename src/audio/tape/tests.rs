//! Calls on a virtual clock: a carrier whose clock is off, a network that jitters, and what is on the tape then.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const LOUD: i16 = 8031;
const FRAME: usize = Rate::LINE.frame_len();

/// A carrier whose clock is `ppm` fast, seen through a network.
struct Carrier {
    start: Instant,
    ppm: f64,
    tape: Tape,
    /// Nothing overtakes anything.
    arrived: Instant,
    now: Instant,
    said: Vec<u8>,
    blocks: Vec<Block>,
    random: u64,
}

impl Carrier {
    fn new(ppm: f64) -> Self {
        let start = Instant::now();
        let (tape, arrived, now) = (Tape::new(start), start, start);
        Self { start, ppm, tape, arrived, now, said: Vec::new(), blocks: Vec::new(), random: 7 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if below == 0 { 0 } else { (self.random >> 33) % below }
    }

    /// When the carrier has this many samples by its clock.
    fn time_of(&self, position: u64) -> Instant {
        self.start + Duration::from_secs_f64(position as f64 / (8000.0 * (1.0 + self.ppm / 1e6)))
    }

    /// Where on the carrier's time line an instant is.
    fn position_of(&self, at: Instant) -> u64 {
        ((at - self.start).as_secs_f64() * 8000.0 * (1.0 + self.ppm / 1e6)).round() as u64
    }

    fn drain(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(block) = self.tape.poll(self.now) {
            self.blocks.push(block);
        }
    }

    /// The next 20 ms of the caller, `delay` after the carrier has them.
    fn speak(&mut self, delay: Duration) {
        let position = self.said.len() as u64;
        let bytes: Vec<u8> = (0..FRAME).map(|n| ((position as usize / FRAME * 7 + n) % 120) as u8).collect();
        let ready = self.time_of(position + FRAME as u64);
        self.arrived = self.arrived.max(ready + delay);
        self.said.extend(&bytes);
        let samples: Vec<i16> = bytes.iter().map(|byte| g711::decode(*byte)).collect();
        self.tape.handle_caller(&samples, 0, self.arrived);
        self.drain(self.arrived);
    }

    /// The carrier goes on without sending.
    fn mute(&mut self, frames: usize) {
        self.said.extend(vec![g711::MULAW_SILENCE; frames * FRAME]);
    }

    /// The agent says `frames` frames from `at` on.
    fn answer(&mut self, position: u64, at: Instant, frames: u64) {
        for frame in 0..frames {
            let samples = [LOUD; FRAME];
            self.tape.handle_agent(Heard {
                position: position + frame * FRAME as u64,
                at: at + Duration::from_millis(20 * frame),
                echo: Duration::ZERO,
                samples: &samples,
            });
        }
    }

    /// Both channels, whole.
    fn finish(mut self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        self.blocks.extend(self.tape.finish(self.now));
        let mut expected = 0;
        for block in &self.blocks {
            assert_eq!(block.position, expected, "blocks follow each other");
            assert_eq!(block.caller.len(), block.agent.len());
            expected += block.caller.len() as u64;
        }
        let channel = |of: fn(&Block) -> &Vec<u8>| self.blocks.iter().flat_map(|b| of(b).clone()).collect();
        (channel(|b| &b.caller), channel(|b| &b.agent), self.said)
    }
}

/// Begin and length of everything that sounds.
fn sounds(channel: &[u8]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (at, _) in channel.iter().enumerate().filter(|(_, byte)| **byte != g711::MULAW_SILENCE) {
        let at = at as u64;
        match runs.last_mut() {
            Some((start, len)) if *start + *len == at => *len += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

fn close_to(found: &[(u64, u64)], expected: &[(u64, u64)]) {
    assert_eq!(found.len(), expected.len(), "{found:?} for {expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.1, expected.1, "without a gap and whole: {found:?} for {expected:?}");
        assert!(found.0.abs_diff(expected.0) <= OFF_MAX, "{found:?} for {expected:?}");
    }
}

/// Ten minutes; the agent says two seconds out of every seven.
#[rstest]
#[case::as_it_should_be(0.0, 0, 0)]
#[case::a_fast_clock(100.0, 30, 0)]
#[case::a_slow_clock(-100.0, 30, 0)]
#[case::the_worst_clocks(200.0, 60, 0)]
#[case::the_worst_slow_clock(-200.0, 60, 0)]
#[case::jitter(100.0, 150, 0)]
#[case::bursts(-100.0, 20, 500)]
#[case::long_bursts(100.0, 20, 4000)]
fn ten_minutes_of_both_sides_stay_together(#[case] ppm: f64, #[case] jitter_ms: u64, #[case] stall_ms: u64) {
    let mut carrier = Carrier::new(ppm);
    let (mut expected, mut position) = (Vec::new(), 0);
    for second in 0..600_u64 {
        for frame in 0..50 {
            let stall = if stall_ms > 0 && second % 30 == 7 && frame == 0 { stall_ms } else { 0 };
            let delay = carrier.random(jitter_ms * 1000);
            carrier.speak(Duration::from_micros(delay) + Duration::from_millis(stall));
        }
        if second % 7 == 3 && second < 590 {
            let at = carrier.now;
            expected.push((carrier.position_of(at), 16_000));
            carrier.answer(position, at, 100);
            position += 16_000;
        }
    }
    let (caller, agent, said) = carrier.finish();
    assert!(caller.starts_with(&said), "not a sample of the caller is missing or moved");
    assert!(caller.len() - said.len() <= 8000 / 5, "{} too many", caller.len() - said.len());
    close_to(&sounds(&agent), &expected);
}

/// A carrier that sends nothing for a while: then comes silence, or, later, everything at once.
#[rstest]
#[case::a_pause(3000, false)]
#[case::a_long_pause(20_000, false)]
#[case::held_up(3000, true)]
#[case::held_up_for_long(20_000, true)]
fn time_goes_on_while_the_carrier_sends_nothing(#[case] ms: u64, #[case] is_held_up: bool) {
    let mut carrier = Carrier::new(0.0);
    (0..100).for_each(|_| carrier.speak(Duration::ZERO));
    let during = carrier.now + Duration::from_millis(500);
    carrier.answer(0, during, 50);
    let frames = ms as usize / 20;
    if is_held_up {
        let end = carrier.now + Duration::from_millis(ms);
        for _ in 0..frames {
            let ready = carrier.time_of(carrier.said.len() as u64 + FRAME as u64);
            carrier.speak(end.saturating_duration_since(ready));
        }
    } else {
        carrier.mute(frames);
    }
    (0..200).for_each(|_| carrier.speak(Duration::ZERO));
    let after = carrier.now;
    carrier.answer(8000, after, 50);
    (0..100).for_each(|_| carrier.speak(Duration::ZERO));
    let expected = [during, after].map(|at| (carrier.position_of(at), 8000));
    let (caller, agent, said) = carrier.finish();
    assert_eq!(sounds(&caller).len(), sounds(&said).len());
    for (found, expected) in sounds(&caller).into_iter().zip(sounds(&said)) {
        assert!(
            found.1 == expected.1 && found.0.abs_diff(expected.0) <= OFF_MAX,
            "{found:?} for {expected:?}"
        );
    }
    close_to(&sounds(&agent), &expected);
}

#[test]
fn missing_chunks_are_silence() {
    let mut tape = Tape::new(Instant::now());
    let start = tape.clock.origin;
    tape.handle_caller(&[LOUD; FRAME], 0, start + Duration::from_millis(20));
    tape.handle_caller(&[LOUD; FRAME], 320, start + Duration::from_millis(80));
    let blocks = tape.finish(start + Duration::from_millis(80));
    assert_eq!(sounds(&blocks[0].caller), [(0, 160), (480, 160)]);
}

/// `heard` in frames of the agent's speech.
#[rstest]
#[case::at_a_frame(10, 1600)]
#[case::in_a_frame(12, 1950)]
#[case::at_once(0, 0)]
fn what_was_not_heard_is_not_on_the_tape(#[case] frames_passed: u64, #[case] heard: u64) {
    let mut carrier = Carrier::new(0.0);
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    let at = carrier.now;
    carrier.answer(0, at, frames_passed + 10);
    (0..frames_passed).for_each(|_| carrier.speak(Duration::ZERO));
    carrier.tape.cut(heard);
    let again = carrier.now + Duration::from_millis(60);
    carrier.answer(10_000, again, 3);
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    let begin = carrier.position_of(at);
    let mut expected = vec![(begin, heard), (carrier.position_of(again), 480)];
    expected.retain(|(_, len)| *len > 0);
    let (_, agent, _) = carrier.finish();
    assert_eq!(sounds(&agent), expected);
}

#[test]
fn the_way_of_the_echo_is_where_the_caller_hears_it() {
    let mut carrier = Carrier::new(0.0);
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    let heard = |position, at, echo| Heard { position, at, echo, samples: &[LOUD; FRAME] };
    let ms = Duration::from_millis;
    let at = carrier.now;
    carrier.tape.handle_agent(heard(0, at, ms(0)));
    carrier.tape.handle_agent(heard(160, at + ms(20), ms(80)));
    carrier.tape.handle_agent(heard(320, at + ms(140), ms(80)));
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    let (_, agent, _) = carrier.finish();
    assert_eq!(sounds(&agent), [(8000, 320), (8000 + 1120 + 640, 160)], "an utterance is not torn");
}

#[test]
fn nothing_of_a_pause_is_on_the_tape_and_time_goes_on() {
    let mut carrier = Carrier::new(0.0);
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    let at = carrier.now;
    carrier.answer(0, at, 100);
    carrier.tape.pause(carrier.now);
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    carrier.tape.resume(carrier.now);
    (0..75).for_each(|_| carrier.speak(Duration::ZERO));
    let (caller, agent, said) = carrier.finish();
    assert_eq!(caller[..8000], said[..8000]);
    assert!(caller[8000..16_000].iter().all(|byte| *byte == g711::MULAW_SILENCE));
    assert_eq!(caller[16_000..], said[16_000..]);
    assert_eq!(sounds(&agent), [(16_000, 8000)]);
}

#[test]
fn what_is_heard_after_the_caller_went_silent_is_on_the_tape() {
    let mut carrier = Carrier::new(0.0);
    (0..50).for_each(|_| carrier.speak(Duration::ZERO));
    carrier.answer(0, carrier.now, 50);
    carrier.now += Duration::from_secs(1);
    let (caller, agent, _) = carrier.finish();
    assert_eq!((caller.len(), sounds(&agent)), (16_000, vec![(8000, 8000)]));
}

proptest! {
    /// Whatever comes: blocks without a gap, both channels alike, bounded memory, no more than was heard.
    #[test]
    fn no_input_breaks_the_tape(steps in prop::collection::vec((0..7_u8, 0..2000_u64), 1..200)) {
        let start = Instant::now();
        let (mut tape, mut now, mut sent) = (Tape::new(start), start, 0);
        let (mut written, mut loud) = (0, 0);
        let mut count = |block: &Block| {
            prop_assert_eq!(block.position, written);
            prop_assert_eq!(block.caller.len(), block.agent.len());
            written += block.caller.len() as u64;
            loud += block.agent.iter().filter(|byte| **byte != g711::MULAW_SILENCE).count() as u64;
            Ok(())
        };
        for (what, amount) in steps {
            match what {
                0 => now += Duration::from_millis(amount * 5),
                1 | 2 => tape.handle_caller(&vec![LOUD; amount as usize % 400], 0, now),
                3 => tape.handle_caller(&[LOUD; FRAME], amount, now),
                4 => {
                    let at = now + Duration::from_millis(amount % 200);
                    let echo = Duration::from_millis(amount % 100);
                    tape.handle_agent(Heard { position: sent, at, echo, samples: &[LOUD; FRAME] });
                    sent += FRAME as u64;
                }
                5 => tape.cut(sent.saturating_sub(amount)),
                _ if amount % 2 == 0 => tape.pause(now),
                _ => tape.resume(now),
            }
            while let Some(block) = tape.poll(now) {
                count(&block)?;
            }
        }
        for block in tape.finish(now) {
            count(&block)?;
        }
        prop_assert!(loud <= sent);
    }
}
