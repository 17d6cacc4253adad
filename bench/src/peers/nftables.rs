//! nftables, in three usual forms and at two hooks: rules one after the other, a set of concatenated
//! ranges, and a verdict map of the same.

use std::fmt::Write as _;

use anyhow::Result;

use super::{LINEAR, Loaded, Peer, floors, too_many, too_slow};
use crate::command::{TooSlow, feed_patiently};
use crate::lane::{DEVICE, Lane, Way};
use crate::ruleset::{Element, Ruleset};
use crate::sender::Sender;

/// How the rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Linear,
    Sets,
    Maps,
}

/// One form at one hook.
struct Nftables {
    name: &'static str,
    about: &'static str,
    form: Form,
    way: Way,
}

/// All forms at all hooks.
pub(super) fn all() -> Vec<Box<dyn Peer>> {
    let one =
        |name, about, form, way| Box::new(Nftables { name, about, form, way }) as Box<dyn Peer>;
    vec![
        one(
            "nft-netdev-linear",
            "nftables at ingress, one rule after the other",
            Form::Linear,
            Way::Netdev,
        ),
        one(
            "nft-netdev-set",
            "nftables at ingress, a set of source, protocol and port ranges",
            Form::Sets,
            Way::Netdev,
        ),
        one(
            "nft-netdev-vmap",
            "nftables at ingress, a verdict map of source, protocol and port ranges",
            Form::Maps,
            Way::Netdev,
        ),
        one(
            "nft-inet-linear",
            "nftables at prerouting (family inet), one rule after the other",
            Form::Linear,
            Way::Inet,
        ),
        one(
            "nft-inet-set",
            "nftables at prerouting, a set of source, protocol and port ranges",
            Form::Sets,
            Way::Inet,
        ),
        one(
            "nft-inet-vmap",
            "nftables at prerouting, a verdict map of source, protocol and port ranges",
            Form::Maps,
            Way::Inet,
        ),
    ]
}

/// As hosts have it: connections that are there first, then a set.
pub(super) fn host() -> Box<dyn Peer> {
    Box::new(Nftables {
        name: "nft-stateful-set",
        about: "nftables at input (family inet): ct state established,related accept, then a set \
                of source, protocol and port ranges",
        form: Form::Sets,
        way: Way::Host,
    })
}

impl Peer for Nftables {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn way(&self) -> Way {
        self.way
    }

    fn load(&self, sender: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        let linear = set.denied.len() + set.allowed.len();
        if self.form == Form::Linear && set.size > LINEAR {
            return Ok(Loaded::No(too_many(linear)));
        }
        let link = floors::entrance(sender, lane)?;
        let text = ruleset(self.form, self.way, set);
        let mut nft = lane.namespace.command("nft");
        match feed_patiently(nft.args(["-f", "-"]), &text)? {
            Ok(()) => Ok(Loaded::Yes(Box::new(link))),
            Err(TooSlow) => Ok(Loaded::No(too_slow())),
        }
    }
}

/// A service as words of a rule.
fn words(Element { net, service }: &Element) -> String {
    let protocol = match service.protocol {
        None => String::new(),
        Some(number) if service.all_ports() => format!("meta l4proto {number} "),
        Some(number) => format!("meta l4proto {number} th dport {} ", service.ports('-')),
    };
    let source = if net.prefix_len() == 0 { String::new() } else { format!("ip saddr {net} ") };
    source + &protocol
}

/// A service as an element of a set or map.
fn element(Element { net, service }: &Element) -> String {
    let protocol = service.protocol.map_or_else(|| "0-255".to_owned(), |number| number.to_string());
    format!("{net} . {protocol} . {}", service.ports('-'))
}

