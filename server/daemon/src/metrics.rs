//! Figures for a monitor, in the text format of Prometheus (version 0.0.4).
//!
//! A sheet is written anew for every reader, from what the program knows at that moment; nothing is kept here. Labels are words
//! of the program's own text (`&'static str`), so that no number, key or address can become one.

use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

/// The media type of [`Sheet::text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// A label and what it says.
type Label = [(&'static str, &'static str); 1];

/// One reading of all figures.
#[derive(Debug)]
pub struct Sheet(Registry);

/// How often a measure was at most so much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// Upper bounds and how many measures were at most that, and above the bound before. The last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all measures.
    pub sum: f64,
}

impl Sheet {
    /// An empty sheet; all names begin with `prefix` and an underscore.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self(Registry::with_prefix(prefix))
    }

    /// How many there are now. `help` is one sentence without its full stop.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.register(name, help, ConstGauge::new(value));
    }

    /// How many there are now, by `label`.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(&'static str, u64)],
    ) {
        let family = Family::<Label, Gauge>::default();
        for (word, value) in values {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            family.get_or_create(&[(label, *word)]).set(value);
        }
        self.0.register(name, help, family);
    }

    /// How many there were since the start; `_total` is added to the name.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstCounter::new(value));
    }

    /// How many there were since the start, by `label`; `_total` is added to the name.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(&'static str, u64)],
    ) {
        let family = Family::<Label, Counter>::default();
        for (word, value) in values {
            family.get_or_create(&[(label, *word)]).inc_by(*value);
        }
        self.0.register(name, help, family);
    }

    /// How a measure was spread since the start.
    pub fn spread(&mut self, name: &str, help: &str, spread: Spread) {
        self.0.register(name, help, spread);
    }

    /// The sheet as it is read.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0).expect("a text in memory takes everything");
        text
    }
}

impl EncodeMetric for Spread {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Spread {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use prometheus_parse::{Scrape, Value};

    use super::*;

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new("test");
        sheet.gauge("phones", "Phones at this moment", 3);
        sheet.gauges(
            "calls",
            "Calls, by state",
            "state",
            &[("ringing", 1), ("talking", 2)],
        );
        sheet.counter("envelopes", "Envelopes since the start", 7);
        sheet.counters(
            "dropped",
            "Dropped ones, by reason",
            "reason",
            &[("stale", 4)],
        );
        let buckets = vec![(0.01, 2), (f64::INFINITY, 1)];
        sheet.spread("jitter_seconds", "Jitter", Spread { buckets, sum: 0.5 });
        sheet
    }

    #[test]
    fn a_parser_of_another_hand_reads_what_was_written() {
        let text = sheet().text();
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scrape = Scrape::parse(lines).unwrap();
        let value = |name: &str, label: Option<(&str, &str)>| {
            let fits = |sample: &&prometheus_parse::Sample| {
                sample.metric == name
                    && label.is_none_or(|(key, word)| sample.labels.get(key) == Some(word))
            };
            scrape
                .samples
                .iter()
                .find(fits)
                .map(|sample| sample.value.clone())
        };
        assert_eq!(value("test_phones", None), Some(Value::Gauge(3.0)));
        assert_eq!(
            value("test_calls", Some(("state", "talking"))),
            Some(Value::Gauge(2.0))
        );
        assert_eq!(
            value("test_envelopes_total", None),
            Some(Value::Counter(7.0))
        );
        assert_eq!(
            value("test_dropped_total", Some(("reason", "stale"))),
            Some(Value::Counter(4.0))
        );
        let Some(Value::Histogram(counts)) = value("test_jitter_seconds", None) else {
            panic!("{text}")
        };
        let counts: Vec<_> = counts.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2.0, 3.0], "buckets add up");
    }

    #[test]
    fn every_figure_is_explained() {
        let text = sheet().text();
        let names = |kind: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(kind)?.split(' ').next())
                .count()
        };
        assert_eq!((names("# HELP "), names("# TYPE ")), (5, 5), "{text}");
    }
}
