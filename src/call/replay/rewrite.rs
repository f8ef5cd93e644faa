//! Writes a file anew with what the machine of today does, after a change that is meant.

use std::time::{Duration, Instant};

use super::player::{Error, feed, open, read};
use super::{Header, Line, Offset, Trace};
use crate::call::intake::{Input, Intake};

/// A timer of a running call fires this late at most. One that is later was not asked for by the machine of then, and
/// one that is not due yet is not asked for by the machine of now.
const LATE: Duration = Duration::from_millis(20);

/// Timers between two inputs. The longest pause of a carrier is 30 s, with a frame of speech every 20 ms; a machine
/// that asks for more asks for ever.
const TIMERS_MAX: usize = 10_000;

/// The text of a file with the same inputs and the outputs of now. Timers fire as in the file where the machine still
/// wants them, and where it wants others, when it wants them. `origin` may be any instant.
pub fn rewrite(text: &str, origin: Instant) -> Result<String, Error> {
    let (header, lines) = open(text)?;
    let (admission, services) = header.admission(origin);
    let header = Header { program: env!("CARGO_PKG_VERSION").to_owned(), ..header };
    let mut writer =
        Writer { machine: Intake::answer(admission, services, origin), text: Line::header(&header) + "\n" };
    for (number, raw) in lines {
        match read(number, raw, text)? {
            None => break,
            Some(Line::Input(at, input)) => writer.take(number, at, input)?,
            Some(Line::Output(_) | Line::Header(_)) => {}
            Some(Line::End(end)) => {
                writer.put(&Line::end(&end));
                break;
            }
        }
    }
    Ok(writer.text)
}

struct Writer {
    machine: Intake,
    text: String,
}

impl Writer {
    fn take(&mut self, number: usize, at: Offset, input: Input<'_>) -> Result<(), Error> {
        // The machine of now says itself when it panics.
        if self.machine.call().ending().is_some() || matches!(input, Input::Panicked) {
            return Ok(());
        }
        let now = at.after(self.machine.answered());
        self.catch_up(number, now)?;
        let is_due = self.machine.call().poll_timeout().is_some_and(|(due, _)| due <= now);
        if matches!(input, Input::Timeout { .. }) && !is_due {
            return Ok(());
        }
        self.handle(number, now, input)
    }

    /// Fires the timers that are overdue.
    fn catch_up(&mut self, number: usize, now: Instant) -> Result<(), Error> {
        for _ in 0..TIMERS_MAX {
            let overdue = self.machine.call().poll_timeout().filter(|(due, _)| *due + LATE < now);
            let Some((due, timer)) = overdue else { return Ok(()) };
            self.handle(number, due, Input::Timeout { timer: Some(timer) })?;
        }
        Err(Error::Timer { line: number })
    }

    fn handle(&mut self, number: usize, now: Instant, input: Input<'_>) -> Result<(), Error> {
        let at = Offset::between(self.machine.answered(), now);
        self.put(&Line::input(at, &input));
        feed(&mut self.machine, input, now).map_err(|message| Error::Panicked { line: number, message })?;
        while let Some(output) = self.machine.poll_output() {
            self.put(&Line::output(Trace::of(&output)));
        }
        Ok(())
    }

    fn put(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}
