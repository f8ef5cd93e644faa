//! Both sides of a call on one time line: what the caller said and, where they heard it, what the agent said.
//!
//! The time line is the caller's audio, sample by sample as the carrier numbered it. [`Clock`] finds out which
//! position belongs to which instant, and the agent's audio is laid where the caller hears it. Blocks are given out
//! once nothing in them can change any more. Both channels are mu-law, as on the line. Knows nothing of files.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Rate, g711};

/// Samples in a block: 100 ms is little enough to lose and ten queue operations a second.
const BLOCK: u64 = Rate::LINE.0 as u64 / 10;

/// How long after its time a block is given out: an interruption may still take back what the far side, by its
/// echoes, plays later than our clock says.
const HOLD: Duration = Duration::from_millis(200);

/// Audio that is later than this is not merely jittered: the carrier paused, or the network held it up.
const LATE: Duration = Duration::from_millis(60);

/// Whether held-up audio catches up is seen within this time; if it does not, the carrier had sent nothing.
const SETTLE: Duration = Duration::from_secs(3);

/// Audio that comes in faster than real time gains at least this much in [`SETTLE`].
const CATCHING_UP: Duration = Duration::from_millis(100);

/// Agent audio that follows without a gap stays so, unless it would be off by more than this (20 ms).
const OFF_MAX: u64 = Rate::LINE.frame_len() as u64;

/// Audio that waits for its place; the call ends after half of this without a carrier.
const PENDING_MAX: u64 = Rate::LINE.0 as u64 * 60;

/// Crystals of telephone equipment are off by 50 ppm (ITU-T G.812, free-run of customer equipment) and those of
/// servers by 100; one part in this many, 250 ppm, follows both.
const DRIFT: u32 = 4000;

/// A finished stretch of both channels, mu-law at [`Rate::LINE`], of the same length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Position of its first sample.
    pub position: u64,
    pub caller: Vec<u8>,
    pub agent: Vec<u8>,
}

/// Audio that was sent to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// Position in the agent's speech of the first sample.
    pub position: u64,
    /// When it is heard by our clock.
    pub at: Instant,
    /// How long an echo takes from there at present: audio is heard on the carrier's time line that much later.
    pub echo: Duration,
    pub samples: &'a [i16],
}

/// The recording of one call as it goes on.
#[derive(Debug)]
pub struct Tape {
    clock: Clock,
    /// What was given out.
    written: u64,
    /// The caller's audio from `written` on.
    caller: VecDeque<u8>,
    lag: Option<Lag>,
    agent: Agent,
    pauses: VecDeque<Pause>,
}

impl Tape {
    /// A tape that begins at `now`, with the stream.
    pub fn new(now: Instant) -> Self {
        Self {
            clock: Clock { origin: now, seen: now },
            written: 0,
            caller: VecDeque::new(),
            lag: None,
            agent: Agent::default(),
            pauses: VecDeque::new(),
        }
    }

    /// Takes audio of the caller that arrived at `now`; `missing` samples before it never will.
    pub fn handle_caller(&mut self, samples: &[i16], missing: u64, now: Instant) {
        let missing = usize::try_from(missing.min(PENDING_MAX)).unwrap_or(0);
        self.caller.extend(std::iter::repeat_n(g711::MULAW_SILENCE, missing));
        let start = self.end();
        if self.is_paused() {
            self.caller.extend(std::iter::repeat_n(g711::MULAW_SILENCE, samples.len()));
        } else {
            self.caller.extend(samples.iter().map(|sample| g711::encode(*sample)));
        }
        let late = self.clock.observe(self.end(), now);
        self.follow_lag(start, late, now);
    }

    /// Takes audio of the agent.
    pub fn handle_agent(&mut self, heard: Heard<'_>) {
        self.agent.push(heard);
    }

    /// The caller heard the agent's speech up to this position and nothing more of what was sent.
    pub fn cut(&mut self, position: u64) {
        self.agent.cut(position);
    }

    /// From `now` on both channels are silent, while time goes on.
    pub fn pause(&mut self, now: Instant) {
        if !self.is_paused() {
            self.pauses.push_back(Pause { from: self.clock.position(now), until: None });
        }
    }