/// The text that nft reads.
fn ruleset(form: Form, way: Way, set: &Ruleset) -> String {
    let (family, hook) = match way {
        Way::Netdev => ("netdev", format!("ingress device {DEVICE} priority 0")),
        Way::Host => ("inet", "input priority 0".to_owned()),
        Way::Xdp | Way::Inet => ("inet", "prerouting priority -300".to_owned()),
    };
    let (mut tables, mut rules) = (String::new(), String::new());
    if way == Way::Host {
        rules.push_str("ct state established,related accept\n");
    }
    let elements = |end: &str| {
        let all = set.disjoint();
        all.iter().map(|one| element(one) + end).collect::<Vec<_>>().join(",\n")
    };
    // A map with the one service of everybody is a detour that nobody would take.
    let few = set.allowed.iter().all(|one| one.net.prefix_len() == 0) && set.allowed.len() <= 8;
    if form == Form::Linear {
        for net in &set.denied {
            let _ = writeln!(rules, "ip saddr {net} drop");
        }
    } else if !set.denied.is_empty() {
        let nets = |end: &str| {
            let all = outermost(set);
            all.iter().map(|net| format!("{net}{end}")).collect::<Vec<_>>().join(",\n")
        };
        if form == Form::Sets {
            let elements = nets("");
            let _ = write!(
                tables,
                "set denied {{\ntype ipv4_addr\nflags interval\nelements = {{ {elements} }}\n}}\n"
            );
            rules.push_str("ip saddr @denied drop\n");
        } else {
            let elements = nets(" : drop");
            let _ = write!(
                tables,
                "map denied {{\ntype ipv4_addr : verdict\nflags interval\nelements = {{ {elements} }}\n}}\n"
            );
            rules.push_str("ip saddr vmap @denied\n");
        }
    }
    match form {
        Form::Sets | Form::Maps if few => {
            for one in &set.allowed {
                let _ = writeln!(rules, "{}accept", words(one));
            }
        }
        Form::Linear => {
            for one in &set.allowed {
                let _ = writeln!(rules, "{}accept", words(one));
            }
        }
        Form::Sets => {
            let _ = write!(
                tables,
                "set allowed {{\ntype ipv4_addr . inet_proto . inet_service\nflags interval\n\
                 elements = {{ {} }}\n}}\n",
                elements("")
            );
            rules.push_str("ip saddr . meta l4proto . th dport @allowed accept\n");
        }
        Form::Maps => {
            let _ = write!(
                tables,
                "map allowed {{\ntype ipv4_addr . inet_proto . inet_service : verdict\n\
                 flags interval\nelements = {{ {} }}\n}}\n",
                elements(" : accept")
            );
            rules.push_str("ip saddr . meta l4proto . th dport vmap @allowed\n");
        }
    }
    format!(
        "table {family} sg_peer {{\n{tables}chain filter {{\n\
         type filter hook {hook}\npolicy drop\n{rules}}}\n}}\n"
    )
}

/// Denied prefixes that lie in no other: intervals of a set must not overlap.
fn outermost(set: &Ruleset) -> Vec<ipnet::Ipv4Net> {
    ipnet::Ipv4Net::aggregate(&set.denied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::styles::Style;

    #[test]
    fn rules_sets_and_maps_are_written() {
        let set = Ruleset::new(Style::Random, 3);
        let linear = ruleset(Form::Linear, Way::Netdev, &set);
        assert_eq!(linear.matches("accept").count(), 3);
        assert!(linear.contains("hook ingress device nic0") && linear.contains("policy drop"));
        let sets = ruleset(Form::Sets, Way::Inet, &set);
        assert!(sets.contains("table inet") && sets.contains("@allowed accept"));
        let maps = ruleset(Form::Maps, Way::Inet, &set);
        assert_eq!(maps.matches(": accept").count(), 3);
        let host = ruleset(Form::Sets, Way::Host, &set);
        assert!(host.contains(
            "hook input priority 0\npolicy drop\nct state established,related accept\nip saddr"
        ));
        let block = ruleset(Form::Sets, Way::Netdev, &Ruleset::new(Style::Blocklist, 5));
        assert!(block.contains("ip saddr @denied drop") && !block.contains("@allowed"));
    }
}
