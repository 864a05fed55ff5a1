//! Percent escapes in URIs (RFC 3261 section 19.1.2).

use super::scan::is_token;

/// True if every `%` has its two digits.
pub(super) fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|tail| {
        let mut digits = tail.bytes().take(2);
        digits.next().is_some_and(|byte| byte.is_ascii_hexdigit())
            && digits.next().is_some_and(|byte| byte.is_ascii_hexdigit())
    })
}

/// Removes the escapes. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part
            .split_at_checked(2)
            .and_then(|(hex, tail)| Some((u8::from_str_radix(hex, 16).ok()?, tail)))
        {
            Some((byte, tail)) => {
                bytes.push(byte);
                bytes.extend_from_slice(tail.as_bytes());
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Escapes a user part (RFC 3261 section 25.1: unreserved and user-unreserved stay).
pub(super) fn escape(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte != b'%' && (is_token(byte) && byte != b'`' || b"()&=+$,?/".contains(&byte)) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(user in ".*") {
            let escaped = escape(&user);
            prop_assert!(has_whole_escapes(&escaped));
            prop_assert!(!escaped.contains(['@', ':', ';', '<', '>', ' ', '"']));
            prop_assert_eq!(unescape(&escaped), user);
        }
    }
}
