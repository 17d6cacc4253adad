//! What the JSON listings say: the one place that knows their fields.

use std::collections::HashMap;

use serde_json::Value;

use crate::sg::Sg;

/// Counters of one moment.
#[derive(Clone, Debug)]
pub struct Stats(pub Value);

impl Sg {
    /// Reads all counters.
    ///
    /// # Panics
    /// If the command fails.
    #[must_use]
    #[track_caller]
    pub fn stats(&self) -> Stats {
        Stats(self.run("stats -o json").ok().json())
    }

    /// Reads the status.
    ///
    /// # Panics
    /// If the command fails.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Value {
        self.run("status -o json").ok().json()
    }

    /// The generation in force.
    ///
    /// # Panics
    /// If the command fails.
    #[must_use]
    #[track_caller]
    pub fn generation(&self) -> u64 {
        number(&self.status(), "generation")
    }

    /// Ids of all rules by their descriptions.
    ///
    /// # Panics
    /// If the command fails.
    #[must_use]
    #[track_caller]
    pub fn rules_by_description(&self) -> HashMap<String, String> {
        let rules = self.run("rule list -o json").ok().json();
        list(&rules, "rules")
            .iter()
            .map(|rule| (text(rule, "description").to_owned(), text(rule, "id").to_owned()))
            .collect()
    }

    /// Asks for a verdict: the words behind `explain`.
    ///
    /// # Panics
    /// If the command fails.
    #[must_use]
    #[track_caller]
    pub fn explain(&self, line: &str) -> Value {
        self.run(&format!("explain -o json {line}")).ok().json()
    }
}

/// A number in an object.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number `{field}` in {value}"))
}

/// A text in an object.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}

/// A list in an object.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("no list `{field}` in {value}"))
}

impl Stats {
    /// Packets that the rule decided and that were treated so.
    #[must_use]
    #[track_caller]
    pub fn rule(&self, id: &str) -> u64 {
        self.rule_field(id, "packets")
    }

    /// Layer-3 bytes of those packets.
    #[must_use]
    #[track_caller]
    pub fn rule_bytes(&self, id: &str) -> u64 {
        self.rule_field(id, "bytes")
    }

    /// Packets that the rule would have dropped if the mode were `enforce`.
    #[must_use]
    #[track_caller]
    pub fn rule_would_deny(&self, id: &str) -> u64 {
        self.rule_field(id, "would_deny_packets")
    }

    fn rule_field(&self, id: &str, field: &str) -> u64 {
        list(&self.0, "rules")
            .iter()
            .filter(|rule| rule["id"] == id)
            .map(|rule| number(rule, field))
            .sum()
    }

    /// Packets on an interface with this reason, enforced.
    #[must_use]
    #[track_caller]
    pub fn reason(&self, interface: &str, direction: &str, reason: &str) -> u64 {
        self.reason_field(interface, direction, reason, false)
    }

    /// Packets that monitor mode let pass and that would have been dropped with this reason.
    #[must_use]
    #[track_caller]
    pub fn would(&self, interface: &str, direction: &str, reason: &str) -> u64 {
        self.reason_field(interface, direction, reason, true)
    }

    fn reason_field(&self, interface: &str, direction: &str, reason: &str, would: bool) -> u64 {
        list(&self.0, "interfaces")
            .iter()
            .filter(|entry| {
                entry["interface"] == interface
                    && entry["direction"] == direction
                    && entry["reason"] == reason
                    && entry["would"] == would
            })
            .map(|entry| number(entry, "packets"))
            .sum()
    }

    /// Every counter of reasons in a direction, for messages.
    #[must_use]
    #[track_caller]
    pub fn all(&self, direction: &str) -> Vec<(String, u64)> {
        list(&self.0, "interfaces")
            .iter()
            .filter(|entry| entry["direction"] == direction)
            .map(|entry| {
                let would = if entry["would"] == true { "would " } else { "" };
                (format!("{would}{}", text(entry, "reason")), number(entry, "packets"))
            })
            .collect()
    }
}
