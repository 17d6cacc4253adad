//! A rule in one line, for people.

use std::fmt;

use super::model::{Direction, Rule};

/// Shows a rule of a direction in one line: `allow tcp 80,443 from 0.0.0.0/0, ::/0`.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'r>(pub Direction, pub &'r Rule);

/// Peers that are shown before the rest is only counted.
const PEERS_SHOWN: usize = 4;

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(direction, rule) = self;
        write!(f, "{} {}", rule.action, rule.protocol)?;
        for (i, range) in rule.ports.iter().enumerate() {
            write!(f, "{}{range}", if i == 0 { " " } else { "," })?;
        }
        if let Some(kind) = rule.icmp_type {
            write!(f, " type {kind}")?;
        }
        if let Some(code) = rule.icmp_code {
            write!(f, " code {code}")?;
        }
        f.write_str(match direction {
            Direction::Ingress => " from ",
            Direction::Egress => " to ",
        })?;
        peers(f, rule)?;
        write!(f, ", priority {}", rule.priority)?;
        if !rule.description.is_empty() {
            write!(f, " ({})", rule.description)?;
        }
        Ok(())
    }
}

fn peers(f: &mut fmt::Formatter<'_>, rule: &Rule) -> fmt::Result {
    let cidrs = rule.cidrs.iter().map(ToString::to_string);
    let lists = rule.prefix_lists.iter().map(|name| format!("prefix list {name}"));
    let groups = rule.groups.iter().map(|name| format!("group {name}"));
    let count = rule.cidrs.len() + rule.prefix_lists.len() + rule.groups.len();
    if count == 0 {
        return f.write_str("anywhere");
    }
    let shown: Vec<String> = cidrs.chain(lists).chain(groups).take(PEERS_SHOWN).collect();
    f.write_str(&shown.join(", "))?;
    if count > PEERS_SHOWN {
        write!(f, " and {} more", count - PEERS_SHOWN)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::model::{Action, Protocol};
    use super::*;

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let rule = Rule {
            action: Action::Deny,
            priority: 10,
            protocol: Protocol::TCP,
            ports: vec!["80".parse().unwrap(), "90-91".parse().unwrap()],
            cidrs: vec!["10.0.0.0/8".parse().unwrap()],
            groups: vec!["web".parse().unwrap()],
            description: "why".into(),
            ..Rule::default()
        };
        assert_eq!(
            OneLine(Direction::Ingress, &rule).to_string(),
            "deny tcp 80,90-91 from 10.0.0.0/8, group web, priority 10 (why)"
        );
        assert_eq!(
            OneLine(Direction::Egress, &Rule::default_egress()).to_string(),
            "allow all to anywhere, priority 65535"
        );
        let many = Rule { cidrs: vec!["::/0".parse().unwrap(); 6], ..Rule::default() };
        assert!(OneLine(Direction::Egress, &many).to_string().contains("::/0 and 2 more,"));
    }
}
