//! What is written down of a call while it runs, for the list of past calls.

use std::fmt;
use std::time::Instant;

use ringfence_book::Number;

use super::call_quality::CallQuality;
use super::saved_state::CallWay;
use crate::sealed::ring::RingId;
use crate::time::UnixTime;

/// What a call will be in the list of past calls.
#[derive(Clone, Copy)]
pub(crate) struct CallRecord {
    pub(crate) number: Number,
    pub(crate) way: CallWay,
    pub(crate) began: UnixTime,
    /// When audio could pass: by the wall clock, which is shown, and by the one that never jumps, which says how long they talked.
    pub(crate) answered: Option<(UnixTime, Instant)>,
    /// A person saw it ring and refused it: it does not count as missed.
    pub(crate) is_declined: bool,
    /// It rang no phone, because the line rings for contacts only.
    pub(crate) is_stranger: bool,
    /// The date and name of an incoming call's ring: its caller's missed-call note may follow.
    pub(crate) ring: Option<(UnixTime, RingId)>,
    /// How it has sounded so far.
    pub(crate) quality: Option<CallQuality>,
}

impl CallRecord {
    pub(crate) const fn dialled(number: Number, began: UnixTime) -> Self {
        Self {
            number,
            way: CallWay::Out,
            began,
            answered: None,
            is_declined: false,
            is_stranger: false,
            ring: None,
            quality: None,
        }
    }

    pub(crate) const fn rang(number: Number, ring: (UnixTime, RingId), began: UnixTime) -> Self {
        Self {
            ring: Some(ring),
            way: CallWay::In,
            ..Self::dialled(number, began)
        }
    }
}

impl fmt::Debug for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallRecord(..)")
    }
}