    pub fn resume(&mut self, now: Instant) {
        if let Some(pause) = self.pauses.back_mut().filter(|pause| pause.until.is_none()) {
            pause.until = Some(self.clock.position(now));
        }
    }

    /// The next block that is finished at `now`.
    pub fn poll(&mut self, now: Instant) -> Option<Block> {
        let caller = self.lag.as_ref().map_or_else(|| self.end(), |lag| lag.seam);
        let settled = self.clock.position(now.checked_sub(HOLD)?);
        (self.written + BLOCK <= caller.min(settled)).then(|| self.block(BLOCK))
    }

    /// Ends the tape at `now`: the blocks that are left.
    pub fn finish(mut self, now: Instant) -> Vec<Block> {
        if let Some(lag) = self.lag.take() {
            self.splice(&lag);
        }
        let end = self.clock.position(now).min(self.end() + PENDING_MAX);
        let behind = end.saturating_sub(self.end());
        self.caller.extend(std::iter::repeat_n(g711::MULAW_SILENCE, usize::try_from(behind).unwrap_or(0)));
        let mut blocks = Vec::new();
        while !self.caller.is_empty() {
            blocks.push(self.block(BLOCK.min(self.caller.len() as u64)));
        }
        blocks
    }

    /// The position after the last sample of the caller.
    pub fn end(&self) -> u64 {
        self.written + self.caller.len() as u64
    }

    fn is_paused(&self) -> bool {
        self.pauses.back().is_some_and(|pause| pause.until.is_none())
    }

    /// Late audio either catches up, then it was held up and nothing is missing; or it stays late, then the carrier
    /// sent nothing for as long, and that is silence where it began.
    fn follow_lag(&mut self, start: u64, late: Duration, now: Instant) {
        if late <= LATE || self.caller.len() as u64 > PENDING_MAX {
            self.lag = None;
            return;
        }
        let lag = self.lag.get_or_insert(Lag { seam: start, since: now, before: late, least: late });
        lag.least = lag.least.min(late);
        if now.saturating_duration_since(lag.since) < SETTLE {
            return;
        }
        if lag.least + CATCHING_UP <= lag.before {
            *lag = Lag { since: now, before: lag.least, least: late, ..*lag };
        } else if let Some(lag) = self.lag.take() {
            self.splice(&lag);
        }
    }

    /// Puts silence where the caller's audio stopped for a while.
    fn splice(&mut self, lag: &Lag) {
        let len = samples(lag.least).min(PENDING_MAX);
        let at = usize::try_from(lag.seam - self.written).unwrap_or(0);
        let later = self.caller.split_off(at.min(self.caller.len()));
        self.caller.extend(std::iter::repeat_n(g711::MULAW_SILENCE, usize::try_from(len).unwrap_or(0)));
        self.caller.extend(later);
    }

    /// Gives out the next `len` samples of both channels.
    fn block(&mut self, len: u64) -> Block {
        let (position, count) = (self.written, usize::try_from(len).unwrap_or(0));
        let mut caller: Vec<u8> = self.caller.drain(..count).collect();
        let mut agent = vec![g711::MULAW_SILENCE; count];
        self.agent.render(&self.clock, position, &mut agent);
        self.written += len;
        self.pauses.pop_front_if(|pause| pause.until.is_some_and(|until| until <= position));
        for pause in &self.pauses {
            let at =
                |position: u64| usize::try_from(position.saturating_sub(self.written - len)).unwrap_or(0);
            let from = at(pause.from).min(count);
            let until = pause.until.map_or(count, at).clamp(from, count);
            caller[from..until].fill(g711::MULAW_SILENCE);
            agent[from..until].fill(g711::MULAW_SILENCE);
        }
        Block { position, caller, agent }
    }
}

/// A stretch of the time line that nobody may hear.
#[derive(Clone, Copy, Debug)]
struct Pause {
    from: u64,
    /// `None`: it goes on.
    until: Option<u64>,
}

/// Audio of the caller comes late.
#[derive(Clone, Copy, Debug)]
struct Lag {
    /// Position of the first late sample.
    seam: u64,
    /// Begin of the window that is being watched.
    since: Instant,
    /// How late it was in the window before, at least.
    before: Duration,
    /// How late it is in this window, at least.
    least: Duration,
}

