//! `sg-ctl status`.

use std::sync::Arc;

use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Colour, Listing, Style, bytes, count};
use super::table::{Column, pairs, table};
use crate::host::{self, Health, InterfaceStatus};
use crate::policy::model::Name;

/// Show what is enforced, and whether it is healthy
///
/// Health is `good`; `degraded` where something needs a look, such as a foreign program in front of
/// the filter; or `not-enforced` where an interface of the state is not filtered.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl status
  sg-ctl status -o json | jq -e '.health == \"good\"'")]
pub(crate) struct Args {}

/// The answer of `status`.
#[derive(Debug, Serialize)]
struct Status {
    generation: u64,
    health: &'static str,
    problems: Vec<String>,
    interfaces: Vec<Interface>,
    groups: usize,
    rules: usize,
    prefix_lists: usize,
    prefix_entries: usize,
    blocked_addresses: usize,
    blocked_prefix_lists: usize,
    image_bytes: u64,
    map_bytes: u64,
    connections: u64,
    connections_max: u64,
}

#[derive(Debug, Serialize)]
struct Interface {
    name: Arc<str>,
    /// Name of the device now; `null` without one.
    device: Option<String>,
    index: Option<u32>,
    groups: Vec<Name>,
    mode: &'static str,
    side: &'static str,
    /// As asked for.
    hook: &'static str,
    /// Where packets that the device receives are judged; `null` = nowhere.
    device_ingress: Option<&'static str>,
    /// Where packets that the device sends are judged; `null` = nowhere.
    device_egress: Option<&'static str>,
    rules: usize,
    notes: Vec<String>,
}

impl From<InterfaceStatus> for Interface {
    fn from(status: InterfaceStatus) -> Self {
        Self {
            name: status.name,
            device: status.device,
            index: status.index,
            groups: status.groups,
            mode: status.mode.name(),
            side: status.side.name(),
            hook: status.hook.name(),
            device_ingress: status.device_ingress,
            device_egress: status.device_egress,
            rules: status.rules,
            notes: status.notes,
        }
    }
}

impl From<host::Status> for Status {
    fn from(status: host::Status) -> Self {
        let (health, problems) = match status.health {
            Health::Good => ("good", Vec::new()),
            Health::Degraded(problems) => ("degraded", problems),
            Health::NotEnforced(problems) => ("not-enforced", problems),
        };
        Self {
            generation: status.generation,
            health,
            problems,
            interfaces: status.interfaces.into_iter().map(Interface::from).collect(),
            groups: status.groups,
            rules: status.rules,
            prefix_lists: status.prefix_lists,
            prefix_entries: status.prefix_entries,
            blocked_addresses: status.blocked_addresses,
            blocked_prefix_lists: status.blocked_lists,
            image_bytes: status.image_bytes,
            map_bytes: status.map_bytes,
            connections: status.connections,
            connections_max: status.connections_max,
        }
    }
}

impl Listing for Status {
    fn text(&self, style: &Style) -> String {
        let colour = match self.health {
            "good" => Colour::Green,
            "degraded" => Colour::Yellow,
            _ => Colour::Red,
        };
        let memory =
            format!("policies {}, tables {}", bytes(self.image_bytes), bytes(self.map_bytes));
        let mut out = pairs(&[
            ("generation", self.generation.to_string()),
            ("health", style.paint(colour, self.health)),
            ("interfaces", self.interfaces.len().to_string()),
            ("groups", self.groups.to_string()),
            ("rules", self.rules.to_string()),
            ("prefix lists", format!("{} ({} entries)", self.prefix_lists, self.prefix_entries)),
            (
                "blocked",
                format!(
                    "{} and {}",
                    count(self.blocked_addresses, "address or network", "addresses and networks"),
                    count(self.blocked_prefix_lists, "prefix list", "prefix lists")
                ),
            ),
            ("memory", memory),
            ("connections", format!("{} of {}", self.connections, self.connections_max)),
        ]);
        for problem in &self.problems {
            out.push_str(&format!("{} {problem}\n", style.paint(colour, "!")));
        }
        if !self.interfaces.is_empty() {
            out.push('\n');
            out.push_str(&interfaces(style, &self.interfaces));
        }
        // Most notes are among the problems already.
        let notes = self.interfaces.iter().flat_map(|i| i.notes.iter().map(move |n| (i, n)));
        for (interface, note) in notes {
            if !self.problems.iter().any(|problem| problem.contains(note.as_str())) {
                out.push_str(&format!("{}: {note}\n", interface.name));
            }
        }
        out
    }
}

