//! Any datagram on a phone's RTP port.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::rtp::RtpDatagram;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(bytes) {
        let written = packet.to_bytes();
        assert_eq!(RtpDatagram::read(&written), Ok(RtpDatagram::Rtp(packet)));
    }
});
