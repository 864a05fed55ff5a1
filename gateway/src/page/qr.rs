//! QR codes as SVG, for a camera: dark on white also where the page is dark. This file alone knows `qrcode`.

use std::fmt::Write as _;

use maud::{Markup, html};
use qrcode::{Color, EcLevel, QrCode};

/// The quiet zone around a code, in modules (ISO/IEC 18004).
const QUIET: usize = 4;

/// A code of this text; `label` is for those who do not see it. `None` when the text is too long for one.
pub(in crate::page) fn code(text: &str, label: &str) -> Option<Markup> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, whole) = (code.width(), code.width() + 2 * QUIET);
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (index % width + QUIET, index / width + QUIET);
            // Writing to a string never fails.
            let _ = write!(path, "M{x} {y}h1v1h-1z");
        }
    }
    Some(html! {
        svg.qr viewBox={ "0 0 " (whole) " " (whole) } role="img" aria-label=(label) shape-rendering="crispEdges" {
            rect width=(whole) height=(whole) fill="#fff" {}
            path d=(path) fill="#000" {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_label_and_a_quiet_zone() {
        let text = code("http://127.0.0.1:5080/p/x", "Scan me")
            .unwrap()
            .into_string();
        assert!(text.contains("aria-label=\"Scan me\"") && text.contains("M4 4h1v1h-1z"));
        assert!(!text.contains("M3 ") && !text.contains("style="));
        assert!(code(&"x".repeat(9_000), "").is_none());
    }
}
