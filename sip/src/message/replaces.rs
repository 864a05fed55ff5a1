//! The Replaces header (RFC 3891 section 6.1), which identifies the dialog that a call replaces; also escaped in Refer-To.

use super::params::Params;
use super::scan::{Scan, is_space, trim};

/// A Replaces value, from the side of its receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Replaces {
    /// The Call-ID of the dialog.
    pub call_id: String,
    /// The receiver's own tag in it.
    pub to_tag: String,
    /// The other side's tag.
    pub from_tag: String,
    /// Only if the dialog was not confirmed yet (`early-only`).
    pub is_early_only: bool,
}

impl Replaces {
    /// Reads a value. `None` without both tags.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut scan = Scan::new(trim(value));
        let call_id =
            scan.take_while(|byte| !is_space(byte) && byte.is_ascii_graphic() && byte != b';');
        let call_id = std::str::from_utf8(call_id)
            .ok()
            .filter(|id| !id.is_empty())?;
        let params = Params::read(&mut scan).filter(|_| scan.is_done())?;
        let tag = |name| {
            params
                .get(name)
                .filter(|tag| !tag.is_empty())
                .map(|tag| tag.into_owned())
        };
        Some(Self {
            call_id: call_id.to_owned(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            is_early_only: params.has("early-only"),
        })
    }
}

impl std::fmt::Debug for Replaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replaces(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tags_are_needed() {
        let replaces =
            Replaces::parse(b" 98732@h ;from-tag=r33th4x0r ; to-tag=ff87ff;early-only").unwrap();
        assert_eq!(
            (
                replaces.call_id.as_str(),
                replaces.to_tag.as_str(),
                replaces.from_tag.as_str()
            ),
            ("98732@h", "ff87ff", "r33th4x0r")
        );
        assert!(replaces.is_early_only);
        for bad in [
            "",
            "c",
            "c;to-tag=1",
            "c;from-tag=1;to-tag=",
            ";to-tag=1;from-tag=2",
            "c d;to-tag=1;from-tag=2",
        ] {
            assert_eq!(Replaces::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
