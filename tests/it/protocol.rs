//! `PROTOCOL.md` has every constant that crosses the wire, or that changes what the other side must do. This test reads the page's table
//! of constants and the sources, and compares them: each value of the table is the code's and stands in the section that explains it,
//! each constant of the rooms that make the protocol is in the table or in [`LOCAL`], and both have the same domain strings.
//!
//! Sources are read line by line, which is enough for code that rustfmt has formatted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../gateway/engine/PROTOCOL.md");

/// The heading of the section with the table.
const TABLE: &str = "Constants";

/// Files and folders whose constants all stand in the table, or in [`LOCAL`].
const ROOMS: [&str; 11] = [
    "gateway/engine/src/call/control.rs",
    "gateway/engine/src/call/slots.rs",
    "gateway/engine/src/config.rs",
    "gateway/engine/src/presence",
    "gateway/engine/src/sealed",
    "gateway/engine/src/trust",
    "media/src/bridge/pace.rs",
    "media/src/description",
    "media/src/far/datagrams.rs",
    "media/src/frame",
    "server/book/src",
];

/// Files with some constants of the protocol among others.
const OTHERS: [&str; 20] = [
    "gateway/engine/src/engine/missed_notes.rs",
    "gateway/engine/src/line/identity/mod.rs",
    "gateway/engine/src/line/saved_state.rs",
    "gateway/engine/src/restart/unsent.rs",
    "gateway/src/net/book/client.rs",
    "gateway/src/net/relay/connection.rs",
    "gateway/src/net/relay/link.rs",
    "gateway/src/net/relay/note_pages.rs",
    "gateway/src/net/relay/subscription.rs",
    "gateway/src/turn/servers.rs",
    "media/src/far/check_pace.rs",
    "media/src/far/early_packets.rs",
    "media/src/far/flight.rs",
    "media/src/far/held.rs",
    "media/src/far/mod.rs",
    "media/src/far/remotes.rs",
    "media/src/far/rtp_session.rs",
    "media/src/far/search.rs",
    "media/src/rtp.rs",
    "media/src/video/mod.rs",
];

/// Constants of the rooms that another engine need not know, each group with the reason.
const LOCAL: [(&str, &[&str]); 4] = [
    (
        "follows from others",
        &[
            "book/src/day.rs::SECONDS",
            "description/mod.rs::MAX_BYTES",
            "envelope/mod.rs::SEALED_LEN",
            "envelope/primitives.rs::TAG",
            "frame/blocks.rs::LONGEST",
            "frame/blocks.rs::REPEAT_HEADER",
            "rotation.rs::DAY",
            "rotation.rs::MEAN_LIFE",
            "step.rs::MAX_STEP",
            "turn_credentials.rs::DAY",
        ],
    ),
    (
        "how much this engine keeps",
        &[
            "history.rs::MOST_DAYS",
            "history.rs::MOST_NEWEST",
            "replaced.rs::ENTRY_BYTES",
            "sealed/contact_secret.rs::OLDEST",
            "sealed/proof_stock.rs::FULL",
            "sealed/proof_stock.rs::MOST",
            "sealed/proof_stock.rs::PER_INCOMING",
            "sealed/proof_stock.rs::PER_OUTGOING",
            "trust/contacts.rs::MOST_CONTACTS",
            "trust/contacts.rs::MOST_NAME",
            "trust/contacts.rs::MOST_UNSAVED",
            "trust/own_record.rs::REMEMBERED",
            "trust/secrets.rs::MOST_PAIRS",
            "trust/roots.rs::MOST_HEARD",
            "trust/roots.rs::MOST_TOLD",
        ],
    ),
    (
        "what its phones and its user see",
        &[
            "call/slots.rs::RETRY",
            "frame/numbers.rs::PAUSE",
            "frame/playout.rs::EARLY",
            "frame/playout.rs::EARLY_RUN",
            "frame/playout.rs::LEAST_MARGIN",
            "frame/playout.rs::LONGEST_ABSENCE",
            "frame/playout.rs::MOST_DELAY",
            "frame/playout.rs::MOST_MARGIN",
            "frame/playout.rs::MOST_SLOTS",
            "frame/playout.rs::RAMP",
            "frame/sender.rs::OVERDUE",
            "frame/slots.rs::PAUSE",
            "engine/src/config.rs::MAX_RINGS_PER_LINE",
            "engine/src/config.rs::REALM",
            "engine/src/config.rs::RINGS_FOR_CONTACTS",
            "engine/src/config.rs::SET_UP",
            "trust/own_record.rs::GRACE",
        ],
    ),
    (
        "what the phone book or a relay reads of a text",
        &[
            "code.rs::MAX_TEXT",
            "code.rs::PREFIX_BITS",
            "nostr_event.rs::MAX_EXPIRATION_DIGITS",
            "turn_credentials.rs::MAX_USERNAME",
            "turn_credentials.rs::RANDOM_BYTES",
        ],
    ),
];

