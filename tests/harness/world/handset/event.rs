//! What the person with a handset notices.

/// Something that the person with the handset sees or hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// "Registered" on the display.
    Registered,
    /// The server refused the registration.
    NotRegistered(u16),
    /// It rings, and the display shows this caller.
    Rings {
        /// The user part of From.
        caller: String,
    },
    /// It no longer rings: CANCEL, with the Reason header if there is one.
    Stopped {
        /// RFC 3326.
        reason: Option<String>,
    },
    /// Ringback.
    HearsRingback,
    /// The call is answered, by this person or by the other one.
    Talks,
    /// The call was refused with this status.
    Refused(u16),
    /// The other side has hung up.
    HungUp,
    /// A re-INVITE of this phone was accepted.
    Renewed,
    /// A re-INVITE of this phone was refused.
    NotRenewed(u16),
    /// A text came.
    Text {
        /// The user part of From.
        from: String,
        /// The display name in From.
        name: Option<String>,
        /// What it says.
        body: String,
    },
    /// What became of a text of this phone.
    TextDone(u16),
    /// A lamp changed, or something else that this phone watches.
    Told {
        /// The event package.
        package: String,
        /// The document.
        body: String,
    },
    /// How the transfer stands that its person asked for: a status line.
    Transfer(String),
    /// A key was pressed on the other side, told by INFO: its body.
    Key(String),
}
