//! When calls begin: many in business hours, few at night and on Sundays.

use time::{Duration, OffsetDateTime, Weekday};

use super::dice::{Dice, Weighted};

/// Calls in each hour of a working day, as parts of those of the busiest.
const HOURS: [f64; 24] = [
    0.03, 0.02, 0.02, 0.02, 0.03, 0.05, 0.12, 0.30, 0.65, 0.95, 1.0, 0.90, 0.70, 0.75, 0.90, 0.85, 0.75,
    0.60, 0.42, 0.30, 0.22, 0.15, 0.09, 0.05,
];

/// The starts of a number of calls, in order. Each needs what is left and where the last one was, and no list.
#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    from: OffsetDateTime,
    to: OffsetDateTime,
    hours: Weighted,
    left: u64,
    /// The part of all calls that begin before the last one.
    part: f64,
    dice: Dice,
}

impl Rhythm {
    pub(super) fn new(calls: u64, from: OffsetDateTime, to: OffsetDateTime, dice: Dice) -> Self {
        let hours = (to - from).whole_hours().max(0) + 1;
        let weight = |hour| weight(from + Duration::hours(hour));
        Self { from, to, hours: Weighted::new((0..hours).map(weight)), left: calls, part: 0.0, dice }
    }
}

impl Iterator for Rhythm {
    type Item = OffsetDateTime;

    fn next(&mut self) -> Option<OffsetDateTime> {
        let left = self.left.checked_sub(1)?;
        // The smallest of n uniform numbers between the last one and 1.
        let step = 1.0 - (1.0 - self.dice.unit()).powf(1.0 / self.left as f64);
        self.part += (1.0 - self.part) * step;
        self.left = left;
        let (hour, minutes) = self.hours.at(self.part);
        let since = Duration::milliseconds(((hour as f64 + minutes) * 3_600_000.0) as i64);
        Some((self.from + since).min(self.to))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

fn weight(at: OffsetDateTime) -> f64 {
    let day = match at.weekday() {
        Weekday::Sunday => 0.15,
        Weekday::Saturday => 0.5,
        Weekday::Monday => 1.2,
        Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday | Weekday::Friday => 1.0,
    };
    day * HOURS[usize::from(at.hour())]
}