/// Which position of the time line belongs to which instant. Arrivals are only ever late, so the earliest say it.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// When position 0 would have arrived without delay.
    origin: Instant,
    /// The last arrival.
    seen: Instant,
}

impl Clock {
    /// Takes note that everything up to `end` has arrived at `now`; how late that is.
    fn observe(&mut self, end: u64, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.seen);
        self.seen = now;
        let due = self.origin + duration(end);
        if due > now {
            self.origin = self.origin.checked_sub(due - now).unwrap_or(self.origin);
            return Duration::ZERO;
        }
        let late = now - due;
        if late <= LATE {
            // The carrier's clock may be slower than ours.
            self.origin += (passed / DRIFT).min(late);
        }
        late
    }

    fn position(&self, at: Instant) -> u64 {
        samples(at.saturating_duration_since(self.origin))
    }
}

/// What the agent says, on its way to its place.
#[derive(Debug, Default)]
struct Agent {
    pieces: VecDeque<Piece>,
    /// Samples in `pieces`.
    waiting: u64,
    /// When what was pushed last will have been heard, and how long its echo takes.
    last: Option<(Instant, Duration)>,
    /// Position after the last sample that has its place.
    placed: u64,
}

#[derive(Debug)]
struct Piece {
    position: u64,
    /// When it is heard, on the carrier's time line.
    at: Instant,
    /// It follows what was before it without a gap.
    follows: bool,
    bytes: VecDeque<u8>,
}

impl Agent {
    fn push(&mut self, heard: Heard<'_>) {
        let Heard { position, at, echo, samples } = heard;
        let before = self.last.filter(|(end, _)| *end == at);
        // The far side's delay is learned in the middle of an utterance; it does not tear it.
        let echo = before.map_or(echo, |(_, echo)| echo);
        self.last = Some((at + duration(samples.len() as u64), echo));
        self.waiting += samples.len() as u64;
        let bytes = samples.iter().map(|sample| g711::encode(*sample)).collect();
        self.pieces.push_back(Piece { position, at: at + echo, follows: before.is_some(), bytes });
        while self.waiting > PENDING_MAX {
            self.drop_first();
        }
    }

    fn cut(&mut self, position: u64) {
        while let Some(piece) = self.pieces.back_mut() {
            let kept = usize::try_from(position.saturating_sub(piece.position)).unwrap_or(usize::MAX);
            let cut = piece.bytes.len().saturating_sub(kept);
            piece.bytes.truncate(kept);
            self.waiting -= cut as u64;
            if !piece.bytes.is_empty() {
                break;
            }
            self.pieces.pop_back();
        }
    }

    /// Lays what is heard from `position` on over `channel`.
    fn render(&mut self, clock: &Clock, position: u64, channel: &mut [u8]) {
        let end = position + channel.len() as u64;
        while let Some(piece) = self.pieces.front_mut() {
            let wanted = clock.position(piece.at);
            self.placed = self.placed.max(position);
            if self.placed > wanted + OFF_MAX {
                // Its time is over: something of it has to go, or all that follows is late.
                self.drop_first();
                continue;
            }
            let is_joined = piece.follows && wanted <= self.placed + OFF_MAX;
            let start = if is_joined { self.placed } else { wanted.max(self.placed) };
            if start >= end {
                return;
            }
            let at = usize::try_from(start - position).unwrap_or(0);
            let len = piece.bytes.len().min(channel.len() - at);
            for (slot, byte) in channel[at..].iter_mut().zip(piece.bytes.drain(..len)) {
                *slot = byte;
            }
            self.waiting -= len as u64;
            self.placed = start + len as u64;
            piece.position += len as u64;
            piece.at += duration(len as u64);
            piece.follows = true;
            if !piece.bytes.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.waiting -= piece.bytes.len() as u64;
        }
    }
}

fn duration(samples: u64) -> Duration {
    Duration::from_nanos(samples * 1_000_000_000 / u64::from(Rate::LINE.0))
}

fn samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() * u128::from(Rate::LINE.0) / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
