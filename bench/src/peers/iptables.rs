//! iptables (its own kernel code, not the translation to nftables), rules one after the other, and
//! with sets of ipset.

use std::fmt::Write as _;

use anyhow::Result;
use ipnet::Ipv4Net;

use super::{LINEAR, Loaded, Peer, floors, too_many, too_slow};
use crate::command::{TooSlow, feed_patiently};
use crate::lane::{Lane, Way};
use crate::ruleset::{Element, Ruleset, Service};
use crate::sender::Sender;

/// Services that get a set each. With more, one set holds addresses together with ports.
const SERVICES: usize = 64;

/// Entries that such a set may have, each port on its own.
const ENTRIES: usize = 2_000_000;

/// Rules one after the other.
pub(super) struct Linear;

impl Peer for Linear {
    fn name(&self) -> &'static str {
        "iptables"
    }

    fn about(&self) -> &'static str {
        "iptables-legacy, raw PREROUTING, one rule after the other"
    }

    fn way(&self) -> Way {
        Way::Inet
    }

    fn load(&self, sender: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        if set.size > LINEAR {
            return Ok(Loaded::No(too_many(set.denied.len() + set.allowed.len())));
        }
        let mut rules = String::new();
        for net in &set.denied {
            let _ = writeln!(rules, "-A PREROUTING -s {net} -j DROP");
        }
        for Element { net, service } in &set.allowed {
            let _ = writeln!(rules, "-A PREROUTING -s {net}{} -j ACCEPT", condition(*service));
        }
        restore(sender, lane, "", &rules)
    }
}

/// With sets.
pub(super) struct Ipset {
    pub(super) way: Way,
}

/// Where rules go on a way: the table and its chain.
const fn place(way: Way) -> (&'static str, &'static str) {
    match way {
        Way::Host => ("filter", "INPUT"),
        Way::Xdp | Way::Netdev | Way::Inet => ("raw", "PREROUTING"),
    }
}

impl Peer for Ipset {
    fn name(&self) -> &'static str {
        if self.way == Way::Host { "iptables-stateful-ipset" } else { "iptables-ipset" }
    }

    fn about(&self) -> &'static str {
        if self.way == Way::Host {
            "iptables-legacy at INPUT: conntrack ESTABLISHED,RELATED first, then ipset: a hash:net \
             for each service, or a hash:net,port for many"
        } else {
            "iptables-legacy with ipset: a hash:net for each service, or a hash:net,port for many"
        }
    }

    fn way(&self) -> Way {
        self.way
    }

    fn load(&self, sender: &mut Sender, lane: &Lane, set: &Ruleset) -> Result<Loaded> {
        let Some((sets, rules)) = sets(set, place(self.way).1) else {
            return Ok(Loaded::No(format!(
                "its sets hold ports one by one: these are more than {ENTRIES} entries"
            )));
        };
        restore(sender, lane, &sets, &rules)
    }
}

/// A service as a condition of a rule.
fn condition(service: Service) -> String {
    match service.protocol {
        None => String::new(),
        Some(protocol) if service.all_ports() => format!(" -p {protocol}"),
        Some(protocol) => format!(" -p {protocol} --dport {}", service.ports(':')),
    }
}

/// A `hash:net` has no prefix of length 0.
fn halves(net: Ipv4Net) -> Vec<String> {
    if net.prefix_len() == 0 {
        vec!["0.0.0.0/1".to_owned(), "128.0.0.0/1".to_owned()]
    } else {
        vec![net.to_string()]
    }
}

