//! A rule in listings: the same fields wherever a rule is shown.

use serde::Serialize;

use crate::host::ExplainedRule;
use crate::policy::model::{Direction, Group, Name, Rule, RuleId};
use crate::policy::render::OneLine;

/// A rule with its place and its identity.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RuleView {
    pub(crate) id: RuleId,
    /// `null`: it is a block, which belongs to no group.
    pub(crate) group: Option<Name>,
    pub(crate) direction: &'static str,
    action: &'static str,
    priority: u16,
    protocol: String,
    ports: Vec<String>,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    cidrs: Vec<String>,
    prefix_lists: Vec<Name>,
    groups: Vec<Name>,
    pub(crate) description: String,
    #[serde(skip)]
    line: String,
}

impl RuleView {
    pub(crate) fn new(id: RuleId, group: Option<&Name>, direction: Direction, rule: &Rule) -> Self {
        let bare = Rule { description: String::new(), ..rule.clone() };
        Self {
            id,
            group: group.cloned(),
            direction: direction.name(),
            action: rule.action.name(),
            priority: rule.priority,
            protocol: rule.protocol.to_string(),
            ports: rule.ports.iter().map(ToString::to_string).collect(),
            icmp_type: rule.icmp_type,
            icmp_code: rule.icmp_code,
            cidrs: rule.cidrs.iter().map(ToString::to_string).collect(),
            prefix_lists: rule.prefix_lists.clone(),
            groups: rule.groups.clone(),
            description: rule.description.clone(),
            line: OneLine(direction, &bare).to_string(),
        }
    }

    /// All rules of a group, in the order in which they were entered.
    pub(crate) fn of_group(name: &Name, group: &Group) -> Vec<Self> {
        let ingress = group.ingress.iter().map(|rule| (Direction::Ingress, rule));
        let egress = group.egress.iter().map(|rule| (Direction::Egress, rule));
        ingress
            .chain(egress)
            .map(|(direction, rule)| {
                Self::new(RuleId::of(name, direction, rule), Some(name), direction, rule)
            })
            .collect()
    }

    /// What the rule does, in one line, without its description.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Id, group and what it does, in one line.
    pub(crate) fn sentence(&self) -> String {
        let mut out = match &self.group {
            Some(group) => format!("{} of group {group}: {}", self.id, self.line),
            None => format!("{}, a block: {}", self.id, self.line),
        };
        if !self.description.is_empty() {
            out.push_str(&format!(" ({})", self.description));
        }
        out
    }
}

impl From<&ExplainedRule> for RuleView {
    fn from(explained: &ExplainedRule) -> Self {
        Self::new(explained.id, explained.group.as_ref(), explained.direction, &explained.rule)
    }
}
