//! What can be listed, as text and as JSON.

use serde::Serialize;

/// Version of all JSON listings. Within one version fields are only added.
pub(crate) const SCHEMA: u32 = 1;

/// How text is to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Whether there may be colours.
    pub(crate) colours: bool,
    /// Columns of the terminal; `None` = not a terminal, lines are as long as they are.
    pub(crate) width: Option<u16>,
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
}

impl Style {
    /// The text in bold and in a colour, where there may be colours.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let number = match colour {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        format!("\x1b[1;{number}m{text}\x1b[0m")
    }
}

/// Something that a command lists.
pub(crate) trait Listing: Serialize {
    /// The text for people.
    fn text(&self, style: &Style) -> String;
}

/// A number of things in words.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A number of bytes, with one digit behind the point.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let (mut tenths, mut unit) = (u128::from(number) * 10 / 1024, 0);
    while tenths >= 10240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 20), "1.0 MiB");
        assert_eq!(bytes(5 << 40), "5.0 TiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }

    #[test]
    fn colours_only_where_they_may_be() {
        assert_eq!(Style::default().paint(Colour::Red, "x"), "x");
        let style = Style { colours: true, width: None };
        assert_eq!(style.paint(Colour::Red, "x"), "\x1b[1;31mx\x1b[0m");
    }
}
