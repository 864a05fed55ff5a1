//! What a phone is shown of the presence of a number: PIDF (RFC 3863) with the activity of RFC 4480.

use crate::sealed::presence::PresenceStatus;

/// The document about `entity`, which is escaped; "closed" for a number that is not known to be available, always in the same bytes.
pub(crate) fn pidf(entity: &str, presence: Option<PresenceStatus>) -> Vec<u8> {
    let basic = if presence.is_some() { "open" } else { "closed" };
    let (note, activity) = match presence {
        None => ("Offline", ""),
        Some(PresenceStatus::Available) => ("Available", ""),
        Some(PresenceStatus::OnThePhone) => ("On the phone", "<rpid:on-the-phone/>"),
        Some(PresenceStatus::DoNotDisturb) => ("Do not disturb", "<rpid:busy/>"),
    };
    let person = match activity {
        "" => String::new(),
        activity => format!(
            "<dm:person id=\"person\"><rpid:activities>{activity}</rpid:activities></dm:person>\r\n"
        ),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{entity}\">\r\n<tuple id=\"line\"><status><basic>{basic}</basic></status><note>{note}</note></tuple>\r\n\
         {person}</presence>\r\n"
    )
    .into_bytes()
}
