//! A line's settings as they meet an incoming call: blocked numbers, do not disturb, and contacts only.

use std::time::Instant;

use super::call_record::CallRecord;
use crate::environment::Environment;
use crate::sealed::ring::incoming::VerifiedRing;

/// Whether the phones of a line are not to ring: for a blocked number; while "do not disturb" is on, when the call counts as missed; or for a
/// stranger while the line rings for contacts only, when it stands in the list of past calls and no phone says so. To the caller each is a call
/// that is not answered.
pub(crate) fn is_unwanted(
    line: usize,
    ring: &VerifiedRing,
    env: &mut Environment,
    now: Instant,
) -> bool {
    let Some(line) = env.lines.number(line) else {
        return true;
    };
    let caller = ring.caller_number();
    if env.saved.state().is_blocked(line, caller) {
        return true;
    }
    let is_stranger = env.is_kept_out(line, caller, now);
    let is_silent = is_stranger || env.saved.state().do_not_disturb(line);
    if is_silent {
        let wall = env.wall(now);
        let record = CallRecord {
            is_stranger,
            ..CallRecord::rang(caller, ring.dated_id(), wall)
        };
        env.saved.record_call(line, record, wall);
    }
    is_silent
}
