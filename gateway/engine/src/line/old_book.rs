//! Tells a person who has a phone and looks at no screen that the phone book has stopped: while the copy is more than a day old, the
//! first call that a line places on a day brings its phones a short text. Nothing rings, and nothing comes at night by itself.
//!
//! The status and `/health` say it within minutes, and why (`run::conditions` of the shell).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::feature_codes::announce;
use crate::environment::Environment;
use crate::time::UnixTime;
use crate::trust::callers::TRUSTED_FOR;

/// Age of a copy that is worth a text, and the time between two of them.
const DAY: Duration = Duration::from_secs(86_400);

/// Who writes: no number, so that the text is not taken for one of a person.
const WRITER: &str = "ringfence";

/// When each line was told last.
#[derive(Debug, Default)]
pub(crate) struct OldBookNotices(BTreeMap<usize, UnixTime>);

/// A phone of a line dials.
pub(crate) fn tell(line: usize, env: &mut Environment, now: Instant) {
    let wall = env.wall(now);
    let Some(book) = env.trust.book_age() else {
        return;
    };
    let age = wall.since(book.closed);
    let told = env.old_book.0.get(&line);
    if age <= DAY || told.is_some_and(|told| wall.since(*told) < DAY) {
        return;
    }
    env.old_book.0.insert(line, wall);
    announce(line, WRITER, notice(age), env, now);
}

fn notice(age: Duration) -> String {
    let days = |time: Duration| time.as_secs() / DAY.as_secs();
    let callers = if age > TRUSTED_FOR {
        "Contacts alone can call you".to_owned()
    } else {
        format!(
            "After {} days contacts alone can call you",
            days(TRUSTED_FOR)
        )
    };
    let age = match days(age) {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    format!(
        "The phone book is {age} old, or this engine's clock is wrong. New numbers and changed keys are missing. {callers}. See the status page."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_how_old_and_what_follows() {
        let day = notice(DAY * 3 / 2);
        assert!(day.contains("1 day old") && day.contains("After 7 days"));
        let weeks = notice(DAY * 15);
        assert!(weeks.contains("15 days old") && weeks.contains("Contacts alone can"));
        assert!(weeks.len() < 200 && day.len() < 200);
    }
}
