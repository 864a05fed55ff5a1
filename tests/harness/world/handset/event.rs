//! What happens at a handset.

/// Something that the user of the handset sees or hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandsetEvent {
    /// "Registered" on the display.
    Registered,
    /// The server refused the registration.
    NotRegistered(u16),
    /// It rings and displays this caller.
    Ringing {
        /// The user part of From.
        caller: String,
    },
    /// The caller has cancelled, with this Reason header.
    Cancelled {
        /// RFC 3326.
        reason: Option<String>,
    },
    /// Ringback.
    Ringback,
    /// The call was answered, here or there.
    Answered,
    /// The call was refused with this status.
    Refused(u16),
    /// The other side has hung up.
    HungUp,
    /// The other side's new offer, which this phone accepted.
    OfferAccepted,
    /// This phone's new offer was accepted.
    ReofferAccepted,
    /// This phone's new offer was refused with this status.
    ReofferRefused(u16),
    /// A text arrived.
    Text {
        /// The user part of From.
        from: String,
        /// The display name in From.
        name: Option<String>,
        /// The text.
        body: String,
    },
    /// The final status of this phone's text.
    TextStatus(u16),
    /// A NOTIFY of a subscription.
    Notified {
        /// The event package.
        package: String,
        /// The document.
        body: String,
    },
    /// Progress of this phone's transfer: a status line.
    TransferStatus(String),
    /// The other side pressed a key: the body of the INFO.
    Key(String),
}
