//! Plays a file through the machine, with the times of the file as the clock.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::outline::{outline, outline_with_wave};
use super::{Header, Line, Offset, Trace, WHOLE};
use crate::call::intake::{Input, Intake};

/// Steps that are shown before a difference: what a carrier sends in a fifth of a second.
const SHOWN: usize = 10;

/// A file that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the file is empty")]
    Empty,
    #[error("the first line is not the head of a call")]
    NoHeader,
    #[error("the file has the format {found}; this program reads {}", Header::FORMAT)]
    Format { found: u64 },
    #[error("line {line} cannot be read: {source}")]
    Line { line: usize, source: serde_json::Error },
    #[error("line {line} makes the machine panic: {message}")]
    Panicked { line: usize, message: String },
    #[error("before line {line} the machine asks for one timer again and again")]
    Timer { line: usize },
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub inputs: usize,
    pub outputs: usize,
    /// When the last of them was.
    pub length: Offset,
    pub end: End,
    /// The first output that is not the one of then.
    pub difference: Option<Difference>,
}

/// How far a file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// To the end of the call.
    Whole,
    /// Not all of the call was kept, for this reason.
    Cut(String),
    /// In the middle of the call: the process was killed.
    Killed,
    /// It was not played any further.
    Left,
}

/// Where a replay parts from the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub at: Offset,
    /// Of the file, from 1.
    pub line: usize,
    /// The output of then; `None`: there was none.
    pub expected: Option<String>,
    /// The output of now; `None`: there is none.
    pub got: Option<String>,
    /// What came and was done before, the oldest first.
    pub before: Vec<Step>,
}

/// One line of a file, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Offset,
    pub way: Way,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

/// Plays the text of a file, up to the first input after `until`. `show` is told every step; `origin` may be any
/// instant.
pub fn replay(
    text: &str,
    origin: Instant,
    until: Option<Duration>,
    mut show: impl FnMut(Step),
) -> Result<Report, Error> {
    let (header, lines) = open(text)?;
    let until = until.map(|until| Offset::between(origin, origin + until));
    let mut player = Player::new(&header, origin);
    let mut outcome = Ok(End::Killed);
    for (number, raw) in lines {
        let Some(line) = read(number, raw, text)? else { break };
        if let Line::Input(at, _) = &line
            && until.is_some_and(|until| *at > until)
        {
            outcome = Ok(End::Left);
            break;
        }
        let played = player.played();
        let flow = player.take(number, raw, line);
        if player.played() > played {
            player.recent.back().into_iter().for_each(|moment| show(moment.step()));
        }
        if let ControlFlow::Break(over) = flow {
            outcome = over;
            break;
        }
    }
    Ok(player.report(outcome))
}

/// The head of a file, and its other lines with their numbers.
pub(super) fn open(text: &str) -> Result<(Header, impl Iterator<Item = (usize, &str)>), Error> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let (_, first) = lines.next().ok_or(Error::Empty)?;
    match Line::parse(first) {
        Ok(Line::Header(header)) if header.format == Header::FORMAT => Ok((*header, lines)),
        Ok(_) | Err(_) => Err(foreign(first)),
    }
}

/// Why a first line is not the head of a file of this program.
fn foreign(first: &str) -> Error {
    let value: serde_json::Value = serde_json::from_str(first).unwrap_or_default();
    match value["header"]["format"].as_u64() {
        Some(found) if found != u64::from(Header::FORMAT) => Error::Format { found },
        Some(_) | None => Error::NoHeader,
    }
}

/// A line; `None` for the last one of a process that was killed while it wrote.
pub(super) fn read<'a>(number: usize, raw: &'a str, text: &str) -> Result<Option<Line<'a>>, Error> {
    match Line::parse(raw) {
        Ok(line) => Ok(Some(line)),
        Err(_) if !text.ends_with('\n') && text.ends_with(raw) => Ok(None),
        Err(source) => Err(Error::Line { line: number, source }),
    }
}

