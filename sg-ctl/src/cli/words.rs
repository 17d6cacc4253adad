//! Arguments in the words of the policy language.

use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;

use crate::policy::model::{Direction, Hook, Mode, Side};
use crate::policy::text::{self, Malformed};
use crate::policy::{cidr, text::number};

fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = Malformed> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}

pub(crate) fn mode() -> impl TypedValueParser<Value = Mode> {
    word(&["enforce", "monitor"])
}

pub(crate) fn side() -> impl TypedValueParser<Value = Side> {
    word(&["host", "guest"])
}

pub(crate) fn hook() -> impl TypedValueParser<Value = Hook> {
    word(&["auto", "xdp", "xdp-generic", "tc"])
}

pub(crate) fn direction() -> impl TypedValueParser<Value = Direction> {
    PossibleValuesParser::new(["ingress", "egress"]).try_map(|word| text::direction(&word))
}

/// A priority of a rule.
pub(crate) fn priority(text: &str) -> Result<u16, Malformed> {
    number(text, "priority", 0, 65535).map(|n| u16::try_from(n).unwrap_or(u16::MAX))
}

/// An ICMP type or code.
pub(crate) fn icmp(text: &str) -> Result<u8, Malformed> {
    number(text, "ICMP type or code", 0, 255).map(|n| u8::try_from(n).unwrap_or(u8::MAX))
}

/// A peer by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Every address of both families.
    Any,
    /// A prefix.
    Net(IpNet),
}

impl FromStr for Peer {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Ok(cidr::parse_or_any(text)?.map_or(Self::Any, Self::Net))
    }
}

/// The prefixes of some peers. `any` alone is anywhere, which a rule says by naming none; beside
/// other peers it is written out.
pub(crate) fn cidrs(peers: &[Peer], alone: bool) -> Vec<IpNet> {
    if alone && peers.contains(&Peer::Any) {
        return Vec::new();
    }
    let mut nets = Vec::new();
    for peer in peers {
        match peer {
            Peer::Any => nets.extend([
                IpNet::V4(ipnet::Ipv4Net::default()),
                IpNet::V6(ipnet::Ipv6Net::default()),
            ]),
            Peer::Net(net) => nets.push(*net),
        }
    }
    nets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_alone_is_no_prefix_and_beside_others_both_families() {
        let net = |text: &str| Peer::Net(text.parse().unwrap());
        assert!(cidrs(&[Peer::Any], true).is_empty());
        assert!(cidrs(&[Peer::Any, net("10.0.0.0/8")], true).is_empty());
        let all: Vec<String> = cidrs(&[Peer::Any], false).iter().map(ToString::to_string).collect();
        assert_eq!(all, ["0.0.0.0/0", "::/0"]);
        assert_eq!(cidrs(&[net("10.0.0.0/8")], true).len(), 1);
    }

    #[test]
    fn host_bits_are_refused() {
        assert!("67.221.169.243/0".parse::<Peer>().is_err());
        assert_eq!("203.0.113.7".parse(), Ok(Peer::Net("203.0.113.7/32".parse().unwrap())));
    }
}
