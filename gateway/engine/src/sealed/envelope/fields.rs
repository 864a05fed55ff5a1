//! The fields that bodies have in common, as bytes: integers are big-endian, and what is too short is refused.

use zeroize::Zeroizing;

use crate::sealed::rejected::EnvelopeError;
use crate::sealed::routing_tag::CallId;
use crate::time::UnixTime;

/// Takes the first `N` bytes off.
pub(crate) fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], EnvelopeError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(EnvelopeError::Body)?;
    *rest = tail;
    Ok(head)
}

/// A call id: 16 bytes.
pub(crate) fn take_call(rest: &mut &[u8]) -> Result<CallId, EnvelopeError> {
    Ok(CallId::from_bytes(*take(rest)?))
}

/// A moment: unix milliseconds in 8 bytes.
pub(crate) fn take_time(rest: &mut &[u8]) -> Result<UnixTime, EnvelopeError> {
    let millis = u64::from_be_bytes(*take(rest)?);
    Ok(UnixTime::from_millis(millis))
}

/// As [`take_call`] reads it.
pub(crate) fn put_call(out: &mut Zeroizing<Vec<u8>>, call: &CallId) {
    out.extend_from_slice(call.as_bytes());
}

/// As [`take_time`] reads it.
pub(crate) fn put_time(out: &mut Zeroizing<Vec<u8>>, time: UnixTime) {
    out.extend_from_slice(&time.millis().to_be_bytes());
}
