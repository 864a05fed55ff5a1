//! What phones do differently.

use ringfence_media::Codec;

/// The differences between phones that matter to an engine.
#[derive(Clone, Copy, Debug)]
pub struct HandsetBehaviour {
    /// Allow-Events in REGISTER.
    pub allow_events: Option<&'static str>,
    /// Allow in INVITE and its responses.
    pub allow: Option<&'static str>,
    /// The status of its response to a NOTIFY outside a call.
    pub notify_status: u16,
    /// Whether it supports telephone events (RFC 4733).
    pub has_events: bool,
    /// Whether it lists G.722 as its second codec, and sends that where the other side's SDP lists it too.
    pub sends_g722: bool,
    /// Whether it lists G.722 first.
    pub prefers_g722: bool,
    /// The one codec that it has, if it has not both laws of G.711, of which it sends mu-law.
    pub only: Option<Codec>,
    /// The status by which it refuses an offer without that codec.
    pub refuses_by: u16,
    /// A media section that it offers before its sound, with what explains it.
    pub odd_section: &'static str,
    /// Whether its SDP has a host name in place of its address.
    pub names_its_host: bool,
    /// How it holds a call.
    pub holds_by: Hold,
    /// Whether it offers RTP/SAVP only, as Linphone does at first.
    pub offers_savp: bool,
    /// Whether it answers OPTIONS in a dialog that it does not know by 200 as any other, and not by 481 (RFC 3261 section 12.2.2).
    pub ignores_dialogs: bool,
    /// Whether it rings for a further call while it rings, and does not answer "busy here".
    pub rings_for_several: bool,
    /// Whether it sends new offers in UPDATE (RFC 3311) instead of re-INVITE.
    pub offers_by_update: bool,
}

/// How the SDP of a phone says that it holds a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `a=sendonly` (RFC 3264 section 8.4): it may play music.
    SendOnly,
    /// `a=inactive`.
    Inactive,
    /// `c=IN IP4 0.0.0.0` (RFC 2543), and no direction.
    ZeroAddress,
}

impl HandsetBehaviour {
    /// How every phone behaves at first.
    pub const PLAIN: Self = Self {
        allow_events: None,
        allow: None,
        notify_status: 200,
        has_events: true,
        sends_g722: false,
        prefers_g722: false,
        only: None,
        refuses_by: 488,
        odd_section: "",
        names_its_host: false,
        holds_by: Hold::SendOnly,
        offers_savp: false,
        ignores_dialogs: false,
        rings_for_several: false,
        offers_by_update: false,
    };
}
