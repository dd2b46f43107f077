//! Aligned columns.

/// A table that is as wide as its contents.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Columns that hold numbers are aligned right.
    right: Vec<bool>,
}

impl Table {
    /// A table; a head that begins with `>` is of a column of numbers.
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self {
            right: head.iter().map(|name| name.starts_with('>')).collect(),
            head: head
                .iter()
                .map(|name| name.trim_start_matches('>'))
                .collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let head: Vec<String> = self.head.iter().map(|name| (*name).to_owned()).collect();
        let widths: Vec<usize> = (0..head.len())
            .map(|column| {
                std::iter::once(&head)
                    .chain(&self.rows)
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        std::iter::once(&head)
            .chain(&self.rows)
            .map(|row| {
                let cells: Vec<String> = row
                    .iter()
                    .zip(&widths)
                    .zip(&self.right)
                    .map(|((cell, width), right)| {
                        if *right {
                            format!("{cell:>width$}")
                        } else {
                            format!("{cell:<width$}")
                        }
                    })
                    .collect();
                cells.join("  ").trim_end().to_owned()
            })
            .collect()
    }
}

/// Names and values below each other.
pub(super) fn pairs(pairs: &[(&str, String)]) -> Vec<String> {
    let width = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<width$}  {value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_numbers_end_below_each_other() {
        let mut table = Table::new(&["ID", ">STEP", "STATUS"]);
        table.row(vec!["tr_1".into(), "5".into(), "queued".into()]);
        table.row(vec!["tr_22".into(), "1000".into(), "ok".into()]);
        assert_eq!(
            table.lines(),
            [
                "ID     STEP  STATUS",
                "tr_1      5  queued",
                "tr_22  1000  ok"
            ]
        );
    }

    #[test]
    fn what_has_no_value_is_left_out() {
        let lines = pairs(&[
            ("id", "tr_1".into()),
            ("gpu", String::new()),
            ("status", "x".into()),
        ]);
        assert_eq!(lines, ["id      tr_1", "status  x"]);
    }
}
