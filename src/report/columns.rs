//! Text in columns.

/// Rows of cells as lines: every column as wide as its widest cell, two spaces between. The first
/// column is flush left, the others flush right. Columns without any text are left out.
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| chars(cell)).max();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().filter(|(column, _)| widths[*column] > 0);
        let cells = cells.map(|(column, cell)| {
            let space = " ".repeat(widths[column] - chars(cell));
            if column == 0 { format!("{cell}{space}") } else { format!("{space}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn empty_columns_disappear() {
        let rows = [["", "steps", "", "loss"], ["sft", "7", "", "1 → 0.5"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), ["     steps     loss", "sft      7  1 → 0.5"]);
    }
}
