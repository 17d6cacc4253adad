//! The default egress rule: allow all, last of all.

use super::canonical;
use super::model::{Action, Group, Protocol, Rule, Rules};

/// Priority of the default egress rule: every other rule comes first.
pub const DEFAULT_EGRESS_PRIORITY: u16 = u16::MAX;

impl Rule {
    /// The rule that lets everything out: allow all, priority 65535.
    #[must_use]
    pub fn default_egress() -> Self {
        Self { priority: DEFAULT_EGRESS_PRIORITY, ..Self::default() }
    }

    /// Whether this is the default egress rule, in whatever form it was written.
    #[must_use]
    pub fn is_default_egress(&self) -> bool {
        self.action == Action::Allow
            && self.priority == DEFAULT_EGRESS_PRIORITY
            && self.protocol == Protocol::All
            && self.prefix_lists.is_empty()
            && self.groups.is_empty()
            && canonical::rule(self).cidrs.is_empty()
    }
}

impl Group {
    /// Whether the group has the default egress rule.
    #[must_use]
    pub fn has_default_egress(&self) -> bool {
        self.egress.iter().any(Rule::is_default_egress)
    }

    /// The group with the default egress rule, added at the end if it is not there.
    #[must_use]
    pub fn with_default_egress(mut self) -> Self {
        if !self.has_default_egress() {
            self.egress.push(Rule::default_egress());
        }
        self
    }

    /// The group without the default egress rule.
    #[must_use]
    pub fn without_default_egress(mut self) -> Self {
        self.egress.retain(|rule| !rule.is_default_egress());
        self
    }
}

/// Whether a group whose file lists these egress rules gets the default one: `listed` is `None`
/// where there is no `egress` at all, `said` is `default-egress`.
#[must_use]
pub fn gets_default(listed: Option<&Rules>, said: Option<bool>) -> bool {
    said.unwrap_or(match listed {
        None => true,
        Some(rules) => !rules.is_empty() && rules.iter().all(|rule| rule.action == Action::Deny),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_rules_alone_leave_egress_open() {
        let allow = Rule::default();
        let deny = Rule { action: Action::Deny, ..Rule::default() };
        for (listed, said, gets) in [
            (None, None, true),
            (Some(&[][..]), None, false),
            (Some(&[deny.clone()][..]), None, true),
            (Some(&[allow.clone()][..]), None, false),
            (Some(&[deny.clone(), allow.clone()][..]), None, false),
            (None, Some(false), false),
            (Some(&[][..]), Some(true), true),
            (Some(&[allow][..]), Some(true), true),
            (Some(&[deny][..]), Some(false), false),
        ] {
            let listed = listed.map(|rules| Rules::from(rules.to_vec()));
            assert_eq!(gets_default(listed.as_ref(), said), gets, "{listed:?} {said:?}");
        }
    }

    #[test]
    fn the_default_is_known_in_every_form() {
        let long = Rule {
            cidrs: vec!["::/0".parse().unwrap(), "0.0.0.0/0".parse().unwrap()],
            description: "out".into(),
            ..Rule::default_egress()
        };
        assert!(long.is_default_egress());
        assert!(!Rule::default().is_default_egress(), "priority 1000");
        let v4 = Rule { cidrs: vec!["0.0.0.0/0".parse().unwrap()], ..Rule::default_egress() };
        assert!(!v4.is_default_egress());
        let group = Group { egress: vec![long].into(), ..Group::default() }.with_default_egress();
        assert_eq!(group.egress.len(), 1);
        assert!(!group.without_default_egress().has_default_egress());
    }
}
