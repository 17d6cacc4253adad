//! The canonical form of a rule: what makes two rules the same.
//!
//! Ports and prefixes are sorted and merged, names sorted, doubles dropped. What says "everything"
//! at length (`0-65535`; `0.0.0.0/0` with `::/0`) becomes the empty list that says it shortly.

use std::borrow::Cow;

use ipnet::IpNet;

use super::model::{Name, PortRange, Rule};

/// The parts of a rule that can be written in several ways, in canonical form. They are the rule's own
/// where it was written so, as almost all are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parts<'r> {
    /// Its ports; empty = all.
    pub ports: Cow<'r, [PortRange]>,
    /// Its peers by address; all three empty = anywhere.
    pub cidrs: Cow<'r, [IpNet]>,
    /// Its peers by prefix list.
    pub prefix_lists: Cow<'r, [Name]>,
    /// Its peers by group.
    pub groups: Cow<'r, [Name]>,
}

/// The parts of a rule in canonical form.
#[must_use]
pub fn parts(rule: &Rule) -> Parts<'_> {
    let mut cidrs = match rule.cidrs.as_slice() {
        [] => Cow::Borrowed(&[][..]),
        [one] if *one == one.trunc() => Cow::Borrowed(rule.cidrs.as_slice()),
        several => Cow::Owned(self::cidrs(several)),
    };
    if rule.prefix_lists.is_empty() && rule.groups.is_empty() && is_anywhere(&cidrs) {
        cidrs = Cow::Borrowed(&[]);
    }
    Parts {
        ports: if are_canonical(&rule.ports) {
            Cow::Borrowed(rule.ports.as_slice())
        } else {
            Cow::Owned(self::ports(&rule.ports))
        },
        cidrs,
        prefix_lists: names(&rule.prefix_lists),
        groups: names(&rule.groups),
    }
}

/// The rule in canonical form and without its description.
#[must_use]
pub fn rule(rule: &Rule) -> Rule {
    let Parts { ports, cidrs, prefix_lists, groups } = parts(rule);
    Rule {
        action: rule.action,
        priority: rule.priority,
        protocol: rule.protocol,
        ports: ports.into_owned(),
        icmp_type: rule.icmp_type,
        icmp_code: rule.icmp_code,
        cidrs: cidrs.into_owned(),
        prefix_lists: prefix_lists.into_owned(),
        groups: groups.into_owned(),
        description: String::new(),
    }
}

/// Whether two rules are the same but for their descriptions: if they stand in one group and
/// direction, they have one id.
#[must_use]
pub fn same(a: &Rule, b: &Rule) -> bool {
    let plain =
        |rule: &Rule| (rule.action, rule.priority, rule.protocol, rule.icmp_type, rule.icmp_code);
    plain(a) == plain(b) && parts(a) == parts(b)
}

/// Whether [`ports`] would change nothing.
fn are_canonical(ports: &[PortRange]) -> bool {
    let apart = |pair: &[PortRange]| u32::from(pair[0].last) + 1 < u32::from(pair[1].first);
    ports.windows(2).all(apart) && ports != [PortRange::ALL]
}

/// Sorted, adjacent and overlapping ranges merged; every port = empty.
#[must_use]
pub fn ports(ports: &[PortRange]) -> Vec<PortRange> {
    let mut merged: Vec<PortRange> = ports.to_vec();
    merged.sort_unstable();
    merged.dedup_by(|next, kept| {
        let joins = u32::from(next.first) <= u32::from(kept.last) + 1;
        if joins {
            kept.last = kept.last.max(next.last);
        }
        joins
    });
    if merged == [PortRange::ALL] {
        merged.clear();
    }
    merged
}

/// Sorted (IPv4 first), contained prefixes dropped, siblings merged.
#[must_use]
pub fn cidrs(cidrs: &[IpNet]) -> Vec<IpNet> {
    match cidrs {
        [] => return Vec::new(),
        [one] => return vec![one.trunc()],
        _ => {}
    }
    let mut sorted: Vec<IpNet> = cidrs.iter().map(IpNet::trunc).collect();
    sorted.sort_unstable();
    let mut merged: Vec<IpNet> = Vec::with_capacity(sorted.len());
    for net in sorted {
        if merged.last().is_some_and(|last| last.contains(&net)) {
            continue;
        }
        merged.push(net);
        // In sorted order only the last two can be halves of one prefix, and their union again.
        while let [.., low, high] = merged.as_slice()
            && let Some(both) = union(low, high)
        {
            merged.truncate(merged.len() - 2);
            merged.push(both);
        }
    }
    merged
}

