//! A text as a QR code in a terminal (ISO/IEC 18004), two modules above each other in one character.
//!
//! Colours are set, black on white, with the quiet zone of four modules that readers want: a dark and a light terminal show the same.
//! Without colours the light modules are the drawn ones, which is right where letters are light on dark.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of white around the code.
const QUIET: usize = 4;

/// Black letters on white, in colours that no theme changes (xterm's cube).
const PAPER: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// The code, a line for two rows of modules; `None` for a text that is too long for any.
pub(super) fn code(text: &str, in_colour: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let is_dark = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        let (row, column) = inside(row).zip(inside(column))?;
        (code[(column, row)] == Color::Dark).then_some(())
    };
    let side = width + 2 * QUIET;
    let row = |top: usize| {
        let cells: String = (0..side)
            .map(|column| {
                let (upper, lower) = (is_dark(top, column), is_dark(top + 1, column));
                half_block(upper.is_some() == in_colour, lower.is_some() == in_colour)
            })
            .collect();
        if in_colour {
            format!("{PAPER}{cells}{RESET}")
        } else {
            cells
        }
    };
    let rows: Vec<String> = (0..side).step_by(2).map(row).collect();
    Some(rows.join("\n"))
}

/// One character whose halves are drawn or left as they are.
fn half_block(upper: bool, lower: bool) -> char {
    match (upper, lower) {
        (true, true) => '\u{2588}',
        (true, false) => '\u{2580}',
        (false, true) => '\u{2584}',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dark modules as they are printed, without the colours.
    fn modules(printed: &str, in_colour: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in printed.lines() {
            let cells = line.replace(PAPER, "").replace(RESET, "");
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
            [true, false].map(|colour| modules(&code(text, colour).unwrap(), colour));
        let expected = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        let width = expected.width();
        for (row, cells) in dark.iter().enumerate().take(width + 2 * QUIET) {
            for (column, shown) in cells.iter().enumerate() {
                let inside = (QUIET..width + QUIET).contains(&row)
                    && (QUIET..width + QUIET).contains(&column);
                let is_dark = inside && expected[(column - QUIET, row - QUIET)] == Color::Dark;
                assert_eq!(*shown, is_dark, "{row} {column}");
                assert_eq!(light[row][column], is_dark, "{row} {column}");
            }
        }
    }

    #[test]
    fn a_text_that_no_code_holds_has_none() {
        assert!(code(&"x".repeat(4_000), true).is_none());
    }
}
