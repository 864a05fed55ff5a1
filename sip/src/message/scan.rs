//! A cursor over the bytes of one header value or URI: the few lexical rules of RFC 3261 section 25.1 that the typed
//! headers share. The only index that depends on input is one into a table of all 256 bytes, so no input causes a panic.

/// A cursor; every method moves it forward or leaves it where it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Steps over `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Steps over `byte` with white space on both sides of it, if it is next (SEMI, EQUAL, SLASH, COLON, COMMA).
    pub(crate) fn eat_padded(&mut self, byte: u8) -> bool {
        let before = *self;
        self.skip_space();
        if self.eat(byte) {
            self.skip_space();
            return true;
        }
        *self = before;
        false
    }

    pub(crate) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|&byte| !wanted(byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A token of at least one character.
    pub(crate) fn token(&mut self) -> Option<&'a str> {
        let taken = self.take_while(is_token);
        if taken.is_empty() {
            None
        } else {
            std::str::from_utf8(taken).ok()
        }
    }

    /// A quoted string with its quotes; the escapes stay as they are. `None` if it does not end.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let inside = self.rest.strip_prefix(b"\"")?;
        let mut escaped = false;
        let end = inside.iter().position(|&byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        let (text, rest) = self.rest.split_at_checked(end.checked_add(2)?)?;
        self.rest = rest;
        Some(text)
    }

    /// Everything up to `byte`, which is stepped over. `None`, and no move, if it does not come.
    pub(crate) fn until(&mut self, byte: u8) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&each| each == byte)?;
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Some(taken)
    }
}

/// SP or HTAB; line ends were taken out by unfolding.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Which bytes are token characters (RFC 3261 section 25.1).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        byte += 1;
    }
    table
};

/// A token character.
pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Removes the quotes and the backslash escapes of a quoted string; other text is returned unchanged.
pub(crate) fn unquote(text: &[u8]) -> Vec<u8> {
    let Some(inside) = text
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return text.to_vec();
    };
    let mut plain = Vec::with_capacity(inside.len());
    let mut escaped = false;
    for &byte in inside {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            plain.push(byte);
            escaped = false;
        }
    }
    plain
}

/// Writes text as a quoted string. Control characters become spaces, so that the text stays on its line.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push(' '),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads a decimal number of digits only: no sign, no space, no overflow.
pub(crate) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Removes white space at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|&byte| !is_space(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|&byte| !is_space(byte))
        .map_or(start, |last| last.saturating_add(1));
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_behind_a_backslash_does_not_end_the_string() {
        let mut scan = Scan::new(br#""a\"b\\" rest"#);
        assert_eq!(scan.quoted(), Some(&br#""a\"b\\""#[..]));
        assert_eq!(scan.rest(), b" rest");
        assert_eq!(unquote(br#""a\"b\\""#), br#"a"b\"#);
    }

    #[test]
    fn an_open_quote_is_refused_without_a_move() {
        let mut scan = Scan::new(br#""a\""#);
        assert_eq!(scan.quoted(), None);
        assert_eq!(scan.rest(), br#""a\""#);
    }

    #[test]
    fn quoting_keeps_a_line_whole() {
        assert_eq!(quote("a\"b\\\r\nVia: x"), "\"a\\\"b\\\\  Via: x\"");
    }

    #[test]
    fn numbers_have_no_sign_and_do_not_wrap() {
        assert_eq!(number::<u32>(b"0042"), Some(42));
        assert_eq!(number::<u32>(b"4294967296"), None);
        assert_eq!(number::<u32>(b"+1"), None);
        assert_eq!(number::<u32>(b""), None);
    }
}
