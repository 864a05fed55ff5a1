//! How a test call is judged: what counts as a failure, and how it is named.

use std::time::Duration;

use super::phone::ReceivedTone;
use super::report::CallReport;

/// Time for the relays to connect and for phones to register.
pub(super) const READY: Duration = Duration::from_secs(10);
/// Time for each step of the call.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Share of the talk in which the tone must be detected.
const LEAST_TONE: f64 = 0.9;
/// Longest gap in a tone that a busy machine may cause; a longer one is a failure.
const LONGEST_GAP: Duration = Duration::from_millis(250);
/// Percentage of packets that may be lost.
const MOST_LOST: u64 = 1;

/// Where the call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestCallError {
    /// A phone has no socket.
    #[error("a built-in phone cannot open a socket")]
    Phone,
    /// An engine reached no relay.
    #[error("the engines did not reach the Nostr relay within {} s", READY.as_secs())]
    Relay,
    /// A phone did not register.
    #[error("phone {0} did not register to its line")]
    Register(char),
    /// The callee's phone did not ring.
    #[error("phone B did not ring within {} s", STEP.as_secs())]
    Ring,
    /// The caller's phone was refused.
    #[error("phone A was refused with status {0}")]
    Refused(u16),
    /// The answer did not reach the caller.
    #[error("phone A did not receive the answer within {} s", STEP.as_secs())]
    Answer,
    /// A phone never detected the other's tone.
    #[error("phone {0} did not receive the other phone's tone")]
    Silence(char),
    /// A phone detected the tone for too short a time.
    #[error("phone {0} received too little of the tone")]
    Tone(char),
    /// A phone detected a gap in the tone.
    #[error("phone {0} received the tone with a gap")]
    Gap(char),
    /// Too many packets were lost.
    #[error("too many packets were lost")]
    Loss,
    /// A path that is not relayed was used, or the path is unknown.
    #[error("the path was not relayed on both sides")]
    Path,
    /// The hang-up did not reach both sides.
    #[error("phone {0} did not receive the end of the call")]
    HangUp(char),
}

/// Whether tones, loss and path are as they must be.
pub(super) fn judge(
    heard: &[ReceivedTone; 2],
    report: &CallReport,
    talk: Duration,
) -> Result<(), TestCallError> {
    for (heard, name) in heard.iter().zip(['A', 'B']) {
        if heard.tone < talk.mul_f64(LEAST_TONE) {
            return Err(TestCallError::Tone(name));
        }
        if heard.longest_gap > LONGEST_GAP {
            return Err(TestCallError::Gap(name));
        }
    }
    let frames = report.tone_s.iter().sum::<f64>() * 50.0;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a call of seconds has some hundred packets"
    )]
    if (report.lost * 100) as f64 > frames * MOST_LOST as f64 {
        return Err(TestCallError::Loss);
    }
    if report.candidate_types != ["relay", "relay"] {
        return Err(TestCallError::Path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: Duration = Duration::from_secs(3);

    fn heard(tone: u64, gap: u64) -> ReceivedTone {
        ReceivedTone {
            tone: Duration::from_millis(tone),
            longest_gap: Duration::from_millis(gap),
            lost: 0,
            first: None,
        }
    }

    fn good() -> CallReport {
        CallReport {
            tone_s: [3.0, 3.0],
            candidate_types: vec!["relay".to_owned(); 2],
            ..CallReport::default()
        }
    }

    #[test]
    fn a_good_call_is_good() {
        assert_eq!(
            judge(&[heard(2_990, 3), heard(3_000, 0)], &good(), TALK),
            Ok(())
        );
    }

    #[test]
    fn silence_gaps_loss_and_direct_paths_are_failures() {
        let fine = heard(3_000, 0);
        assert_eq!(
            judge(&[fine.clone(), heard(1_000, 0)], &good(), TALK),
            Err(TestCallError::Tone('B'))
        );
        assert_eq!(
            judge(&[heard(3_000, 300), fine.clone()], &good(), TALK),
            Err(TestCallError::Gap('A'))
        );
        let both = [fine.clone(), fine];
        assert_eq!(
            judge(&both, &CallReport { lost: 4, ..good() }, TALK),
            Err(TestCallError::Loss)
        );
        let direct = CallReport {
            candidate_types: vec!["relay".to_owned(), "host".to_owned()],
            ..good()
        };
        assert_eq!(judge(&both, &direct, TALK), Err(TestCallError::Path));
    }
}
