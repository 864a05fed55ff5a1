//! Session timers (RFC 4028), which end a call whose phone has failed silently.
//!
//! We ask no phone for one. A phone that asks gets its interval and its refresher; without a refresher it is the phone.

use std::time::{Duration, Instant};

use super::context::LegContext;
use crate::event::LegId;
use crate::message::{Headers, Name, Params, Request, Response, Scan, seconds};
use crate::timers::Timer;

/// The shortest interval that a phone may ask for, in seconds (section 5).
pub(crate) const MIN_SE: u32 = 90;
/// Longer intervals are shortened to a day.
const MAX_SE: u32 = 86_400;

/// A call with a session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimer {
    /// Seconds.
    interval: u32,
    /// The shortest interval of the phone, in seconds, from its 422.
    least: u32,
    is_ours_to_refresh: bool,
}

/// A phone asks for less than [`MIN_SE`]: refused with 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntervalTooSmall;

impl SessionTimer {
    /// The session timer that a phone's INVITE or UPDATE asks for.
    pub(crate) fn requested(request: &Request) -> Result<Option<Self>, IntervalTooSmall> {
        let headers = &request.headers;
        let knows =
            headers.lists(&Name::Supported, "timer") || headers.lists(&Name::Require, "timer");
        let Some((interval, refresher)) = read(headers).filter(|_| knows) else {
            return Ok(None);
        };
        if interval < MIN_SE {
            return Err(IntervalTooSmall);
        }
        Ok(Some(Self {
            interval,
            least: MIN_SE,
            is_ours_to_refresh: refresher.as_deref() == Some("uas"),
        }))
    }

    /// The session timer in a phone's 2xx to our INVITE or UPDATE.
    pub(crate) fn granted(response: &Response) -> Option<Self> {
        let (interval, refresher) = read(&response.headers)?;
        Some(Self {
            interval: interval.max(MIN_SE),
            least: MIN_SE,
            is_ours_to_refresh: refresher.as_deref() != Some("uas"),
        })
    }

    /// Writes it into our 2xx (section 9: `Require: timer` if the phone refreshes).
    pub(crate) fn write_answer(self, response: &mut Response) {
        let (interval, who) = (
            self.interval,
            if self.is_ours_to_refresh {
                "uas"
            } else {
                "uac"
            },
        );
        let headers = &mut response.headers;
        headers.push(Name::SessionExpires, format!("{interval};refresher={who}"));
        if !self.is_ours_to_refresh {
            headers.push(Name::Require, "timer");
        }
    }

    /// Writes it into a refreshing request of ours (section 7.4).
    pub(crate) fn write_request(self, request: &mut Request) {
        let (interval, who) = (
            self.interval,
            if self.is_ours_to_refresh {
                "uac"
            } else {
                "uas"
            },
        );
        let headers = &mut request.headers;
        headers.push(Name::SessionExpires, format!("{interval};refresher={who}"));
        headers.push(Name::MinSe, self.least.to_string());
    }

    /// The same with the interval that a 422 requires. `None` if that is not longer.
    pub(crate) fn lengthened(self, refusal: &Response) -> Option<Self> {
        let least = refusal
            .headers
            .get(&Name::MinSe)
            .and_then(seconds)?
            .min(MAX_SE);
        (least > self.interval).then_some(Self {
            interval: least,
            least,
            ..self
        })
    }

    /// Sets the timers, at the beginning of the call or at a refresh (section 10).
    pub(crate) fn arm(session: Option<Self>, id: LegId, context: &mut LegContext, now: Instant) {
        context.timers.clear(id, Timer::SessionRefresh);
        context.timers.clear(id, Timer::SessionEnd);
        let Some(Self {
            interval,
            is_ours_to_refresh,
            ..
        }) = session
        else {
            return;
        };
        let whole = Duration::from_secs(interval.into());
        if is_ours_to_refresh {
            context
                .timers
                .set(id, Timer::SessionRefresh, now + whole / 2);
            context.timers.set(id, Timer::SessionEnd, now + whole);
        } else {
            let early = Duration::from_secs(u64::from(interval / 3).min(32));
            context
                .timers
                .set(id, Timer::SessionEnd, now + whole.saturating_sub(early));
        }
    }
}

/// `1800;refresher=uac`.
fn read(headers: &Headers) -> Option<(u32, Option<String>)> {
    let value = headers.get(&Name::SessionExpires)?;
    let end = value
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(value.len());
    let (number, rest) = value.split_at_checked(end)?;
    let params = Params::read(&mut Scan::new(rest))?;
    let refresher = params.get("refresher").map(|who| who.to_ascii_lowercase());
    Some((seconds(number)?.min(MAX_SE), refresher))
}
