//! A DTLS session that alters, drops and adds SCTP packets before it encrypts them: what a hostile peer inside the sealed call can
//! say. SCTP's checksum (RFC 9260 appendix A) is computed anew, or every altered packet would end there.
//!
//! A library constructs the session, so the plan of alterations lies in thread-local memory; an input of the fuzzer clears it first.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Instant;

use str0m::config::{DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

use crate::overwrite;

/// What happens to the next packets.
#[derive(Default)]
pub struct PacketPlan {
    /// For each packet in turn: where it is overwritten, and with what.
    pub changes: VecDeque<(usize, Vec<u8>)>,
    /// Packets that are swallowed.
    pub dropped: usize,
    /// Chunks that follow the next packet, each in a packet of its own.
    pub added: VecDeque<Vec<u8>>,
    /// Ports and verification tag, as the peer's own packets have them.
    header: Option<[u8; 8]>,
}

thread_local! {
    static PLAN: RefCell<PacketPlan> = RefCell::default();
}

/// Reads or changes the plan.
pub fn with_plan<T>(work: impl FnOnce(&mut PacketPlan) -> T) -> T {
    PLAN.with_borrow_mut(work)
}

/// The provider of hostile sessions, which str0m wants for ever.
pub static HOSTILE: HostileDtls = HostileDtls;

#[derive(Debug)]
pub struct HostileDtls;

impl DtlsProvider for HostileDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let honest = str0m::crypto::from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu)?;
        Ok(Box::new(HostileSession(honest)))
    }
}

#[derive(Debug)]
struct HostileSession(Box<dyn DtlsInstance>);

impl HostileSession {
    /// Sends what the plan adds; before the peer's own first packet nobody knows the tag.
    fn send_added(&mut self) {
        let (header, added) = with_plan(|plan| (plan.header, std::mem::take(&mut plan.added)));
        let Some(header) = header else {
            return;
        };
        for chunks in added {
            let mut packet = [&header[..], &[0; 4], &chunks].concat();
            write_checksum(&mut packet);
            // A packet that is too long for the session is lost.
            let _ = self.0.send_application_data(&packet);
        }
    }
}

impl DtlsInstance for HostileSession {
    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        let mut packet = data.to_vec();
        let is_sent = with_plan(|plan| {
            // INIT alone has the tag zero.
            plan.header = data.first_chunk().copied().filter(|header: &[u8; 8]| header[4..] != [0; 4]).or(plan.header);
            if plan.dropped > 0 {
                plan.dropped -= 1;
                return false;
            }
            if let Some((at, bytes)) = plan.changes.pop_front() {
                overwrite(&mut packet, at, &bytes);
                write_checksum(&mut packet);
            }
            true
        });
        if is_sent {
            self.0.send_application_data(&packet)?;
        }
        self.send_added();
        Ok(data.len())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.send_added();
        self.0.handle_timeout(now)
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

/// Writes CRC32c over the packet with the field itself as zero.
fn write_checksum(packet: &mut [u8]) {
    let Some(field) = packet.get_mut(8..12) else {
        return;
    };
    field.fill(0);
    let mut crc = u32::MAX;
    for byte in &*packet {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}
