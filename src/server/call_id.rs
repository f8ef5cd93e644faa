//! Ids of calls, made from the clock of the machine whatever it says.

use std::sync::Mutex;

use ::time::OffsetDateTime;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::id::CallId;

/// A new id that sorts by the time of its call (UUID version 7, RFC 9562 section 5.7). The time is counted from 1970: a
/// clock that stands before gives ids of that moment, which are unique all the same.
pub(super) fn call_id(wall: OffsetDateTime) -> CallId {
    /// Ids of one millisecond are in order too.
    static COUNTER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    counted(&COUNTER, wall)
}

fn counted(counter: &Mutex<ContextV7>, wall: OffsetDateTime) -> CallId {
    let at = wall.max(OffsetDateTime::UNIX_EPOCH);
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
    CallId::new(Uuid::new_v7(Timestamp::from_unix(counter, seconds, at.nanosecond())).as_u128())
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::now(datetime!(2026-11-30 12:00:00.25 UTC), 1_796_040_000)]
    #[case::the_first_second(datetime!(1970-01-01 0:00:00 UTC), 0)]
    #[case::the_second_before(datetime!(1969-12-31 23:59:59.999 UTC), 0)]
    #[case::a_machine_whose_battery_is_empty(datetime!(1901-12-13 20:45:52 UTC), 0)]
    #[case::year_zero(datetime!(0000-01-01 0:00:00 UTC), 0)]
    #[case::the_last_one(datetime!(9999-12-31 23:59:59 UTC), 253_402_300_799)]
    fn a_call_has_an_id_at_every_time(#[case] wall: OffsetDateTime, #[case] second: u64) {
        let counter = Mutex::new(ContextV7::new());
        let ids = [counted(&counter, wall), counted(&counter, wall), counted(&counter, wall)];
        assert!(ids[0] < ids[1] && ids[1] < ids[2], "{ids:?}");
        let (found, _) = Uuid::from_u128(ids[0].as_u128()).get_timestamp().unwrap().to_unix();
        assert_eq!(found, second);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_id_twice_and_none_that_sorts_before() {
        let counter = Mutex::new(ContextV7::new());
        let later = counted(&counter, datetime!(2026-11-30 12:00 UTC));
        assert!(later < counted(&counter, datetime!(1969-12-31 12:00 UTC)));
    }
}
