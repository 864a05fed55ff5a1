//! The codecs that a call can carry, and the payload types that the far leg gives them (RFC 3551, RFC 7587, RFC 4733).
//! Nothing is transcoded.

/// One way to write sound, or key presses, into RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 µ-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722, 16 kHz sound with an 8 kHz clock.
    G722,
    /// Opus, 48 kHz clock.
    Opus,
    /// Key presses with an 8 kHz clock.
    Events8k,
    /// Key presses with a 48 kHz clock.
    Events48k,
}
