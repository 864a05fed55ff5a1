//! A text as a QR code (ISO/IEC 18004), for a terminal and for the page. This file alone knows the crate `qrcode`.

use maud::{Markup, PreEscaped, html};
use qrcode::render::svg;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Black on white in colours that no theme changes (xterm's colour cube), so that dark and light terminals show the same.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// The code in half blocks, two rows of modules a line; `None` when no code can hold the text.
///
/// Without colours the light modules are the ones that are drawn, which is right where a terminal shows light letters on a dark background.
pub(crate) fn terminal(text: &str, in_colour: bool) -> Option<String> {
    let code = encode(text)?;
    let mut renderer = code.render::<Dense1x2>();
    if !in_colour {
        renderer
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark);
    }
    let image = renderer.module_dimensions(1, 1).build();
    if !in_colour {
        return Some(image);
    }
    let rows: Vec<String> = image
        .lines()
        .map(|row| format!("{BLACK_ON_WHITE}{row}{RESET}"))
        .collect();
    Some(rows.join("\n"))
}

/// The code as SVG within a page, dark on white also where the page is dark; `label` is what a screen reader says. `None` when no code
/// can hold the text.
pub(super) fn image(text: &str, label: &str) -> Option<Markup> {
    let code = encode(text)?;
    let image = code
        .render::<svg::Color<'_>>()
        .module_dimensions(1, 1)
        .build();
    // The crate writes a document of its own around the drawing. The page needs the drawing, with a label.
    let (_, drawing) = image.split_once("<rect")?;
    let drawing = format!("<rect{}", drawing.strip_suffix("</svg>")?);
    let side = code.width() + 2 * QUIET_ZONE;
    Some(html! {
        svg.qr viewBox={ "0 0 " (side) " " (side) } role="img" aria-label=(label) shape-rendering="crispEdges" {
            (PreEscaped(drawing))
        }
    })
}

/// White modules around a code, which readers need; the crate draws as many.
const QUIET_ZONE: usize = 4;

fn encode(text: &str) -> Option<QrCode> {
    QrCode::with_error_correction_level(text, EcLevel::M).ok()
}

#[cfg(test)]
mod tests {
    use qrcode::Color;

    use super::*;

    /// The dark modules as they are printed, without the colours.
    fn modules(printed: &str, in_colour: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in printed.lines() {
            let cells = line.replace(BLACK_ON_WHITE, "").replace(RESET, "");
            let drawn = |upper: bool| {
                cells.chars().map(move |cell| match cell {
                    '\u{2588}' => true,
                    '\u{2580}' => upper,
                    '\u{2584}' => !upper,
                    _ => false,
                } == in_colour)
            };
            rows.push(drawn(true).collect());
            rows.push(drawn(false).collect());
        }
        rows
    }

    #[test]
    fn both_ways_show_the_same_code_with_white_around_it() {
        let text = "http://127.0.0.1:9422/provision/0123456789abcdef";
        let [dark, light] =
            [true, false].map(|colour| modules(&terminal(text, colour).unwrap(), colour));
        let expected = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let width = expected.width();
        for (row, cells) in dark.iter().enumerate().take(width + 2 * QUIET_ZONE) {
            for (column, shown) in cells.iter().enumerate() {
                let inside = (QUIET_ZONE..width + QUIET_ZONE).contains(&row)
                    && (QUIET_ZONE..width + QUIET_ZONE).contains(&column);
                let is_dark =
                    inside && expected[(column - QUIET_ZONE, row - QUIET_ZONE)] == Color::Dark;
                assert_eq!(*shown, is_dark, "{row} {column}");
                assert_eq!(light[row][column], is_dark, "{row} {column}");
            }
        }
    }

    #[test]
    fn a_text_that_no_code_holds_has_none() {
        assert!(terminal(&"x".repeat(4_000), true).is_none());
    }

    #[test]
    fn a_code_has_its_label_and_a_quiet_zone() {
        let text = image("http://127.0.0.1:5080/p/x", "Scan me")
            .unwrap()
            .into_string();
        assert!(
            text.contains("aria-label=\"Scan me\"") && text.contains("M4 4h1v1H4V4"),
            "{text}"
        );
        assert!(!text.contains("M3 ") && !text.contains("style="));
        assert!(text.ends_with("</svg>") && !text.contains("<?xml"));
        assert!(image(&"x".repeat(9_000), "").is_none());
    }
}
