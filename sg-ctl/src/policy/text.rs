//! Words, names and numbers of the policy language: how the model's types are written and read.
//!
//! One spelling for each value: what [`std::fmt::Display`] writes is what [`std::str::FromStr`]
//! reads, and other spellings are refused with the right one as the mend.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::{Action, Direction, Hook, Mode, Name, Side};

/// A value that the language does not have: what is wrong with it and what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Malformed {
    /// What is wrong, with the text that was given.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Malformed {
    /// A refusal with its mend.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// Longest name of a group or prefix list, in bytes.
pub const NAME_MAX: usize = 63;

/// Longest description, in bytes of UTF-8.
pub const DESCRIPTION_MAX: usize = 255;

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let good = bytes.len() <= NAME_MAX
            && bytes.first().is_some_and(|b| allowed(*b))
            && bytes.iter().all(|b| allowed(*b) || matches!(b, b'.' | b'_' | b'-'));
        if good {
            return Ok(Self(text.into()));
        }
        if bytes.len() > NAME_MAX {
            return Err(Malformed::new(
                format!("a name has at most {NAME_MAX} characters, this one has {}", bytes.len()),
                "shorten it",
            ));
        }
        Err(Malformed::new(
            format!("{} is not a name", quoted(text)),
            "a name consists of a-z, 0-9, `.`, `_` and `-`, and starts with a letter or a digit",
        ))
    }
}

/// The text in double quotes, control characters made visible, cut where it gets long.
#[must_use]
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if i == LONGEST {
            out.push('…');
            break;
        }
        if c == '"' || c == '\\' || is_control(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

/// Whether a character may not stand in a description: it could move a terminal's cursor or turn
/// the order of what is shown.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Checks a description.
///
/// # Errors
/// It is longer than [`DESCRIPTION_MAX`] bytes or holds a control character.
pub fn check_description(text: &str) -> Result<(), Malformed> {
    if text.len() > DESCRIPTION_MAX {
        return Err(Malformed::new(
            format!(
                "a description has at most {DESCRIPTION_MAX} bytes, this one has {}",
                text.len()
            ),
            "shorten it",
        ));
    }
    if let Some(c) = text.chars().find(|c| is_control(*c)) {
        return Err(Malformed::new(
            format!("a description holds the control character U+{:04X}", u32::from(c)),
            "write it in one line of printable characters",
        ));
    }
    Ok(())
}

/// Checks the name of an interface by the kernel's rules (`dev_valid_name`).
///
/// # Errors
/// No device can have this name, or it is a pattern.
pub fn check_interface_name(text: &str) -> Result<(), Malformed> {
    if text.contains(['*', '?', '[', ']']) {
        return Err(Malformed::new(
            format!("{} is a pattern; this version has no patterns of interfaces", quoted(text)),
            "name each interface by itself",
        ));
    }
    let good = (1..16).contains(&text.len())
        && text != "."
        && text != ".."
        && !text.chars().any(|c| matches!(c, '/' | ':') || c.is_whitespace() || is_control(c));
    if good {
        return Ok(());
    }
    Err(Malformed::new(
        format!("{} is not the name of an interface", quoted(text)),
        "an interface has 1 to 15 bytes without `/`, `:` and blanks; see `ip link`",
    ))
}

/// Reads a number as the language writes it: decimal digits alone.
///
/// # Errors
/// A sign, blanks, leading zeros, anything that is no digit, or a value outside `low..=high`.
pub fn number(text: &str, what: &str, low: u32, high: u32) -> Result<u32, Malformed> {
    let range = || format!("{what} is a number from {low} to {high}");
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        let inner = text.trim().trim_start_matches('+');
        let help = match inner.parse::<u32>() {
            Ok(value) if (low..=high).contains(&value) && inner != text => {
                format!("write {value}, without sign and blanks")
            }
            _ => range(),
        };
        return Err(Malformed::new(format!("{} is not a whole number", quoted(text)), help));
    }
    if text.len() > 1 && text.starts_with('0') {
        let stripped = text.trim_start_matches('0');
        let stripped = if stripped.is_empty() { "0" } else { stripped };
        return Err(Malformed::new(
            format!("{} has leading zeros", quoted(text)),
            format!("write {}", &stripped[..stripped.len().min(10)]),
        ));
    }
    match text.parse::<u32>() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => {
            let shown = if text.len() > 20 { &text[..20] } else { text };
            Err(Malformed::new(format!("{what} {shown} is out of range"), range()))
        }
    }
}