/// A constant of the code: its type and its value as it is written.
#[derive(Clone, Debug)]
struct Constant {
    kind: String,
    value: String,
}

/// The constants of all files that are read, by `file::NAME`, the file from the top of the repository.
type Constants = BTreeMap<String, Constant>;

/// A row of the page's table.
#[derive(Debug)]
struct Row<'a> {
    value: &'a str,
    section: &'a str,
    name: &'a str,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files of a file or folder, with their text outside of tests.
fn sources(place: &Path, files: &mut Vec<(PathBuf, String)>) {
    if place.file_stem().is_some_and(|name| name == "tests") {
        return;
    }
    if place.is_dir() {
        for entry in fs::read_dir(place).expect("the folder can be read") {
            sources(&entry.expect("the entry can be read").path(), files);
        }
    } else if place.extension().is_some_and(|ending| ending == "rs") {
        let text = fs::read_to_string(place).expect("sources are text");
        files.push((place.to_owned(), outside_of_tests(&text)));
    }
}

/// The text up to the module of tests, which is the last item of a file.
fn outside_of_tests(text: &str) -> String {
    let mut lines = text.lines().peekable();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        let is_module = |next: &&str| next.contains("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(is_module) {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// The constants of these places.
fn constants(places: &[&str]) -> Constants {
    let mut files = Vec::new();
    for place in places {
        let place = root().join(place);
        assert!(place.exists(), "{} is gone", place.display());
        sources(&place, &mut files);
    }
    let mut found = Constants::new();
    for (path, text) in files {
        let file = path
            .strip_prefix(root())
            .unwrap_or(&path)
            .display()
            .to_string();
        for (name, constant) in definitions(&text) {
            found.insert(format!("{file}::{name}"), constant);
        }
    }
    found
}

/// The constants that a file defines, but for checks (`const _`) and values of types of the code.
fn definitions(text: &str) -> Vec<(String, Constant)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("const ") {
        let is_item = rest[..at].rsplit('\n').next().is_some_and(|before| {
            matches!(before.trim(), "" | "pub" | "pub(crate)" | "pub(super)")
        });
        rest = &rest[at + "const ".len()..];
        let item = rest.split_once('=').and_then(|(head, tail)| {
            let (name, kind) = head.split_once(": ")?;
            let value = tail.split(";\n").next()?;
            Some((name, kind.trim(), value))
        });
        let Some((name, kind, value)) = item.filter(|_| is_item) else {
            continue;
        };
        let plain = ["u8", "u16", "u32", "u64", "usize", "Duration", "&str"];
        let is_name = name
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '_' || letter.is_ascii_digit());
        if is_name && name != "_" && (plain.contains(&kind) || kind.starts_with("&[u8")) {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            let kind = kind.to_owned();
            found.push((name.to_owned(), Constant { kind, value }));
        }
    }
    found
}

