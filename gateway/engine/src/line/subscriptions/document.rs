//! What phones are shown: the documents of RFC 3842 and RFC 4235.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ringfence_sip as sip;

use crate::call::live::ShownDialog;
use crate::line::saved_state::{CallWay, MessagesWaiting};
use crate::output::CallLabel;

/// RFC 3842 section 5.2: missed calls as voice messages, since phones have an indicator for these, and texts (RFC 3458).
pub(super) fn summary(news: MessagesWaiting) -> sip::Body {
    let waiting = if news == MessagesWaiting::default() {
        "no"
    } else {
        "yes"
    };
    let MessagesWaiting { missed, texts } = news;
    sip::Body {
        content_type: "application/simple-message-summary".to_owned(),
        bytes: format!(
            "Messages-Waiting: {waiting}\r\nVoice-Message: {missed}/0\r\nText-Message: {texts}/0\r\n"
        )
        .into_bytes(),
    }
}

/// RFC 4235 section 4: the full state. Calls that are over since the last document are said to be so once, because some phones
/// forget none that is merely left out.
pub(super) fn dialog_info(
    entity: &str,
    version: u32,
    dialogs: &BTreeMap<CallLabel, ShownDialog>,
    before: &BTreeSet<CallLabel>,
    realm: &str,
) -> sip::Body {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" entity=\"{entity}\">\r\n"
    );
    // Writing to a string never fails.
    for (label, dialog) in dialogs {
        let direction = match dialog.way {
            CallWay::Out => "initiator",
            CallWay::In => "recipient",
        };
        let state = dialog.state;
        let _ = write!(
            xml,
            "<dialog id=\"{label}\" direction=\"{direction}\"><state>{state}</state>"
        );
        if let Some(number) = dialog.remote {
            let realm = sip::xml::escape(realm);
            let _ = write!(
                xml,
                "<remote><identity>sip:{number}@{realm}</identity></remote>"
            );
        }
        xml.push_str("</dialog>\r\n");
    }
    for label in before.iter().filter(|label| !dialogs.contains_key(label)) {
        let _ = write!(
            xml,
            "<dialog id=\"{label}\"><state>terminated</state></dialog>\r\n"
        );
    }
    xml.push_str("</dialog-info>\r\n");
    sip::Body {
        content_type: "application/dialog-info+xml".to_owned(),
        bytes: xml.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &sip::Body) -> String {
        String::from_utf8(written.bytes.clone()).expect("we wrote UTF-8")
    }

    #[test]
    fn a_summary_says_whether_something_waits_and_how_much() {
        assert!(text(&summary(MessagesWaiting::default())).starts_with("Messages-Waiting: no\r\n"));
        let some = text(&summary(MessagesWaiting {
            missed: 2,
            texts: 1,
        }));
        assert_eq!(
            some,
            "Messages-Waiting: yes\r\nVoice-Message: 2/0\r\nText-Message: 1/0\r\n"
        );
    }

    #[test]
    fn a_call_that_is_over_is_said_to_be_so_once() {
        let (over, on) = (CallLabel(1), CallLabel(2));
        let dialog = ShownDialog {
            state: "confirmed",
            way: CallWay::In,
            remote: None,
        };
        let dialogs = BTreeMap::from([(on, dialog)]);
        let xml = text(&dialog_info(
            "sip:a@b",
            7,
            &dialogs,
            &BTreeSet::from([over, on]),
            "b",
        ));
        assert!(xml.contains("version=\"7\" state=\"full\" entity=\"sip:a@b\""));
        assert!(xml.contains(
            "<dialog id=\"00000002\" direction=\"recipient\"><state>confirmed</state></dialog>"
        ));
        assert!(xml.contains("<dialog id=\"00000001\"><state>terminated</state></dialog>"));
        assert_eq!(xml.matches("terminated").count(), 1);
    }

    #[test]
    fn names_that_phones_choose_cannot_break_the_document() {
        assert_eq!(sip::xml::escape("a<b>&'\""), "a&lt;b&gt;&amp;&apos;&quot;");
    }
}