/// What ipset and iptables read; `None` if that would be too much.
fn sets(set: &Ruleset, chain: &str) -> Option<(String, String)> {
    let (mut sets, mut rules) = (String::new(), String::new());
    let create = |sets: &mut String, name: &str, kind: &str, entries: &[String]| {
        let size = entries.len().max(64);
        let _ = writeln!(sets, "create {name} {kind} hashsize {size} maxelem {size}");
        for entry in entries {
            let _ = writeln!(sets, "add {name} {entry} -exist");
        }
    };
    if !set.denied.is_empty() {
        let entries: Vec<String> = set.denied.iter().flat_map(|net| halves(*net)).collect();
        create(&mut sets, "denied", "hash:net", &entries);
        let _ = writeln!(rules, "-A {chain} -m set --match-set denied src -j DROP");
    }
    let services = set.by_service();
    if services.len() <= SERVICES {
        for (number, (service, nets)) in services.iter().enumerate() {
            let condition = condition(*service);
            if nets.iter().all(|net| net.prefix_len() == 0) {
                let _ = writeln!(rules, "-A {chain}{condition} -j ACCEPT");
                continue;
            }
            let entries: Vec<String> = nets.iter().flat_map(|net| halves(*net)).collect();
            create(&mut sets, &format!("s{number}"), "hash:net", &entries);
            let _ =
                writeln!(rules, "-A {chain}{condition} -m set --match-set s{number} src -j ACCEPT");
        }
        return Some((sets, rules));
    }
    // Elements without ports and ranges that many have get a rule of their own; the rest goes into
    // one set, port by port.
    let (mut entries, mut number) = (Vec::new(), 0);
    for (service, nets) in &services {
        let width = usize::from(service.last) - usize::from(service.first) + 1;
        if width > 1000 || service.protocol.is_none() {
            let nets: Vec<String> = nets.iter().flat_map(|net| halves(*net)).collect();
            create(&mut sets, &format!("s{number}"), "hash:net", &nets);
            let condition = condition(*service);
            let _ =
                writeln!(rules, "-A {chain}{condition} -m set --match-set s{number} src -j ACCEPT");
            number += 1;
            continue;
        }
        if entries.len() + nets.len() * width > ENTRIES {
            return None;
        }
        let protocol = if service.protocol == Some(6) { "tcp" } else { "udp" };
        for net in nets.iter().flat_map(|net| halves(*net)) {
            for port in service.first..=service.last {
                entries.push(format!("{net},{protocol}:{port}"));
            }
        }
    }
    create(&mut sets, "ports", "hash:net,port", &entries);
    let _ = writeln!(rules, "-A {chain} -m set --match-set ports src,dst -j ACCEPT");
    Some((sets, rules))
}

/// Loads sets and rules. What no rule lets pass is dropped.
fn restore(sender: &mut Sender, lane: &Lane, sets: &str, rules: &str) -> Result<Loaded> {
    let link = floors::entrance(sender, lane)?;
    if !sets.is_empty() {
        let mut ipset = lane.namespace.command("ipset");
        if let Err(TooSlow) = feed_patiently(ipset.arg("restore"), sets)? {
            return Ok(Loaded::No(too_slow()));
        }
    }
    let (table, chain) = place(lane.way);
    let known = match lane.way {
        Way::Host => format!("-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n"),
        Way::Xdp | Way::Netdev | Way::Inet => String::new(),
    };
    let text = format!("*{table}\n:{chain} DROP\n{known}{rules}COMMIT\n");
    let mut iptables = lane.namespace.command("iptables-legacy-restore");
    match feed_patiently(&mut iptables, &text)? {
        Ok(()) => Ok(Loaded::Yes(Box::new(link))),
        Err(TooSlow) => Ok(Loaded::No(too_slow())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::styles::Style;

    #[test]
    fn few_services_get_a_set_each_and_many_share_one() {
        let (sets_of_web, rules) = sets(&Ruleset::new(Style::Web, 200), "INPUT").unwrap();
        assert!(sets_of_web.contains("create s0 hash:net ") && !sets_of_web.contains("net,port"));
        assert!(rules.contains("--dport 443 -m set --match-set"));
        let (sets_of_random, rules) = sets(&Ruleset::new(Style::Random, 200), "INPUT").unwrap();
        assert!(sets_of_random.contains("create ports hash:net,port "));
        assert_eq!(rules.lines().count(), 1);
        let (sets_of_block, rules) = sets(&Ruleset::new(Style::Blocklist, 200), "INPUT").unwrap();
        assert!(sets_of_block.contains("create denied hash:net "));
        assert_eq!(rules.lines().count(), 3);
    }

    #[test]
    fn conditions_say_no_more_than_they_must() {
        let tcp = |first, last| Service { protocol: Some(6), first, last };
        assert_eq!(condition(tcp(80, 90)), " -p 6 --dport 80:90");
        assert_eq!(condition(tcp(0, u16::MAX)), " -p 6");
        assert_eq!(condition(Service { protocol: None, first: 0, last: u16::MAX }), "");
    }
}