/// Enumerations with one lower-case word for each value.
macro_rules! words {
    ($($type:ident, $what:literal: $($variant:ident = $word:literal),*;)*) => {$(
        impl $type {
            /// The word of the policy language and of listings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(not_a_word(text, $what, &[$($word),*])),
                }
            }
        }
    )*};
}

words! {
    Action, "an action": Allow = "allow", Deny = "deny";
    Mode, "a mode": Enforce = "enforce", Monitor = "monitor";
    Side, "a side": Host = "host", Guest = "guest";
    Hook, "a hook": Auto = "auto", Xdp = "xdp", XdpGeneric = "xdp-generic", Tc = "tc";
}

fn not_a_word(text: &str, what: &str, words: &[&str]) -> Malformed {
    let help = match words.iter().find(|word| word.eq_ignore_ascii_case(text.trim())) {
        Some(word) => format!("write \"{word}\""),
        None => format!("write {}", alternatives(words)),
    };
    Malformed::new(format!("{} is not {what}", quoted(text)), help)
}

/// `"a", "b" or "c"`.
#[must_use]
pub fn alternatives(words: &[&str]) -> String {
    let mut out = String::new();
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            out.push_str(if i + 1 == words.len() { " or " } else { ", " });
        }
        out.push('"');
        out.push_str(word);
        out.push('"');
    }
    out
}

/// Reads `ingress` or `egress`.
///
/// # Errors
/// Any other text.
pub fn direction(text: &str) -> Result<Direction, Malformed> {
    match text {
        "ingress" => Ok(Direction::Ingress),
        "egress" => Ok(Direction::Egress),
        "in" | "inbound" | "input" => {
            Err(Malformed::new(format!("{} is not a direction", quoted(text)), "write \"ingress\""))
        }
        "out" | "outbound" | "output" => {
            Err(Malformed::new(format!("{} is not a direction", quoted(text)), "write \"egress\""))
        }
        _ => Err(not_a_word(text, "a direction", &["ingress", "egress"])),
    }
}

/// Serde by way of the text form.
macro_rules! serde_as_text {
    ($($type:ty),* $(,)?) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(crate) use serde_as_text;

serde_as_text!(Name, Action, Mode, Side, Hook);

/// The name of an interface.
///
/// # Errors
/// As [`check_interface_name`].
pub fn interface_name(text: &str) -> Result<Arc<str>, Malformed> {
    check_interface_name(text).map(|()| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: FromStr<Err = Malformed> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().expect_err(text).to_string()
    }

    #[test]
    fn names_are_lower_case_and_bounded() {
        for good in ["a", "0", "web", "a.b_c-d", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for bad in ["", "-a", ".a", "_a", "Web", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_name_the_right_spelling() {
        assert!(refused::<Action>("Deny").ends_with("write \"deny\""));
        assert!(refused::<Hook>("xpd").contains("\"xdp-generic\" or \"tc\""));
        assert!(direction("in").unwrap_err().help.contains("ingress"));
        assert_eq!(direction("egress").unwrap(), Direction::Egress);
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        for good in ["eth0", "a", "exactly15bytes.", "tap-7_x", "ü"] {
            assert!(check_interface_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:1", "a b", "sixteen-bytes-xx", "a\tb"] {
            assert!(check_interface_name(bad).is_err(), "{bad}");
        }
        assert!(check_interface_name("veth*").unwrap_err().message.contains("pattern"));
    }

    #[test]
    fn descriptions_are_one_printable_line() {
        assert!(check_description(&"x".repeat(255)).is_ok());
        assert!(check_description(&"x".repeat(256)).is_err());
        assert!(check_description(&"ä".repeat(128)).is_err(), "bytes, not characters");
        for bad in ["a\nb", "a\tb", "\u{1b}[31m", "\u{7f}", "\u{85}", "\u{202e}x"] {
            assert!(check_description(bad).is_err(), "{bad:?}");
        }
    }
}
