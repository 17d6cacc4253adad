//! The report, for people.

use serde_json::Value;

use super::traffic::{Kind, Probe};

/// One line of the table.
pub(super) struct Row {
    pub(super) probe: Probe,
    /// Whether the policy allows it.
    pub(super) allowed: bool,
    /// What the client got.
    pub(super) got: Option<String>,
    /// The rule that decided.
    pub(super) decided: String,
}

impl Row {
    pub(super) fn as_expected(&self) -> bool {
        self.allowed == self.got.is_some()
    }
}

/// The rows, aligned.
pub(super) fn table(rows: &[Row]) -> String {
    let mut cells =
        vec![["", "what", "from", "to", "the client got", "decided by"].map(str::to_owned)];
    for row in rows {
        let what = match row.probe.kind {
            Kind::Http(port) => format!("HTTP, TCP {port}"),
            Kind::Udp(port) => format!("echo, UDP {port}"),
            Kind::Ping if row.probe.to.is_ipv4() => "ping, ICMP".to_owned(),
            Kind::Ping => "ping, ICMPv6".to_owned(),
        };
        let verdict = match (&row.got, row.as_expected()) {
            (Some(_), true) => "passed",
            (None, true) => "dropped",
            (Some(_), false) => "PASSED!",
            (None, false) => "LOST!",
        };
        cells.push([
            verdict.to_owned(),
            what,
            row.probe.from.to_string(),
            row.probe.to.to_string(),
            row.got.clone().unwrap_or_else(|| "no answer".to_owned()),
            row.decided.clone(),
        ]);
    }
    let width = |column: usize| {
        cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        text.push_str("  ");
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// What an explanation says of the rule that decided, in a few words.
pub(super) fn deciding_rule(explanation: &Value) -> String {
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let Some(rule) = explanation.get("rule").filter(|rule| rule.is_object()) else {
        return format!("no rule: {}", text(explanation, "reason"));
    };
    let what = match text(rule, "description") {
        described if !described.is_empty() => described,
        _ => format!("{} {}", text(rule, "action"), text(rule, "protocol")),
    };
    format!("{} {} \"{what}\" ({})", text(rule, "group"), text(rule, "direction"), text(rule, "id"))
}

/// A text, moved to the right.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
