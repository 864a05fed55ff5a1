//! What an engine does when a TURN server refuses an Allocate request, and what it says of that: one row for each error code of
//! RFC 8656 section 19 and RFC 8489 section 14.8 that such a request can meet.
//!
//! A reply that names another server (300, RFC 8489 section 10) is not followed there: it may be forged, and the other side's permissions
//! cover the servers only that settings and phone book name. Those are in the same race.

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The next entry of the race is asked at once.
    NextServer,
    /// The same server is asked once more, from a new socket: the five-tuple belongs to another allocation there (RFC 8656 section 7.4).
    NewSocket,
    /// The same server is asked once more, for an IPv6 relayed address, unless the other side of the call has IPv4. IPv4 comes first, because most
    /// servers relay that, and both sides need one family.
    OtherFamily,
    /// The same server is asked once more, with another login (RFC 8656 section 7.4: the quota is that of a user name).
    OtherLogin,
}

/// Code, remedy, words.
const REFUSALS: [(u16, Remedy, &str); 10] = [
    // RFC 8489 section 10.
    (
        300,
        Remedy::NextServer,
        "it names another server, which is not used",
    ),
    // RFC 8489 section 9.2.5; the first 401 is the challenge, and does not come here.
    (401, Remedy::NextServer, "wrong login"),
    // RFC 8656 section 7.4.
    (403, Remedy::NextServer, "forbidden"),
    (
        437,
        Remedy::NewSocket,
        "the port is still in use by an older allocation",
    ),
    // RFC 8489 section 9.2.5. The TURN client repeats the request with the new nonce; a new socket has a new challenge.
    (438, Remedy::NewSocket, "the login's nonce is stale"),
    // RFC 8656 section 7.2.
    (
        440,
        Remedy::OtherFamily,
        "it does not relay over this kind of address or transport",
    ),
    // RFC 8656 section 5: the five-tuple is that of an allocation with another login.
    (441, Remedy::NewSocket, "wrong login"),
    // RFC 8656 section 7.2.
    (
        442,
        Remedy::NextServer,
        "it does not relay over this kind of address or transport",
    ),
    (
        486,
        Remedy::OtherLogin,
        "the quota of allocations is used up",
    ),
    // RFC 8656 section 7.4.
    (
        508,
        Remedy::NextServer,
        "it has no capacity or an error of its own",
    ),
];

/// What to do after a refusal with this code.
pub(super) fn remedy(code: u16) -> Remedy {
    let mut known = REFUSALS.iter();
    let found = known.find_map(|(known, remedy, _)| (*known == code).then_some(*remedy));
    found.unwrap_or(Remedy::NextServer)
}

/// What the code says.
pub(super) fn words(code: u16) -> &'static str {
    let mut known = REFUSALS.iter();
    let found = known.find_map(|(known, _, words)| (*known == code).then_some(*words));
    found.unwrap_or(match code {
        500..600 => "it has no capacity or an error of its own",
        _ => "the request",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_row_leads_to_the_next_server() {
        for code in [400, 420, 500, 699] {
            assert_eq!(remedy(code), Remedy::NextServer);
            assert!(!words(code).is_empty());
        }
        assert_eq!(remedy(440), Remedy::OtherFamily);
        assert_eq!(remedy(437), Remedy::NewSocket);
        assert_eq!(remedy(486), Remedy::OtherLogin);
    }
}