/// The value of an expression of integers, as far as this code uses them; durations in milliseconds.
struct Expression<'a> {
    rest: &'a str,
    /// The constants of the file, and all others for those that it takes from elsewhere.
    file: &'a str,
    all: &'a Constants,
}

impl Expression<'_> {
    fn value(name: &str, all: &Constants) -> Option<u64> {
        let (file, _) = name.split_once("::")?;
        let text = all.get(name)?.value.clone();
        let mut expression = Expression {
            rest: &text,
            file,
            all,
        };
        let value = expression.sum()?;
        expression.rest.trim().is_empty().then_some(value)
    }

    fn sum(&mut self) -> Option<u64> {
        let mut value = self.product()?;
        loop {
            value = if self.take(" + ") {
                value + self.product()?
            } else if self.take(" - ") {
                value - self.product()?
            } else if self.take(" << ") {
                value << self.product()?
            } else {
                return Some(value);
            };
        }
    }

    fn product(&mut self) -> Option<u64> {
        let mut value = self.factor()?;
        while self.take(" * ") {
            value *= self.factor()?;
        }
        Some(value)
    }

    fn factor(&mut self) -> Option<u64> {
        let mut value = if self.take("(") {
            self.inner()?
        } else if self.take("Duration::from_secs(") {
            1_000 * self.inner()?
        } else if self.take("Duration::from_millis(") {
            self.inner()?
        } else {
            let part = |part: char| part.is_alphanumeric() || matches!(part, '_' | ':');
            let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            match word.chars().next()? {
                '0'..='9' => word.replace('_', "").parse().ok()?,
                _ => self.named(word.rsplit("::").next()?)?,
            }
        };
        self.take(" as usize");
        if self.take(".div_ceil(") {
            value = value.div_ceil(self.inner()?);
        }
        Some(value)
    }

    fn inner(&mut self) -> Option<u64> {
        let value = self.sum()?;
        self.take(")").then_some(value)
    }

    /// A constant of this file, or the only one of its name elsewhere.
    fn named(&self, name: &str) -> Option<u64> {
        let own = format!("{}::{name}", self.file);
        let ending = format!("::{name}");
        let name = if self.all.contains_key(&own) {
            Some(own)
        } else {
            let mut same = self.all.keys().filter(|other| other.ends_with(&ending));
            same.next().filter(|_| same.next().is_none()).cloned()
        };
        Self::value(&name?, self.all)
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// The sections of the page by their number, `5.1` for example, each up to the next heading of any kind.
fn sections(page: &str) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    let heads: Vec<usize> = page.match_indices("\n##").map(|(at, _)| at + 1).collect();
    for (index, start) in heads.iter().enumerate() {
        let end = heads.get(index + 1).copied().unwrap_or(page.len());
        let section = &page[*start..end];
        let number = section.trim_start_matches('#').split_whitespace().next();
        let number = number.unwrap_or_default().trim_end_matches('.');
        // A heading without a number belongs to the section before.
        if number.starts_with(|first: char| first.is_ascii_digit()) {
            found.insert(number, section);
        } else if let Some((number, section)) = found.clone().last_key_value() {
            let start = section.as_ptr() as usize - page.as_ptr() as usize;
            found.insert(*number, &page[start..end]);
        }
    }
    found
}

/// The rows of the page's table of constants.
fn rows(page: &str) -> Vec<Row<'_>> {
    let sections = sections(page);
    let is_table = |section: &&&str| {
        section
            .lines()
            .next()
            .is_some_and(|head| head.contains(TABLE))
    };
    let table = sections
        .values()
        .find(is_table)
        .copied()
        .unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [value, _, section, name] = cells[..] else {
            return None;
        };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        Some(Row {
            value,
            section,
            name,
        })
    });
    rows.collect()
}

