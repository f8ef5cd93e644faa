//! Messages that a transparent session has not taken in yet, to be sent again after a resume.
//!
//! The service tells the index of the last client message that a handle's state contains (Gemini Live API,
//! transparent resumption). Whether the setup counts as 0 or 1 is not documented: it is counted as 1 here, so
//! that if it is 0 one message of 20 ms is sent twice and none is lost.

use std::collections::VecDeque;

use super::Command;

/// Messages kept: two seconds of audio. Transparent resumption is meant for short gaps.
const MESSAGES_MAX: usize = 100;

/// The newest messages of one connection; nothing at all unless the session is transparent.
#[derive(Debug, Default)]
pub(super) struct Replay {
    is_on: bool,
    /// Index of the oldest message kept.
    first: u64,
    messages: VecDeque<Command>,
}

impl Replay {
    /// A connection begins: its setup is message 1.
    pub(super) fn start(&mut self) {
        self.is_on = true;
        self.first = 2;
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn note(&mut self, command: &Command) {
        let is_input = match command {
            Command::Audio(_) | Command::Text(_) | Command::ToolError { .. } | Command::Seed(_) => true,
            Command::Setup(_) | Command::Close | Command::Abort => false,
        };
        if !self.is_on || !is_input {
            return;
        }
        if self.messages.len() == MESSAGES_MAX {
            self.messages.pop_front();
            self.first += 1;
        }
        self.messages.push_back(command.clone());
    }

    /// Everything up to this index was taken in.
    pub(super) fn consumed(&mut self, index: Option<u64>) {
        let Some(index) = index.filter(|_| self.is_on) else { return };
        while self.first <= index && self.messages.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// What was not taken in, for the next connection, where it is noted anew when it is sent.
    pub(super) fn take(&mut self) -> Vec<Command> {
        self.messages.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: usize) -> Command {
        Command::Text(n.to_string())
    }

    #[test]
    fn what_was_not_taken_in_is_sent_again() {
        let mut replay = Replay::default();
        replay.note(&text(1));
        assert_eq!(replay.take(), [], "not a transparent session");
        replay.start();
        for n in 2..6 {
            replay.note(&text(n));
        }
        replay.note(&Command::Close);
        replay.consumed(Some(3));
        replay.consumed(None);
        assert_eq!(replay.take(), [text(4), text(5)]);
        replay.start();
        for n in 2..500 {
            replay.note(&text(n));
        }
        replay.consumed(Some(u64::MAX));
        assert_eq!(replay.take(), []);
    }

    #[test]
    fn two_seconds_are_kept() {
        let mut replay = Replay::default();
        replay.start();
        for n in 2..500 {
            replay.note(&text(n));
        }
        replay.consumed(Some(450));
        let kept = replay.take();
        assert_eq!((kept.len(), kept.first()), (49, Some(&text(451))));
    }
}