fn interfaces(style: &Style, interfaces: &[Interface]) -> String {
    const COLUMNS: [Column; 9] = [
        Column::Text("INTERFACE"),
        Column::Text("DEVICE"),
        Column::Text("GROUPS"),
        Column::Text("MODE"),
        Column::Text("SIDE"),
        Column::Text("HOOK"),
        Column::Text("RECEIVES"),
        Column::Text("SENDS"),
        Column::Number("RULES"),
    ];
    let or_dash = |hook: Option<&str>| hook.unwrap_or_default().to_owned();
    table(
        style,
        &COLUMNS,
        interfaces.iter().map(|interface| {
            let groups: Vec<&str> = interface.groups.iter().map(Name::as_str).collect();
            vec![
                interface.name.to_string(),
                interface.device.clone().unwrap_or_default(),
                groups.join(","),
                interface.mode.to_owned(),
                interface.side.to_owned(),
                interface.hook.to_owned(),
                or_dash(interface.device_ingress),
                or_dash(interface.device_egress),
                interface.rules.to_string(),
            ]
        }),
    )
}

pub(crate) fn run(context: &Context, _: &Args) -> anyhow::Result<Reply> {
    let status = context.host()?.status()?;
    context.reply(&Status::from(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::golden;
    use crate::policy::model::{Hook, Mode, Side};

    fn sample(health: Health) -> host::Status {
        let name = |text: &str| text.parse::<Name>().unwrap();
        host::Status {
            generation: 41,
            health,
            interfaces: vec![
                InterfaceStatus {
                    name: "eth0".into(),
                    device: Some("eth0".into()),
                    index: Some(2),
                    groups: vec![name("web"), name("admin")],
                    mode: Mode::Enforce,
                    side: Side::Host,
                    hook: Hook::Auto,
                    device_ingress: Some("xdp"),
                    device_egress: Some("tcx"),
                    rules: 7,
                    notes: Vec::new(),
                },
                InterfaceStatus {
                    name: "tap7".into(),
                    device: None,
                    index: None,
                    groups: Vec::new(),
                    mode: Mode::Monitor,
                    side: Side::Guest,
                    hook: Hook::Tc,
                    device_ingress: None,
                    device_egress: None,
                    rules: 0,
                    notes: vec!["it has no device yet".into()],
                },
            ],
            rules: 7,
            groups: 2,
            prefix_lists: 1,
            prefix_entries: 100_000,
            blocked_addresses: 2,
            blocked_lists: 1,
            image_bytes: 8192,
            map_bytes: 123_456_789,
            connections: 12,
            connections_max: 1_000_000,
        }
    }

    #[test]
    fn a_healthy_host() {
        golden("status", &Status::from(sample(Health::Good)));
    }

    #[test]
    fn a_host_that_does_not_enforce_its_state() {
        let problems = vec!["tap7: it has no device yet".into(), "eth1 is open".into()];
        golden("status_not_enforced", &Status::from(sample(Health::NotEnforced(problems))));
    }

    #[test]
    fn a_fresh_host_lists_empty_lists() {
        let fresh = host::Status {
            interfaces: Vec::new(),
            generation: 0,
            rules: 0,
            groups: 0,
            prefix_lists: 0,
            prefix_entries: 0,
            blocked_addresses: 0,
            blocked_lists: 0,
            image_bytes: 0,
            map_bytes: 0,
            connections: 0,
            ..sample(Health::Good)
        };
        golden("status_fresh", &Status::from(fresh));
    }

    #[test]
    fn what_is_not_enforced_is_red() {
        let style = Style { colours: true, width: None };
        let text = Status::from(sample(Health::NotEnforced(Vec::new()))).text(&style);
        assert!(text.contains("\x1b[1;31mnot-enforced\x1b[0m"), "{text}");
    }
}