/// The one constant whose name ends like this, at the beginning of a part of its path.
fn find<'a>(name: &str, all: &'a Constants) -> Result<(&'a str, &'a Constant), String> {
    let mut found = all.iter().filter(|(full, _)| {
        let before = full.strip_suffix(name);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    });
    let first = found.next().ok_or(format!("the code has no {name}"))?;
    match found.next() {
        None => Ok((first.0, first.1)),
        Some(second) => Err(format!("{name} is {} or {}", first.0, second.0)),
    }
}

/// Whether the page's value, such as `1,024 bytes` or `250 ms`, is the code's.
fn is_same(page: &str, name: &str, all: &Constants) -> Option<bool> {
    let constant = all.get(name)?;
    if let Some(text) = page.strip_prefix('`') {
        let text = text.strip_suffix('`')?;
        let value = constant.value.trim_start_matches('b').trim_matches('"');
        return Some(value == text);
    }
    let (number, unit) = page.split_once(' ').unwrap_or((page, ""));
    let number: u64 = number.replace(',', "").parse().ok()?;
    let value = Expression::value(name, all)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "days" => 86_400_000,
        "MiB" => return Some(value == number << 20),
        _ => return Some(value == number),
    };
    // Integers are seconds, unless the page or their name says another unit.
    let unit = match constant.kind.as_str() {
        "Duration" => 1,
        _ if name.ends_with("DAYS") => 86_400_000,
        _ if unit == "ms" => 1,
        _ => 1_000,
    };
    Some(number * millis == value * unit)
}

/// Whether a text has this value, and not as a part of a longer number or word.
fn says(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + value.len()..].chars().next();
        let is_part = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        let is_number = text[..at].ends_with([',', '.'])
            && text[..at - 1].ends_with(|last: char| last.is_ascii_digit());
        !is_part(before) && !is_part(after) && !is_number
    })
}

/// What is wrong with a row; `None` if nothing is.
fn flaw(row: &Row<'_>, page: &str, all: &Constants) -> Option<String> {
    let Row {
        value,
        section,
        name,
    } = row;
    let (full, constant) = match find(name, all) {
        Ok(found) => found,
        Err(error) => return Some(error),
    };
    match is_same(value, full, all) {
        None => return Some(format!("{name}: cannot compare {value} with {constant:?}")),
        Some(false) => {
            return Some(format!(
                "{name}: the page says {value}, the code {constant:?}"
            ));
        }
        Some(true) => {}
    }
    let Some(text) = sections(page).get(section).copied() else {
        return Some(format!("{name}: there is no section {section}"));
    };
    (!says(text, value.trim_matches('`')))
        .then(|| format!("{name}: section {section} does not say {value}"))
}

/// The domain strings in a text, after their opening quotes.
fn domains<'a>(text: &'a str, opening: &str) -> BTreeSet<&'a str> {
    let found = text
        .match_indices(opening)
        .map(|(at, _)| &text[at + opening.len()..]);
    found
        .filter_map(|rest| rest.split_once("\\0"))
        .map(|(domain, _)| domain)
        .collect()
}

#[test]
fn every_constant_of_the_page_is_the_codes_and_stands_in_its_section() {
    let all = constants(&[&ROOMS[..], &OTHERS].concat());
    let rows = rows(PAGE);
    assert!(rows.len() > 60, "only {} rows", rows.len());
    let flaws: Vec<_> = rows
        .iter()
        .filter_map(|row| flaw(row, PAGE, &all))
        .collect();
    assert!(flaws.is_empty(), "{flaws:#?}");
}

