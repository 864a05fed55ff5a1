//! Medians, spreads and ratios, as text.

/// Several rounds of one figure, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that this share of the rounds did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "few rounds, and a part between 0 and 1"
        )]
        let index = (part * self.0.len().saturating_sub(1) as f64).round() as usize;
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }

    /// `median (least-most)`.
    pub(crate) fn shown(&self) -> String {
        let (least, most) = (self.quantile(0.0), self.quantile(1.0));
        let digits = if self.median() < 20.0 { 2 } else { 0 };
        format!(
            "{:.digits$} ({least:.digits$}-{most:.digits$})",
            self.median()
        )
    }

    /// The ratios of neighbouring rounds: what slows the machine down for a while slows both sides of such a ratio.
    pub(crate) fn over(&self, other: &Self) -> String {
        let ratios = self.0.iter().zip(&other.0).map(|(own, other)| own / other);
        Self(ratios.collect()).shown()
    }
}

/// Prints lines whose columns are as wide as their widest cell.
pub(crate) fn print(title: &str, rows: &[Vec<String>]) {
    println!("\n{title}");
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row: &Vec<String>| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        print_row(row, &widths);
    }
}

/// A table whose rows are printed one by one, as they are measured.
#[derive(Debug)]
pub(crate) struct Table {
    header: Option<Vec<String>>,
    widths: Vec<usize>,
}

impl Table {
    /// Prints the title. The first row determines the width of the columns.
    pub(crate) fn begin(title: &str, header: Vec<String>) -> Self {
        println!("\n{title}");
        Self {
            header: Some(header),
            widths: Vec::new(),
        }
    }

    /// Prints a row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        if let Some(header) = self.header.take() {
            let pairs = header.iter().zip(cells);
            let width = |cell: &String| cell.chars().count();
            self.widths = pairs
                .map(|(head, cell)| width(head).max(width(cell)))
                .collect();
            print_row(&header, &self.widths);
        }
        print_row(cells, &self.widths);
    }
}

fn print_row(cells: &[String], widths: &[usize]) {
    let cells = cells.iter().zip(widths);
    let cells: Vec<_> = cells
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    println!("  {}", cells.join("  ").trim_end());
}

/// A row of anything that can be displayed.
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}
pub(crate) use row;
