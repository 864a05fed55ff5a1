//! Turns a snapshot of the engine into the status that `GET /api/status` returns.

use ringfence_engine::LiveState;
use ringfence_engine::line::saved_state::CallWay;

use super::warnings::warnings;
use crate::provisioning::registrar::RegistrarInfo;
use crate::state::keystore::EvidenceFile;
use crate::stats::quality_history::Quality;
use crate::stats::snapshot::{CallSnapshot, LineSnapshot, PhoneSnapshot, Snapshot};
use crate::stats::status::{
    CallDirection, CallStage, CallStatus, LineStatus, MediaQuality, PhoneBookStatus, PhoneStatus,
    RelayStatus, STATUS_VERSION, SipAddresses, StatusReport, TurnStatus,
};

/// The status of the moment at which the snapshot was made.
pub(super) fn report(
    snapshot: &Snapshot,
    registrar: &RegistrarInfo,
    evidence: &[EvidenceFile],
    uptime: u64,
) -> StatusReport {
    let relays = &snapshot.status.relays;
    let warnings = warnings(snapshot, registrar);
    let [udp, tcp, tls] = registrar.sip.clone();
    StatusReport {
        version: STATUS_VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        at: snapshot.at.seconds(),
        uptime_seconds: uptime,
        ok: !warnings.iter().any(|warning| warning.grave),
        warnings,
        relays: RelayStatus {
            configured: relays.configured,
            connected: relays.connected,
            listening: relays.listening,
        },
        turn: TurnStatus {
            ready: snapshot.status.turn_ready,
        },
        phone_book: snapshot.book.map(|book| PhoneBookStatus {
            epoch: book.epoch,
            age_seconds: snapshot.at.seconds().saturating_sub(book.closed.seconds()),
            period_seconds: book.period,
        }),
        proxy: registrar.outbound.proxy().map(ToString::to_string),
        proxy_answers: registrar.outbound.proxy_answers(),
        sip: SipAddresses { udp, tcp, tls },
        lines: snapshot
            .lines
            .iter()
            .map(|line| line_status(line, snapshot, registrar))
            .collect(),
        calls: snapshot
            .calls
            .iter()
            .map(|call| call_status(call, snapshot))
            .collect(),
        contacts: snapshot.contacts.iter().count(),
        changed_keys: snapshot
            .contacts
            .iter()
            .filter(|contact| contact.other.is_some())
            .count(),
        evidence: evidence.len(),
    }
}

fn line_status(line: &LineSnapshot, snapshot: &Snapshot, registrar: &RegistrarInfo) -> LineStatus {
    let saved_state = &snapshot.saved_state;
    let news = saved_state.news(line.number);
    let phone = |phone: &PhoneSnapshot| PhoneStatus {
        transport: phone.transport.to_owned(),
        address: phone.address.to_string(),
    };
    LineStatus {
        number: line.number.value(),
        name: registrar
            .line(line.number)
            .and_then(|line| line.name.clone()),
        phones: line.phones.iter().map(phone).collect(),
        do_not_disturb: saved_state.do_not_disturb(line.number),
        contacts_only: saved_state.contacts_only(line.number),
        blocked: saved_state
            .settings
            .get(&line.number)
            .map_or_else(Vec::new, |settings| {
                settings
                    .blocked
                    .iter()
                    .map(|number| number.value())
                    .collect()
            }),
        missed_calls: news.missed,
        texts_waiting: news.texts,
    }
}

fn call_status(CallSnapshot { call, quality }: &CallSnapshot, snapshot: &Snapshot) -> CallStatus {
    let contact = snapshot.contacts.get(call.number);
    let (last, codecs) = (quality.samples.back(), quality.codecs());
    CallStatus {
        call: call.label.to_string(),
        line: call.line.value(),
        number: call.number.value(),
        name: contact.and_then(|contact| contact.name.clone()),
        verified: contact.is_some_and(|contact| contact.verified),
        direction: match call.way {
            CallWay::Out => CallDirection::Out,
            CallWay::In => CallDirection::In,
        },
        state: stage(call.state),
        began: call.began.seconds(),
        talking_since: call.answered.map(|at| at.seconds()),
        phone_codec: codecs.map(|(phone, _)| phone.name().to_owned()),
        codec: codecs.map(|(_, carried)| carried.name().to_owned()),
        transcoded: codecs.is_some_and(|(phone, carried)| phone != carried),
        from_phone: last.map(|sample| media_quality(&sample.from_phone.quality())),
        to_phone: last.map(|sample| media_quality(&sample.to_phone.quality())),
    }
}

fn media_quality(quality: &Quality) -> MediaQuality {
    MediaQuality {
        packets: quality.packets,
        lost: quality.lost,
        lost_on_way: quality.lost_on_way,
        repaired: quality.repaired,
        concealed: quality.concealed,
        buffer_ms: quality.delay.as_secs_f64() * 1_000.0,
        jitter_ms: quality.jitter.as_secs_f64() * 1_000.0,
        mos: quality.mos,
    }
}

/// How far a call is, as programs and the page name it.
pub(super) fn stage(state: LiveState) -> CallStage {
    match state {
        LiveState::Calling => CallStage::Calling,
        LiveState::Ringing => CallStage::Ringing,
        LiveState::Connecting => CallStage::Connecting,
        LiveState::Talking => CallStage::Talking,
    }
}