/// The prefix whose two halves these are.
fn union(low: &IpNet, high: &IpNet) -> Option<IpNet> {
    if low.prefix_len() != high.prefix_len() || low == high {
        return None;
    }
    let parent = low.supernet()?;
    (high.supernet()? == parent).then_some(parent)
}

fn is_anywhere(cidrs: &[IpNet]) -> bool {
    matches!(cidrs, [IpNet::V4(v4), IpNet::V6(v6)] if v4.prefix_len() == 0 && v6.prefix_len() == 0)
}

fn names(names: &[Name]) -> Cow<'_, [Name]> {
    if names.is_sorted_by(|a, b| a < b) {
        return Cow::Borrowed(names);
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    Cow::Owned(sorted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| super::super::cidr::parse(t).unwrap()).collect()
    }

    fn ranges(texts: &[&str]) -> Vec<PortRange> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn ports_merge_at_their_ends() {
        assert_eq!(ports(&ranges(&["81", "80"])), ranges(&["80-81"]));
        assert_eq!(ports(&ranges(&["80", "82"])), ranges(&["80", "82"]));
        assert_eq!(ports(&ranges(&["1-100", "50", "90-120"])), ranges(&["1-120"]));
        assert_eq!(ports(&ranges(&["65535", "1-65534"])), ranges(&["1-65535"]));
        assert_eq!(ports(&ranges(&["65535", "0-65535"])), []);
        assert_eq!(ports(&ranges(&["0-5", "6-65535"])), []);
    }

    #[test]
    fn prefixes_merge_across_siblings_only() {
        assert_eq!(cidrs(&nets(&["10.128.0.0/9", "10.0.0.0/9"])), nets(&["10.0.0.0/8"]));
        assert_eq!(cidrs(&nets(&["10.1.0.0/16", "10.0.0.0/8"])), nets(&["10.0.0.0/8"]));
        // Neighbours that are no halves of one prefix stay apart.
        let apart = nets(&["10.1.0.0/16", "10.2.0.0/16"]);
        assert_eq!(cidrs(&apart), apart);
        let quarters = nets(&["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"]);
        assert_eq!(cidrs(&quarters), nets(&["0.0.0.0/0"]));
        // The families never meet.
        assert_eq!(cidrs(&nets(&["::/0", "0.0.0.0/0"])), nets(&["0.0.0.0/0", "::/0"]));
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        // Few bits, so that prefixes nest and touch.
        (any::<bool>(), 0..16u32, 0..=4u8).prop_map(|(six, bits, len)| {
            let net = if six {
                IpNet::new(std::net::Ipv6Addr::from(u128::from(bits) << 124).into(), len)
            } else {
                IpNet::new(std::net::Ipv4Addr::from(bits << 28).into(), len)
            };
            net.unwrap().trunc()
        })
    }

    proptest! {
        #[test]
        fn ports_in_canonical_form_are_borrowed(
            input in prop::collection::vec((any::<u16>(), any::<u16>()), 0..3)
        ) {
            let range = |(a, b): &(u16, u16)| PortRange { first: *a.min(b), last: *a.max(b) };
            let input: Vec<_> = input.iter().map(range).collect();
            prop_assert_eq!(are_canonical(&input), ports(&input) == input);
        }

        #[test]
        fn merging_keeps_exactly_the_addresses(input in prop::collection::vec(any_net(), 0..12)) {
            let merged = cidrs(&input);
            for nibble in 0..16u32 {
                for ip in [
                    std::net::IpAddr::from(std::net::Ipv4Addr::from(nibble << 28)),
                    std::net::Ipv6Addr::from(u128::from(nibble) << 124).into(),
                ] {
                    let before = input.iter().any(|n| n.contains(&ip));
                    prop_assert_eq!(before, merged.iter().any(|n| n.contains(&ip)));
                }
            }
            // Minimal: nothing contained, no siblings; and a fixed point.
            for (i, a) in merged.iter().enumerate() {
                for b in &merged[i + 1..] {
                    prop_assert!(a < b && !a.contains(b) && union(a, b).is_none());
                }
            }
            prop_assert_eq!(cidrs(&merged), merged);
        }

        #[test]
        fn merging_keeps_exactly_the_ports(input in prop::collection::vec((0..40u16, 0..6u16), 0..8)) {
            let input: Vec<_> =
                input.iter().map(|(f, n)| PortRange { first: *f, last: f + n }).collect();
            let merged = ports(&input);
            for port in 0..50u16 {
                let inside = |r: &PortRange| (r.first..=r.last).contains(&port);
                prop_assert_eq!(input.iter().any(inside), merged.iter().any(inside));
            }
            for pair in merged.windows(2) {
                prop_assert!(pair[0].last + 1 < pair[1].first);
            }
        }
    }
}
