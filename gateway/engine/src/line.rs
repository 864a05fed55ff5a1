//! A line: one identity and the SIP account that phones register with to use it.

use ringfence_sip as sip;

use crate::identity::Identity;

/// One number on this engine. Several phones may register to it; all of them ring.
#[derive(Debug)]
pub struct Line {
    /// The keys and number, the "SIM card".
    pub identity: Identity,
    /// The user name and password a phone registers with. Local to this machine: neither
    /// appears in anything that leaves it.
    pub account: sip::Account,
}
