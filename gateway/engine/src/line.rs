//! A line: one identity, its number, and the SIP account that phones register with to use it.

use ringfence_phonebook::{Binding, Number};
use ringfence_sip as sip;

use crate::identity::Identity;

/// One number on this engine. Several phones may register to it; all of them ring.
#[derive(Debug)]
pub struct Line {
    /// The number that the phone book assigned.
    pub number: Number,
    /// The keys, the "SIM card".
    pub identity: Identity,
    /// The phone book's word that number and identity belong together; stapled to every ring.
    pub binding: Binding,
    /// The user name and password a phone registers with. Local to this machine: neither
    /// appears in anything that leaves it.
    pub account: sip::Account,
}
