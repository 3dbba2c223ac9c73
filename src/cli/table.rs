//! Text in columns, for reports that people read.

/// Rows of cells, padded so that columns line up. Numbers stand to the right.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table whose columns in `right` (from 0) are aligned to the right.
    pub(super) fn new(right: &[usize]) -> Table {
        Table { rows: Vec::new(), right: right.to_vec() }
    }

    /// Adds a row.
    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text, each line begun with `indent`, no blanks at line ends.
    pub(super) fn text(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (column, cell) in row.iter().enumerate() {
                let blanks = " ".repeat(widths[column] - cell.chars().count());
                let gap = if column == 0 { "" } else { "  " };
                match self.right.contains(&column) {
                    true => line.extend([gap, &blanks, cell]),
                    false => line.extend([gap, cell, &blanks]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// `text` broken at blanks into lines of at most `width` characters, each begun with `indent`.
pub(super) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let long = indent.chars().count() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && long > width {
            out.extend([indent, &line, "\n"]);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.extend([indent, &line, "\n"]);
    }
    out
}

/// A count with its thousands set apart: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure with four significant places, as a metric is read.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        size if value == 0.0 || (0.0001..10.0).contains(&size) => format!("{value:.4}"),
        size if (10.0..1e6).contains(&size) => format!("{value:.2}"),
        _ if value.is_finite() => format!("{value:.3e}"),
        _ => value.to_string(),
    }
}

/// A span of time as people say it: `0.8 s`, `12.3 s`, `4 min 10 s`, `2 h 5 min`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        ..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(&[1]);
        table.row(["loss", "0.1", ""]);
        table.row(["accuracy", "10.25", "x"]);
        assert_eq!(table.text(" "), " loss        0.1\n accuracy  10.25  x\n");
    }

    #[test]
    fn words_are_wrapped_and_a_long_word_stays_whole() {
        assert_eq!(wrapped("one two three", "  ", 9), "  one two\n  three\n");
        assert_eq!(wrapped("extraordinary", "", 5), "extraordinary\n");
        assert_eq!(wrapped("", "", 5), "");
    }

    #[test]
    fn figures_counts_and_times_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(figure(0.912_34), "0.9123");
        assert_eq!(figure(52_345.678), "52345.68");
        assert_eq!(figure(0.000_012), "1.200e-5");
        assert_eq!(figure(f64::NAN), "NaN");
        assert_eq!(seconds(0.84), "0.8 s");
        assert_eq!(seconds(250.0), "4 min 10 s");
        assert_eq!(seconds(7500.0), "2 h 5 min");
    }
}
