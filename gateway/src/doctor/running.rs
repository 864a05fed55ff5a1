//! What the running engine says of itself: its conditions, in its own words, and the phones that are registered.

use std::path::Path;

use super::finding::Finding;
use crate::page::client::{self, PageClientError};
use crate::stats::status::StatusReport;

/// The findings of the engine that runs on this state folder.
pub(super) async fn of_engine(state: &Path) -> Vec<Finding> {
    match client::status(state).await {
        Ok(status) => rows(&status),
        Err(PageClientError::NotRunning) => vec![Finding::warn(
            "phones",
            "unknown, because the status page of the running engine is turned off",
            "set page.listen and restart the engine",
        )],
        Err(error) => {
            let remedy = error.remedy();
            vec![Finding::warn("phones", error.to_string(), remedy)]
        }
    }
}

/// A finding for each condition, and one for each line that has phones: a line without one is a condition.
fn rows(status: &StatusReport) -> Vec<Finding> {
    let conditions = status.warnings.iter().map(|warning| {
        let area = format!("engine: {}", warning.kind);
        // A row adds a full stop.
        let remedy = warning.remedy.trim_end_matches('.');
        if warning.grave {
            Finding::fail(area, &warning.what, remedy)
        } else {
            Finding::warn(area, &warning.what, remedy)
        }
    });
    let served = status.lines.iter().filter(|line| !line.phones.is_empty());
    let lines = served.map(|line| {
        let area = format!("phones of line {}", line.number);
        Finding::ok(area, format!("{} registered", line.phones.len()))
    });
    conditions.chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn the_conditions_of_the_engine_are_findings_in_its_own_words() {
        let status = json!({
            "lines": [{ "number": 20_001, "phones": [] }, { "number": 20_002, "phones": [{}, {}] }],
            "warnings": [
                { "kind": "no_turn", "grave": true, "what": "There is no relayed address.", "remedy": "Look." },
                { "kind": "line_without_phone", "grave": false, "what": "No phone.", "remedy": "Set one up." },
            ],
        });
        let found = rows(&serde_json::from_value(status).unwrap());
        let verdicts: Vec<Severity> = found.iter().map(|row| row.verdict).collect();
        assert_eq!(verdicts, [Severity::Fail, Severity::Warn, Severity::Ok]);
        assert_eq!(found[0].area, "engine: no_turn");
        assert_eq!(
            (&found[0].says[..], &found[0].remedy[..]),
            ("There is no relayed address.", "Look")
        );
        assert!(found[2].says.contains('2'));
        assert!(rows(&StatusReport::default()).is_empty());
    }
}
