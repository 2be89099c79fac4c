//! Days and months, as quotas and sums of calls count them: of the calendar, in UTC.

use jiff::{ToSpan as _, civil::Date, tz::Offset};

use crate::{Timestamp, connection::words};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

words!(
    /// How long a count goes on before it begins anew.
    Period {
        Day = "day",
        Month = "month",
    }
);

impl Timestamp {
    /// Days since 1970-01-01, UTC.
    pub const fn day(self) -> i64 {
        self.as_micros().div_euclid(DAY_MICROS)
    }

    /// When a day began.
    pub const fn of_day(day: i64) -> Self {
        Self::from_micros(day.saturating_mul(DAY_MICROS))
    }
}

impl Period {
    /// The first day of the period that an instant is in, and the first one of the next.
    pub fn days(self, now: Timestamp) -> (i64, i64) {
        let today = now.day();
        match self {
            Self::Day => (today, today + 1),
            Self::Month => month(now).unwrap_or((today, today + 1)),
        }
    }
}

/// `None` beyond the years that a calendar has.
fn month(now: Timestamp) -> Option<(i64, i64)> {
    let instant = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
    let first = Offset::UTC.to_datetime(instant).date().first_of_month();
    let next = first.checked_add(1.month()).ok()?;
    Some((day_of(first)?, day_of(next)?))
}

fn day_of(date: Date) -> Option<i64> {
    let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_micros(midnight.as_microsecond()).day())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(period: Period, now: &str) -> (String, String) {
        let (first, next) = period.days(now.parse().unwrap());
        (Timestamp::of_day(first).to_string(), Timestamp::of_day(next).to_string())
    }

    #[test]
    fn periods_are_those_of_the_calendar() {
        for (period, now, first, next) in [
            (Period::Day, "2026-11-21T14:34:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
            (Period::Day, "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
            (Period::Month, "2026-11-21T14:34:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            (Period::Month, "2026-12-31T23:59:59.999999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Period::Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Period::Month, "1969-12-31T23:00:00Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(days(period, now), (first.to_owned(), next.to_owned()), "{period:?} {now}");
        }
    }

    #[test]
    fn the_end_of_time_is_a_day_like_others() {
        let (first, next) = Period::Month.days(Timestamp::from_micros(i64::MAX));
        assert!(first < next);
    }
}
