//! Which open connections a change cannot know of (spec §2.12).
//!
//! A change that closes a direction first writes entries for the connections of the host's sockets.
//! What is forwarded, what guests have open, and protocols without sockets are not among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::check::rules;
use super::model::{Action, Interface, Mode, Policy, Rule, RuleId, Side};

/// One sentence for each interface whose open connections a change may cut, and which.
#[must_use]
pub fn unseeded(from: &Policy, to: &Policy) -> Vec<String> {
    to.interfaces
        .iter()
        .filter(|(name, interface)| closes(from, to, name, interface))
        .map(|(name, interface)| match interface.side {
            Side::Host => format!(
                "{name}: TCP and UDP of this host's own sockets go on; of what is forwarded, TCP is \
                 learned for 120 s from what arrives, and the rest needs a rule in each direction"
            ),
            Side::Guest => format!(
                "{name}: this host does not know the guest's connections; TCP is learned for 120 s \
                 from what goes to the guest, and the rest needs a rule in each direction"
            ),
        })
        .collect()
}

/// Whether the change may deny what was allowed: a new interface, the end of monitor mode, an allow
/// rule that goes or loses peers, a deny rule that comes or gains them.
fn closes(from: &Policy, to: &Policy, name: &Arc<str>, interface: &Interface) -> bool {
    let Some(before) = from.interfaces.get(name) else { return true };
    if before.mode == Mode::Monitor && interface.mode == Mode::Enforce {
        return true;
    }
    let (old, new) = (rules_of(from, before), rules_of(to, interface));
    let goes = old.iter().any(|(id, rule)| rule.action == Action::Allow && !new.contains_key(id));
    let comes = new.iter().any(|(id, rule)| rule.action == Action::Deny && !old.contains_key(id));
    goes || comes || new.values().any(|rule| other_peers(from, to, rule))
}

fn rules_of<'a>(policy: &'a Policy, interface: &Interface) -> BTreeMap<RuleId, &'a Rule> {
    let groups = interface.groups.iter();
    groups
        .filter_map(|name| Some((name, policy.groups.get(name)?)))
        .flat_map(|(name, group)| {
            rules(group).map(move |(direction, _, rule)| (RuleId::of(name, direction, rule), rule))
        })
        .collect()
}

/// Whether a rule that stays has other peers than before, behind the same names.
fn other_peers(from: &Policy, to: &Policy, rule: &Rule) -> bool {
    let lost = |old: &[IpNet], new: &[IpNet]| match rule.action {
        Action::Allow => old.iter().any(|entry| new.binary_search(entry).is_err()),
        Action::Deny => new.iter().any(|entry| old.binary_search(entry).is_err()),
    };
    let entries = |policy: &Policy, name| {
        policy.prefix_lists.get(name).map(|list| Arc::clone(&list.entries)).unwrap_or_default()
    };
    let lists = rule.prefix_lists.iter().any(|name| {
        let (old, new) = (entries(from, name), entries(to, name));
        old != new && lost(&old, &new)
    });
    // The addresses of a group are its members and those of its interfaces.
    lists
        || rule.groups.iter().any(|name| {
            let members = |policy: &Policy| policy.groups.get(name).map(|g| g.members.clone());
            let carriers = |policy: &Policy| -> Vec<Arc<str>> {
                let in_it = policy.interfaces.iter().filter(|(_, i)| i.groups.contains(name));
                in_it.map(|(interface, _)| Arc::clone(interface)).collect()
            };
            members(from) != members(to) || carriers(from) != carriers(to)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::load::{Input, load};
    use crate::policy::file::source::Format;

    const BASE: &str = "[groups.a]\n[[groups.a.ingress]]\nprotocol = \"tcp\"\nport = 80\n";

    fn policy(text: &str) -> Policy {
        let input = Input::Bytes("test".into(), text.as_bytes().to_vec());
        load(vec![input], Some(Format::Toml)).unwrap_or_else(|e| panic!("{e}")).policy
    }

    fn with(interface: &str) -> Policy {
        policy(&format!("{BASE}[interfaces.eth0]\ngroups = [\"a\"]\n{interface}"))
    }

    #[test]
    fn an_attach_and_the_end_of_monitor_mode_close() {
        assert_eq!(unseeded(&policy(BASE), &with("")).len(), 1);
        assert_eq!(unseeded(&with("mode = \"monitor\"\n"), &with("")).len(), 1);
        assert!(unseeded(&with(""), &with("mode = \"monitor\"\n")).is_empty());
        assert!(unseeded(&with(""), &with("")).is_empty());
    }

    #[test]
    fn rules_that_open_close_nothing() {
        let more = "[[groups.a.ingress]]\nprotocol = \"tcp\"\nport = 443\n";
        let deny = "[[groups.a.ingress]]\naction = \"deny\"\nport = 443\nprotocol = \"tcp\"\n";
        let of =
            |rules: &str| policy(&format!("{BASE}{rules}[interfaces.eth0]\ngroups = [\"a\"]\n"));
        assert!(unseeded(&of(""), &of(more)).is_empty());
        assert_eq!(unseeded(&of(more), &of("")).len(), 1);
        assert_eq!(unseeded(&of(""), &of(deny)).len(), 1);
    }

    #[test]
    fn fewer_allowed_or_more_denied_peers_close() {
        let of = |action: &str, entries: &str, members: &str| {
            policy(&format!(
                "[prefix-lists.l]\nentries = [{entries}]\n[groups.b]\nmembers = [{members}]\n\
                 [[groups.a.ingress]]\naction = \"{action}\"\nprefix-list = \"l\"\n\
                 [[groups.a.ingress]]\naction = \"{action}\"\ngroup = \"b\"\n\
                 [interfaces.eth0]\ngroups = [\"a\"]\n"
            ))
        };
        let (one, two) = ("\"192.0.2.1\"", "\"192.0.2.1\", \"192.0.2.2\"");
        assert!(unseeded(&of("allow", one, one), &of("allow", two, one)).is_empty());
        assert_eq!(unseeded(&of("allow", two, one), &of("allow", one, one)).len(), 1);
        assert!(unseeded(&of("deny", two, one), &of("deny", one, one)).is_empty());
        assert_eq!(unseeded(&of("deny", one, one), &of("deny", two, one)).len(), 1);
        assert_eq!(unseeded(&of("allow", one, two), &of("allow", one, one)).len(), 1);
    }

    #[test]
    fn a_guest_has_its_own_sentence() {
        let to = with("side = \"guest\"\n");
        assert!(unseeded(&policy(BASE), &to)[0].contains("guest"));
    }
}