/// Gives the machine an input; the message of its panic if that is what it does.
pub(super) fn feed(machine: &mut Intake, input: Input<'_>, now: Instant) -> Result<(), String> {
    let fed = catch_unwind(AssertUnwindSafe(|| machine.handle(input, now)));
    fed.map(drop).map_err(|payload| words(payload.as_ref()))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// The machine and where it is in the file.
struct Player<'a> {
    machine: Intake,
    at: Offset,
    inputs: usize,
    outputs: usize,
    recent: VecDeque<Moment<'a>>,
    /// What the machine said when it panicked.
    panic: Option<String>,
}

/// A line that was played.
struct Moment<'a> {
    at: Offset,
    way: Way,
    raw: &'a str,
}

impl Moment<'_> {
    fn step(&self) -> Step {
        Step { at: self.at, way: self.way, text: outline(self.raw) }
    }
}

type Flow = ControlFlow<Result<End, Box<Difference>>>;

impl<'a> Player<'a> {
    fn new(header: &Header, origin: Instant) -> Self {
        let (admission, services) = header.admission(origin);
        Self {
            machine: Intake::answer(admission, services, origin),
            at: Offset::default(),
            inputs: 0,
            outputs: 0,
            recent: VecDeque::new(),
            panic: None,
        }
    }

    fn take(&mut self, number: usize, raw: &'a str, line: Line<'a>) -> Flow {
        match line {
            Line::Input(at, input) => self.take_input(number, raw, at, input),
            Line::Output(expected) => self.take_output(number, raw, &expected),
            Line::End(end) if end == WHOLE => match self.poll() {
                Some(got) => self.differ(number, None, Some(got)),
                None => Flow::Break(Ok(End::Whole)),
            },
            Line::End(end) => Flow::Break(Ok(End::Cut(end))),
            // A second head is nobody's input.
            Line::Header(_) => Flow::Continue(()),
        }
    }

    fn take_input(&mut self, number: usize, raw: &'a str, at: Offset, input: Input<'_>) -> Flow {
        let is_panicked = matches!(input, Input::Panicked);
        if !is_panicked && self.panic.is_some() {
            return self.differ(number, None, None);
        }
        // A frame is dropped while outputs are carried out; everything else waits until they are.
        if !is_panicked
            && !matches!(input, Input::Overflow { .. })
            && let Some(got) = self.poll()
        {
            return self.differ(number, None, Some(got));
        }
        self.at = at;
        self.inputs += 1;
        self.remember(Way::In, raw);
        let now = at.after(self.machine.answered());
        self.panic = feed(&mut self.machine, input, now).err();
        Flow::Continue(())
    }

    fn take_output(&mut self, number: usize, raw: &'a str, expected: &Trace) -> Flow {
        let got = if self.panic.is_some() { None } else { self.poll() };
        // As a line, so that both have gone through the same text.
        let is_same = match got.as_deref().map(Line::parse) {
            Some(Ok(Line::Output(got))) => got.is_same(expected),
            Some(Ok(_) | Err(_)) | None => false,
        };
        if !is_same {
            return self.differ(number, Some(raw), got);
        }
        self.outputs += 1;
        self.remember(Way::Out, raw);
        Flow::Continue(())
    }

    /// Lines that were played.
    const fn played(&self) -> usize {
        self.inputs + self.outputs
    }

    /// The next output, as a line.
    fn poll(&mut self) -> Option<String> {
        self.machine.poll_output().map(|output| Line::output(Trace::of(&output)))
    }

    fn remember(&mut self, way: Way, raw: &'a str) {
        if self.recent.len() == SHOWN {
            self.recent.pop_front();
        }
        self.recent.push_back(Moment { at: self.at, way, raw });
    }

    fn differ(&self, line: usize, expected: Option<&str>, got: Option<String>) -> Flow {
        let panicked = || self.panic.as_ref().map(|message| format!("the machine panics: {message}"));
        Flow::Break(Err(Box::new(Difference {
            at: self.at,
            line,
            expected: expected.map(outline_with_wave),
            got: got.as_deref().map(outline_with_wave).or_else(panicked),
            before: self.recent.iter().map(Moment::step).collect(),
        })))
    }

    fn report(self, outcome: Result<End, Box<Difference>>) -> Report {
        let (end, difference) = match outcome {
            Ok(end) => (end, None),
            Err(difference) => (End::Left, Some(*difference)),
        };
        Report { inputs: self.inputs, outputs: self.outputs, length: self.at, end, difference }
    }
}
