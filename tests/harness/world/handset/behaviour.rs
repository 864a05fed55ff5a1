//! What phones differ in.

/// How phones of different makes differ.
#[derive(Clone, Copy, Debug)]
pub struct Make {
    /// What it lists in Allow-Events when it registers.
    pub allow_events: Option<&'static str>,
    /// What it lists in Allow when it calls or is called.
    pub allow: Option<&'static str>,
    /// What it answers to a NOTIFY that belongs to no call.
    pub notify_status: u16,
    /// Whether it knows telephone events (RFC 4733).
    pub has_events: bool,
    /// How it holds a call.
    pub holds_by: Hold,
    /// Whether it offers its sound encrypted only (RTP/SAVP, as Linphone does first).
    pub offers_savp: bool,
    /// Whether it offers anew by UPDATE (RFC 3311) instead of re-INVITE.
    pub offers_by_update: bool,
}

/// What the SDP of a phone says that holds a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// `a=sendonly` (RFC 3264 section 8.4): it may play music.
    SendOnly,
    /// `a=inactive`.
    Inactive,
    /// `c=IN IP4 0.0.0.0` (RFC 2543), and no direction.
    ZeroAddress,
}

impl Make {
    /// What every phone is at first.
    pub const PLAIN: Self = Self {
        allow_events: None,
        allow: None,
        notify_status: 200,
        has_events: true,
        holds_by: Hold::SendOnly,
        offers_savp: false,
        offers_by_update: false,
    };
}
