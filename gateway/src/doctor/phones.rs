//! Checks that phones are registered, by the status of the running engine.

use std::path::Path;

use super::finding::Finding;
use crate::page::client::{self, PageClientError};
use crate::stats::status::StatusReport;

/// A finding for each line of the engine that runs on this state folder.
pub(super) async fn registered(state: &Path) -> Vec<Finding> {
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

fn rows(status: &StatusReport) -> Vec<Finding> {
    status
        .lines
        .iter()
        .map(|line| {
            let area = format!("phones of line {}", line.number);
            match line.phones.len() {
                0 => Finding::warn(
                    area,
                    "none is registered: this line cannot be reached",
                    "set a phone up: ringfence lines --passwords, or --qr",
                ),
                count => Finding::ok(area, format!("{count} registered")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_line_without_a_phone_is_a_warning() {
        let status = json!({ "lines": [
            { "number": 20_001, "phones": [] },
            { "number": 20_002, "phones": [{}, {}] },
        ]});
        let found = rows(&serde_json::from_value(status).unwrap());
        let verdicts: Vec<Severity> = found.iter().map(|row| row.verdict).collect();
        assert_eq!(verdicts, [Severity::Warn, Severity::Ok]);
        assert!(found[1].says.contains('2'));
        assert!(rows(&StatusReport::default()).is_empty());
    }
}
