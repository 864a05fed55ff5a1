//! SRTP of a handset with keys in SDP (RFC 4568): one suite, offered when it dials.

use std::{fmt, net::SocketAddr};

use rand_core::Rng;
use ringfence_media::srtp::{InboundSrtp, OutboundSrtp, SrtpKey, SrtpSuite};

const SUITE: SrtpSuite = SrtpSuite::AesCm128Sha1Tag80;

/// The SRTP contexts of both directions.
pub(crate) struct SdesMedia {
    ours: SrtpKey,
    sealer: OutboundSrtp,
    theirs: Option<(SrtpKey, InboundSrtp)>,
}

impl SdesMedia {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        let ours = SrtpKey::random(SUITE, rng);
        Self {
            sealer: OutboundSrtp::new(&ours),
            ours,
            theirs: None,
        }
    }

    /// The `a=crypto` line that offers this phone's key.
    pub(super) fn line(&self) -> String {
        let key = self.ours.to_base64();
        format!("a=crypto:1 {} inline:{}\r\n", SUITE.name(), *key)
    }

    /// Both keys in base64.
    pub(super) fn keys(&self) -> Vec<String> {
        let theirs = self.theirs.as_ref().map(|(key, _)| key);
        let keys = [Some(&self.ours), theirs];
        keys.into_iter()
            .flatten()
            .map(|key| key.to_base64().to_string())
            .collect()
    }

    /// Reads the answer: the destination of RTP, and the key of the other direction.
    pub(super) fn read_answer(&mut self, body: &[u8]) -> Option<SocketAddr> {
        let text = std::str::from_utf8(body).ok()?;
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let ip = line("c=IN IP4 ")
            .or_else(|| line("c=IN IP6 "))?
            .parse()
            .ok()?;
        let (port, formats) = line("m=audio ")?.split_once(' ')?;
        let (_, inline) = line("a=crypto:1 ")?.split_once("inline:")?;
        let key = SrtpKey::from_base64(SUITE, inline.split('|').next()?.trim())?;
        let opener = InboundSrtp::new(&key);
        self.theirs = Some((key, opener));
        let is_secure = formats.starts_with("RTP/SAVP ");
        is_secure.then_some(SocketAddr::new(ip, port.parse().ok()?))
    }

    pub(super) fn seal(&mut self, bytes: &mut Vec<u8>) {
        assert!(self.sealer.protect(bytes), "a handset writes RTP");
    }

    /// The decrypted packet, if it is valid.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut packet = bytes.to_vec();
        let (_, opener) = self.theirs.as_mut()?;
        opener.unprotect(&mut packet).is_ok().then_some(packet)
    }
}

impl fmt::Debug for SdesMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdesMedia(..)")
    }
}
