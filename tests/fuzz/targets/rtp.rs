//! Any datagram on a phone's RTP port.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::rtp::Datagram;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Datagram::Rtp(packet)) = Datagram::read(bytes) {
        let written = packet.to_bytes();
        assert_eq!(Datagram::read(&written), Ok(Datagram::Rtp(packet)));
    }
});
