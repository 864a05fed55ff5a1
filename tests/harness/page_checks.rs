//! Checks of a page in a real browser: contrast, structure and names for screen readers (WCAG 2.2). What a page says is for its test.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::devtools::Devtools;

/// Texts whose contrast with their background is below 4.5 (WCAG 2.2, 1.4.3).
const LOW_CONTRAST: &str = r#"(() => {
  const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const read = (text) => text.match(/[\d.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = read(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest(".unseen, .skip, svg")) continue;
    const [a, b] = [light(read(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) pale.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return pale;
})()"#;

/// Whether a page is accessible to screen readers: one `h1`, landmarks, no skipped level of headings, and heads for every table.
const STRUCTURE_FAULTS: &str = r#"(() => {
  const wrong = [];
  for (const one of ["h1", "main", "header", "footer", "nav[aria-label]", "[role=status]", "html[lang]", "title"])
    if (document.querySelectorAll(one).length !== 1) wrong.push(`not one ${one}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) wrong.push(`after h${level} comes ${heading.outerHTML}`);
    level = own;
  }
  for (const table of document.querySelectorAll("table"))
    if ([...table.querySelectorAll("th")].some((head) => !head.scope)) wrong.push("a head without scope");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`twice ${id}`);
  for (const label of document.querySelectorAll("label")) if (!label.control) wrong.push(`label of nothing: ${label.textContent}`);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
  return wrong;
})()"#;

/// The folder for screenshots of the page.
pub fn screenshots() -> PathBuf {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "target", "status-page"]
        .iter()
        .collect();
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// Checks a page in both colour schemes and its accessibility.
pub fn check_page(browser: &mut Devtools, name: &str) {
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        assert_eq!(
            browser.evaluate(LOW_CONTRAST),
            Value::Array(vec![]),
            "{name}, {scheme}"
        );
        browser.picture(&screenshots().join(format!("{name}-{scheme}.png")));
    }
    check_structure(browser, name);
    for (role, label) in browser.accessible() {
        let must_be_named = [
            "button", "switch", "link", "textbox", "combobox", "image", "checkbox", "region",
        ];
        assert!(
            !must_be_named.contains(&role.as_str()) || !label.is_empty(),
            "{name} has a nameless {role}"
        );
    }
}

/// Checks headings, landmarks, labels, ids and width of a page.
pub fn check_structure(browser: &mut Devtools, name: &str) {
    assert_eq!(
        browser.evaluate(STRUCTURE_FAULTS),
        Value::Array(vec![]),
        "{name}"
    );
}
