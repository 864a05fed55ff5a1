//! A line's settings as they meet an incoming call: blocked numbers and do not disturb.

use std::time::Instant;

use super::call_record::CallRecord;
use crate::environment::Environment;
use crate::sealed::ring::incoming::VerifiedRing;

/// Whether the phones of a line are not to ring: for a blocked number, or while "do not disturb" is on; the call then counts as
/// missed. To the caller both are a call that is not answered.
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
    let do_not_disturb = env.saved.state().do_not_disturb(line);
    if do_not_disturb {
        let wall = env.wall(now);
        let record = CallRecord::rang(caller, ring.dated_id(), wall);
        env.saved.record_call(line, record, wall);
    }
    do_not_disturb
}
