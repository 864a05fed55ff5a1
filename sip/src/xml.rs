//! Text for the XML bodies that phones read: event documents (RFC 3863, RFC 4235) and files of settings (XML 1.0 section 2.2).
//!
//! The core reads and writes no XML itself; its callers do, and all of them escape by the same rule.

/// Escapes text for the content of an element or for an attribute in either kind of quotes.
///
/// A control character becomes a space, and so do the two code points U+FFFE and U+FFFF: XML 1.0 can not write most of them
/// even as a reference, and a line end in an attribute would be read as a space anyway.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push(' '),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_loses_its_meaning() {
        assert_eq!(escape("a<b>&'\""), "a&lt;b&gt;&amp;&apos;&quot;");
        assert_eq!(escape("&amp;"), "&amp;amp;");
    }

    #[test]
    fn a_character_that_xml_does_not_allow_becomes_a_space() {
        assert_eq!(escape("a\0b\u{1b}c\u{FFFE}d\u{FFFF}e"), "a b c d e");
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(escape("Desk\r\nevil\t"), "Desk  evil ");
    }

    #[test]
    fn letters_of_all_scripts_pass() {
        assert_eq!(
            escape("J\u{fc}rgen \u{4e2d} \u{1F600}"),
            "J\u{fc}rgen \u{4e2d} \u{1F600}"
        );
    }
}
