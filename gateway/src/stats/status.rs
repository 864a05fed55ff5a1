//! The status of a running engine: the body of `GET /api/status`, as one set of types for writers and readers.
//!
//! The status page writes it; `ringfence status`, `ringfence doctor` and programs of the user read it. Times are Unix seconds. Within one
//! [`version`](StatusReport::version), fields are added, but none is removed or given another meaning. So a reader ignores fields that it
//! does not know, and takes the default for a field that an older engine does not send.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Changes when a field of [`StatusReport`] is removed or means something else.
pub const STATUS_VERSION: u32 = 1;

/// Everything that an engine shows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusReport {
    /// Version of this format: [`STATUS_VERSION`].
    pub version: u32,
    /// Version of the program.
    pub program: String,
    /// When the report was made.
    pub at: u64,
    /// Seconds since the status page was opened, which is at the start of the engine.
    pub uptime_seconds: u64,
    /// Whether calls work and nothing contradicts the promise of privacy: no warning is grave.
    pub ok: bool,
    /// What is wrong, grave warnings first.
    pub warnings: Vec<StatusWarning>,
    /// The connections to Nostr relays.
    pub relays: RelayStatus,
    /// The TURN allocation for the next call.
    pub turn: TurnStatus,
    /// The copy of the phone book; `null` before the first download.
    pub phone_book: Option<PhoneBookStatus>,
    /// The SOCKS5 proxy through which relays and phone book are reached; `null` without one.
    pub proxy: Option<String>,
    /// Whether the proxy answered when it was last asked for a connection; `null` before its first answer, and without one.
    pub proxy_answers: Option<bool>,
    /// Where phones register.
    pub sip: SipAddresses,
    /// The lines, in the order of their files.
    pub lines: Vec<LineStatus>,
    /// The calls that are not over.
    pub calls: Vec<CallStatus>,
    /// How many contacts there are.
    pub contacts: usize,
    /// How many contacts were seen with another key than the pinned one.
    pub changed_keys: usize,
    /// How many files of evidence against the phone book there are.
    pub evidence: usize,
}

/// Something that the user should act on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusWarning {
    /// The kind of condition in a word ([`ConditionKind::word`](super::condition::ConditionKind::word)).
    pub kind: String,
    /// Since when it holds.
    pub since: u64,
    /// Calls do not work, or a key or the phone book may be forged.
    pub grave: bool,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// How many Nostr relays are in which state. Each count includes the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelayStatus {
    /// Relays in use.
    pub configured: usize,
    /// Relays with an open connection.
    pub connected: usize,
    /// Relays that confirmed the subscription to rings (EOSE).
    pub listening: usize,
}

/// The TURN allocation for the next call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnStatus {
    /// Whether an allocation is ready. If not, the next call makes one, which takes a moment longer.
    pub ready: bool,
}

/// The copy of the phone book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhoneBookStatus {
    /// Its newest epoch.
    pub epoch: u32,
    /// Seconds since that epoch was closed.
    pub age_seconds: u64,
    /// Seconds between two epochs.
    pub period_seconds: u32,
}

/// Where phones register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SipAddresses {
    /// Over UDP.
    pub udp: Vec<SocketAddr>,
    /// Over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Over TLS.
    pub tls: Vec<SocketAddr>,
}

/// A line of this engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineStatus {
    /// Its number.
    pub number: u32,
    /// What the user calls it.
    pub name: Option<String>,
    /// The phones that are registered to it.
    pub phones: Vec<PhoneStatus>,
    /// Whether its phones are kept from ringing.
    pub do_not_disturb: bool,
    /// Whether they ring for contacts only.
    pub contacts_only: bool,
    /// The numbers whose calls and texts it drops.
    pub blocked: Vec<u32>,
    /// Missed calls that the user has not seen yet.
    pub missed_calls: usize,
    /// Texts that no phone has taken yet.
    pub texts_waiting: usize,
}

/// A registered phone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhoneStatus {
    /// `UDP`, `TCP` or `TLS`.
    pub transport: String,
    /// Its address and port.
    pub address: String,
}

/// A call that is not over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallStatus {
    /// The label that the log has too.
    pub call: String,
    /// The user's line.
    pub line: u32,
    /// The number at the other end.
    pub number: u32,
    /// The contact's name.
    pub name: Option<String>,
    /// Whether the contact's safety number was compared.
    pub verified: bool,
    /// Who called.
    pub direction: CallDirection,
    /// How far the call is.
    pub state: CallStage,
    /// When it began.
    pub began: u64,
    /// When it was answered.
    pub talking_since: Option<u64>,
    /// The codec of the phone here, as `G.711 A-law`.
    pub phone_codec: Option<String>,
    /// The codec between the engines: another one where the two phones share none.
    pub codec: Option<String>,
    /// Whether this engine transcodes between the two.
    pub transcoded: bool,
    /// The last second of what the phone here sent.
    pub from_phone: Option<MediaQuality>,
    /// The last second of what the phone here received.
    pub to_phone: Option<MediaQuality>,
}