#[test]
fn every_constant_of_the_protocols_rooms_is_in_the_page_or_local() {
    let all = constants(&ROOMS);
    let local = LOCAL.iter().flat_map(|(_, names)| *names).copied();
    let rows = rows(PAGE);
    let named: Vec<&str> = rows
        .iter()
        .map(|row| row.name)
        .chain(local.clone())
        .collect();
    let gone: Vec<_> = local.filter_map(|name| find(name, &all).err()).collect();
    assert!(gone.is_empty(), "{gone:#?}");
    let known: BTreeSet<&str> = named
        .iter()
        .filter_map(|name| find(name, &all).ok())
        .map(|(full, _)| full)
        .collect();
    let is_domain = |constant: &Constant| constant.value.contains("ringfence/");
    let missing: Vec<_> = all
        .iter()
        .filter(|(full, constant)| !is_domain(constant) && !known.contains(full.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_page_has_the_codes_domain_strings_and_no_others() {
    let mut files = Vec::new();
    for place in ["gateway/engine/src", "media/src", "server/book/src"] {
        let place = root().join(place);
        sources(&place, &mut files);
    }
    let code: BTreeSet<&str> = files
        .iter()
        .flat_map(|(_, text)| domains(text, "b\"ringfence/"))
        .collect();
    let table = sections(PAGE)["7"];
    assert!(code.len() > 20, "{code:#?}");
    assert_eq!(domains(table, "`ringfence/"), code);
}

#[test]
fn what_differs_is_found() {
    let constant = |kind: &str, value: &str| Constant {
        kind: kind.to_owned(),
        value: value.to_owned(),
    };
    let all = Constants::from([
        (
            "a/b.rs::AGAIN".to_owned(),
            constant("Duration", "Duration::from_millis(250)"),
        ),
        ("a/b.rs::KEPT".to_owned(), constant("u64", "7 * 86_400")),
        ("a/b.rs::ALL".to_owned(), constant("usize", "2 * PART + 1")),
        (
            "a/c.rs::PART".to_owned(),
            constant("usize", "(1_024 - 4) as usize"),
        ),
        ("a/c.rs::NAME".to_owned(), constant("&str", "\"rf\"")),
    ]);
    let page = |row: &str| {
        format!(
            "# A\n\n## 1. Text\n250 ms, 7 days, 2,041 bytes, rf, 8 days.\n\n## 2. Constants\n{row}\n"
        )
    };
    for (row, wrong) in [
        ("| 250 ms | x | 1 | `b.rs::AGAIN` |", None),
        ("| 7 days | x | 1 | `b.rs::KEPT` |", None),
        ("| 2,041 bytes | x | 1 | `b.rs::ALL` |", None),
        ("| `rf` | x | 1 | `c.rs::NAME` |", None),
        ("| 251 ms | x | 1 | `b.rs::AGAIN` |", Some("the page says")),
        ("| 8 days | x | 1 | `b.rs::KEPT` |", Some("the page says")),
        ("| 604,800 s | x | 1 | `b.rs::KEPT` |", Some("does not say")),
        ("| 1,020 | x | 1 | `c.rs::PART` |", Some("does not say")),
        ("| 041 bytes | x | 1 | `b.rs::ALL` |", Some("the page says")),
        ("| 7 days | x | 3 | `b.rs::KEPT` |", Some("no section")),
        ("| 7 days | x | 1 | `b.rs::LOST` |", Some("has no")),
    ] {
        let page = page(row);
        let rows = rows(&page);
        assert_eq!(rows.len(), 1, "{row}");
        let flaw = flaw(&rows[0], &page, &all);
        let is_right = match (wrong, &flaw) {
            (None, None) => true,
            (Some(wrong), Some(flaw)) => flaw.contains(wrong),
            _ => false,
        };
        assert!(is_right, "{row}: {flaw:?}");
    }
    assert!(
        says("at 12 s.", "12 s") && !says("at 12 s.", "2 s") && !says("1,024 bytes", "24 bytes")
    );
    let text = "const A: u8 = 1;\n\n#[cfg(test)]\nmod tests {\n    const B: u8 = 2;\n}\n";
    let names: Vec<String> = definitions(&outside_of_tests(text))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["A"]);
}
