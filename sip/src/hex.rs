//! Lower-case hexadecimal, as digests, nonces and tags are written.

/// The bytes as two hexadecimal digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
