//! The styles of rulesets.

use std::fmt;
use std::str::FromStr;

use sg_ctl::bench::generate::{self, Family};
use sg_ctl::policy::model::Policy;

use crate::classbench;

/// What the rules of a ruleset look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Style {
    /// Every rule has a CIDR and a port range of its own.
    Random,
    /// Many CIDRs share a few combinations of ports.
    Web,
    /// Many CIDRs are denied, then everybody is allowed two ports.
    Blocklist,
    /// The structure of ClassBench's access control lists.
    Acl,
    /// That of its firewalls.
    Fw,
    /// That of its IP chains.
    Ipc,
}

/// Seed of all policies: the same rules in every run.
const SEED: u64 = 1;

impl Style {
    /// Every style.
    pub const ALL: [Self; 6] =
        [Self::Random, Self::Web, Self::Blocklist, Self::Acl, Self::Fw, Self::Ipc];

    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Web => "web",
            Self::Blocklist => "blocklist",
            Self::Acl => "acl",
            Self::Fw => "fw",
            Self::Ipc => "ipc",
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Random => "every rule has a CIDR and ports of its own",
            Self::Web => "many CIDRs share five combinations of ports",
            Self::Blocklist => {
                "many CIDRs are denied everything, everybody else is allowed 80 and 443"
            }
            Self::Acl => "the structure of ClassBench's access control lists",
            Self::Fw => "the structure of ClassBench's firewalls",
            Self::Ipc => "the structure of ClassBench's IP chains",
        }
    }

    /// A policy with so many ingress rules, and open egress.
    #[must_use]
    pub fn policy(self, rules: usize) -> Policy {
        let plain = |style| generate::generate(style, Family::V4, rules, SEED);
        match self {
            Self::Random => plain(generate::Style::Random),
            Self::Web => plain(generate::Style::Web),
            Self::Blocklist => plain(generate::Style::Blocklist),
            Self::Acl => classbench::policy(&classbench::ACL, rules, SEED),
            Self::Fw => classbench::policy(&classbench::FW, rules, SEED),
            Self::Ipc => classbench::policy(&classbench::IPC, rules, SEED),
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Style {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|style| style.name() == text);
        found.ok_or_else(|| format!("there is no style \"{text}\"; known: {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_known_by_their_names() {
        for style in Style::ALL {
            assert_eq!(style.to_string().parse(), Ok(style));
        }
        assert!("other".parse::<Style>().is_err_and(|error| error.contains("random, web")));
    }
}
