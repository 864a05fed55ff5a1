//! Days and moments: for programs in UTC (RFC 3339), for people in the time of this machine.

use chrono::{DateTime, Local};
use ringfence_book::Day;
use ringfence_engine::time::UnixTime;
use time::{Date, OffsetDateTime};

/// The Julian day number of 1970-01-01.
const UNIX_JULIAN_DAY: i32 = 2_440_588;

/// A day, 2026-11-25; one that no calendar has, as its count.
pub(crate) fn day_text(day: Day) -> String {
    let julian = i32::try_from(day.count()).map(|days| days.saturating_add(UNIX_JULIAN_DAY));
    let date = julian.ok().and_then(|day| Date::from_julian_day(day).ok());
    date.map_or_else(|| day.to_string(), |date| date.to_string())
}

/// A moment, 2026-11-25T12:00:00Z, or its seconds if no calendar has it.
pub(crate) fn moment(at: UnixTime) -> String {
    let seconds = i64::try_from(at.seconds()).ok();
    let moment = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map_or_else(
        || at.seconds().to_string(),
        |moment| {
            let (hour, minute, second) = moment.to_hms();
            format!("{}T{hour:02}:{minute:02}:{second:02}Z", moment.date())
        },
    )
}

/// A moment for a person, 2026-11-25 13:00, in the time of this machine.
pub(crate) fn local_moment(at: UnixTime) -> String {
    let seconds = i64::try_from(at.seconds()).ok();
    let moment = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(
        || at.seconds().to_string(),
        |moment| {
            let local = moment.with_timezone(&Local);
            local.format("%Y-%m-%d %H:%M").to_string()
        },
    )
}

/// A span in words.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