/// Who called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallDirection {
    /// A phone of this engine.
    #[default]
    Out,
    /// The other end.
    In,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallStage {
    /// A phone of this engine dialled; the other end has not answered.
    #[default]
    Calling,
    /// Phones of this engine ring.
    Ringing,
    /// The call was answered; media are not connected yet.
    Connecting,
    /// Media are connected.
    Talking,
}

impl CallStage {
    /// The word of the JSON, which the page shows too.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Ringing => "ringing",
            Self::Connecting => "connecting",
            Self::Talking => "talking",
        }
    }
}

/// One second of one direction of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaQuality {
    /// Packets that were passed on.
    pub packets: u64,
    /// The share of packets that were lost, from 0 to 1: what a phone missed, or heard concealment of.
    pub lost: f64,
    /// The share of the other engine's frames that were lost on the way, before repair; zero for what this phone says.
    pub lost_on_way: f64,
    /// The share of them that later frames brought back.
    pub repaired: f64,
    /// The share of them in whose place the phone heard concealment.
    pub concealed: f64,
    /// The delay of the playout buffer, which there is while there is something to repair, in milliseconds.
    pub buffer_ms: f64,
    /// Jitter in milliseconds (RFC 3550 section 6.4.1).
    pub jitter_ms: f64,
    /// Estimated quality from 1 to 4.5 (ITU-T G.107); `null` without a packet.
    pub mos: Option<f64>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_names_and_the_shape_of_the_json_are_these() {
        let quality = MediaQuality {
            packets: 50,
            lost: 0.5,
            lost_on_way: 0.25,
            repaired: 0.125,
            concealed: 0.0625,
            buffer_ms: 65.0,
            jitter_ms: 1.5,
            mos: Some(4.25),
        };
        let report = StatusReport {
            version: STATUS_VERSION,
            warnings: vec![StatusWarning::default()],
            phone_book: Some(PhoneBookStatus::default()),
            lines: vec![LineStatus {
                phones: vec![PhoneStatus::default()],
                ..LineStatus::default()
            }],
            calls: vec![CallStatus {
                direction: CallDirection::In,
                state: CallStage::Talking,
                phone_codec: Some("Opus".to_owned()),
                codec: Some("G.722".to_owned()),
                transcoded: true,
                to_phone: Some(quality),
                ..CallStatus::default()
            }],
            ..StatusReport::default()
        };
        let expected = json!({
            "version": 1, "program": "", "at": 0, "uptime_seconds": 0, "ok": false,
            "warnings": [{ "kind": "", "since": 0, "grave": false, "what": "", "remedy": "" }],
            "relays": { "configured": 0, "connected": 0, "listening": 0 },
            "turn": { "ready": false },
            "phone_book": { "epoch": 0, "age_seconds": 0, "period_seconds": 0 },
            "proxy": null, "proxy_answers": null,
            "sip": { "udp": [], "tcp": [], "tls": [] },
            "lines": [{
                "number": 0, "name": null, "phones": [{ "transport": "", "address": "" }],
                "do_not_disturb": false, "contacts_only": false, "blocked": [], "missed_calls": 0, "texts_waiting": 0,
            }],
            "calls": [{
                "call": "", "line": 0, "number": 0, "name": null, "verified": false,
                "direction": "in", "state": "talking", "began": 0, "talking_since": null,
                "phone_codec": "Opus", "codec": "G.722", "transcoded": true, "from_phone": null,
                "to_phone": {
                    "packets": 50, "lost": 0.5, "lost_on_way": 0.25, "repaired": 0.125, "concealed": 0.0625,
                    "buffer_ms": 65.0, "jitter_ms": 1.5, "mos": 4.25,
                },
            }],
            "contacts": 0, "changed_keys": 0, "evidence": 0,
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        let read: StatusReport = serde_json::from_value(expected).unwrap();
        assert_eq!(read, report);
    }

    #[test]
    fn a_report_of_another_release_is_read_as_far_as_it_goes() {
        let read: StatusReport =
            serde_json::from_value(json!({ "ok": true, "later": [1] })).unwrap();
        assert!(read.ok && read.lines.is_empty() && read.phone_book.is_none());
        let word = |stage: CallStage| serde_json::to_value(stage).unwrap();
        for stage in [
            CallStage::Calling,
            CallStage::Ringing,
            CallStage::Connecting,
        ] {
            assert_eq!(word(stage), Value::from(stage.word()));
        }
    }
}
