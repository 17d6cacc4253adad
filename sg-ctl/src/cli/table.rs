//! Tables of plain columns, without lines: for eyes and for `awk` alike.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::listing::Style;

/// A column: its heading, and whether it holds numbers, which stand right.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// Narrower terminals get lines that are too long rather than columns of single letters.
const NARROWEST: u16 = 40;

/// Draws a table. An empty cell is shown as `-`, so that every line has the same number of fields.
pub(crate) fn table(
    style: &Style,
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let width = style.width.filter(|width| *width >= NARROWEST);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(columns.iter().map(|column| match column {
        Column::Text(name) | Column::Number(name) => *name,
    }));
    for row in rows {
        table.add_row(
            row.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }),
        );
    }
    for (index, column) in columns.iter().enumerate() {
        if let Some(drawn) = table.column_mut(index) {
            drawn.set_padding((0, 2));
            if matches!(column, Column::Number(_)) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Lines of a name and a value, the values below each other.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [Column::Text("NAME"), Column::Number("PACKETS")];

    fn rows() -> Vec<Vec<String>> {
        let long = "a name that is far longer than the narrow terminal which it is shown on";
        vec![vec![long.into(), "7".into()], vec![String::new(), "1000000".into()]]
    }

    #[test]
    fn a_pipe_gets_one_line_a_row_and_no_blanks_at_the_end() {
        let text = table(&Style::default(), &COLUMNS, rows());
        assert_eq!(text.lines().count(), 3);
        assert!(
            text.lines().all(|line| line == line.trim_end() && !line.starts_with(' ')),
            "{text}"
        );
        assert!(text.lines().nth(2).unwrap().starts_with("- "));
        assert!(text.lines().nth(1).unwrap().ends_with(" 7"));
    }

    #[test]
    fn a_terminal_gets_what_fits_unless_it_is_too_narrow_for_any() {
        let at = |width| table(&Style { colours: false, width: Some(width) }, &COLUMNS, rows());
        assert!(at(60).lines().all(|line| line.chars().count() <= 60), "{}", at(60));
        assert_eq!(at(20), table(&Style::default(), &COLUMNS, rows()));
    }
}
