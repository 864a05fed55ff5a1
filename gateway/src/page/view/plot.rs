//! Plots of a call's quality as SVG: one unit to the right is a second; a plot is at least a minute wide and at most five. It contains no
//! inline style, which the page's content security policy forbids; the style sheet colours it.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::stats::quality_history::{Quality, QualityCounts, QualityHistory};

/// Height of a plot in its own units.
const HEIGHT: f64 = 60.0;
/// Least width of a plot in seconds.
const LEAST_WIDTH: usize = 60;

/// A plot: its values, their range, and how one is written.
struct QualityPlot {
    name: &'static str,
    least: f64,
    most: f64,
    /// The range, as text.
    axis: &'static str,
    read: fn(&Quality) -> Option<f64>,
    say: fn(f64) -> String,
}

const PLOTS: [QualityPlot; 4] = [
    QualityPlot {
        name: "Quality (MOS)",
        least: 1.0,
        most: 4.5,
        axis: "1 to 4.5",
        read: |quality| quality.mos,
        say: |value| format!("{value:.1}"),
    },
    QualityPlot {
        name: "Lost",
        least: 0.0,
        most: 0.1,
        axis: "0 to 10 %",
        read: |quality| Some(quality.lost),
        say: |value| format!("{:.1} %", value * 100.0),
    },
    QualityPlot {
        name: "Lost before repair",
        least: 0.0,
        most: 0.3,
        axis: "0 to 30 %",
        read: |quality| Some(quality.lost_on_way),
        say: |value| format!("{:.1} %", value * 100.0),
    },
    QualityPlot {
        name: "Jitter",
        least: 0.0,
        most: 0.06,
        axis: "0 to 60 ms",
        read: |quality| Some(quality.jitter.as_secs_f64()),
        say: |value| format!("{:.1} ms", value * 1_000.0),
    },
];

/// All plots of a call.
pub(super) fn plots(curve: &QualityHistory) -> Markup {
    html! {
        div.plots {
            @for plot in &PLOTS { (plot.figure(curve)) }
        }
    }
}

impl QualityPlot {
    fn figure(&self, curve: &QualityHistory) -> Markup {
        let heard = self.last(curve.samples.back().map(|sample| sample.to_phone));
        let said = self.last(curve.samples.back().map(|sample| sample.from_phone));
        let width = curve.samples.len().max(LEAST_WIDTH);
        let span = format!("{}:{:02} min", width / 60, width % 60);
        let label = format!("{}: heard here {heard}, said here {said}", self.name);
        let lines = [
            (
                "said",
                self.points(curve.samples.iter().map(|sample| sample.from_phone)),
            ),
            (
                "heard",
                self.points(curve.samples.iter().map(|sample| sample.to_phone)),
            ),
        ];
        html! {
            figure {
                figcaption {
                    span.plot-name { (self.name) }
                    span.heard { "heard " b { (heard) } }
                    span.said { "said " b { (said) } }
                }
                svg.plot viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                    line.grid x1="0" x2=(width) y1=(HEIGHT / 2.0) y2=(HEIGHT / 2.0) {}
                    @for (class, points) in &lines { polyline class=(class) points=(points) {} }
                }
                p.scale aria-hidden="true" { span { (self.axis) } span { (span) } }
            }
        }
    }

    fn last(&self, second: Option<QualityCounts>) -> String {
        second
            .and_then(|second| (self.read)(&second.quality()))
            .map_or_else(|| "-".to_owned(), self.say)
    }

    /// The points of one direction. Seconds without a packet have none.
    fn points(&self, samples: impl Iterator<Item = QualityCounts>) -> String {
        let mut points = String::new();
        for (second, counts) in samples.enumerate() {
            if let Some(value) = (self.read)(&counts.quality()) {
                let share = ((value - self.least) / (self.most - self.least)).clamp(0.0, 1.0);
                // The stroke is two units wide, so values stay inside the edges.
                let y = HEIGHT - 1.5 - share * (HEIGHT - 3.0);
                // Writing to a string never fails.
                let _ = write!(points, "{second},{y:.1} ");
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use ringfence_media::stats::{RepairStats, StreamStats};

    use crate::stats::quality_history::QualitySample;

    fn curve(seconds: usize) -> QualityHistory {
        let quality = |jitter| {
            let now = StreamStats {
                passed: 49,
                lost: 1,
                jitter: Duration::from_millis(jitter),
                ..StreamStats::default()
            };
            QualityCounts::between(&StreamStats::default(), &now, RepairStats::default())
        };
        let mut curve = QualityHistory::default();
        for _ in 0..seconds {
            curve.samples.push_back(QualitySample {
                from_phone: quality(3),
                to_phone: quality(500),
            });
        }
        curve
    }

    #[test]
    fn each_second_is_a_point_inside_the_plot() {
        for seconds in [0, 1, 40] {
            let curve = curve(seconds);
            for plot in &PLOTS {
                let points = plot.points(curve.samples.iter().map(|sample| sample.to_phone));
                assert_eq!(points.split_whitespace().count(), seconds);
                for point in points.split_whitespace() {
                    let (x, y) = point.split_once(',').unwrap();
                    assert!(x.parse::<usize>().unwrap() < seconds.max(LEAST_WIDTH));
                    assert!((0.0..=HEIGHT).contains(&y.parse().unwrap()), "{point}");
                }
            }
        }
    }

    #[test]
    fn the_label_for_screen_readers_has_the_figures() {
        let text = plots(&curve(2)).into_string();
        assert!(
            text.contains("Quality (MOS): heard here 2.2, said here 4.2"),
            "{text}"
        );
        assert!(
            text.contains("Jitter: heard here 500.0 ms, said here 3.0 ms"),
            "{text}"
        );
        assert!(!text.contains("style="));
    }
}
