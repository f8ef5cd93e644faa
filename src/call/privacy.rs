//! The stretches of a call whose words are kept from the log: while a caller says what nobody may keep.

use std::time::Instant;

use super::record::Turn;

/// What stands in the log in the place of words.
const WITHHELD: &str = "[withheld]";

/// Stretches told apart. More become one with what is between them: rather too little is kept than too much.
const STRETCHES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Privacy {
    /// Begin and end; `None`: it goes on.
    stretches: Vec<(Instant, Option<Instant>)>,
}

impl Privacy {
    pub(super) fn begin(&mut self, now: Instant) {
        let is_full = self.stretches.len() >= STRETCHES_MAX;
        match self.stretches.last_mut() {
            Some((_, None)) => {}
            Some((_, end)) if is_full => *end = None,
            Some(_) | None => self.stretches.push((now, None)),
        }
    }

    pub(super) fn end(&mut self, now: Instant) {
        if let Some((_, end @ None)) = self.stretches.last_mut() {
            *end = Some(now);
        }
    }

    pub(super) fn is_on(&self) -> bool {
        matches!(self.stretches.last(), Some((_, None)))
    }

    /// The words of speech between two instants, or that they are withheld.
    fn mask(&self, text: &str, from: Instant, until: Instant) -> String {
        let is_touched =
            |(begin, end): &(Instant, Option<Instant>)| until >= *begin && end.is_none_or(|end| from <= end);
        if self.stretches.iter().any(is_touched) { WITHHELD.to_owned() } else { text.to_owned() }
    }

    pub(super) fn mask_turn(&self, turn: Turn, begin: Instant, end: Instant) -> Turn {
        Turn { text: self.mask(&turn.text, begin, end), ..turn }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::before(0, 9, false)]
    #[case::into_it(5, 10, true)]
    #[case::within(12, 15, true)]
    #[case::over_it(5, 25, true)]
    #[case::out_of_it(20, 25, true)]
    #[case::after(21, 29, false)]
    #[case::into_one_that_goes_on(25, 40, true)]
    #[case::in_one_that_goes_on(50, 60, true)]
    fn words_that_touch_a_pause_are_withheld(#[case] from: u64, #[case] until: u64, #[case] expected: bool) {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut privacy = Privacy::default();
        privacy.begin(at(10));
        privacy.begin(at(12));
        privacy.end(at(20));
        privacy.begin(at(30));
        assert_eq!(privacy.mask("words", at(from), at(until)) == WITHHELD, expected);
    }

    #[test]
    fn very_many_pauses_become_one() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut privacy = Privacy::default();
        for n in 0..1000 {
            privacy.begin(at(n * 10));
            privacy.end(at(n * 10 + 5));
        }
        assert_eq!(privacy.stretches.len(), STRETCHES_MAX);
        assert_eq!(privacy.mask("words", at(9991), at(9992)), WITHHELD);
        assert_eq!(privacy.mask("words", at(9996), at(9997)), "words");
        assert_eq!(privacy.mask("words", at(16), at(17)), "words");
    }
}
