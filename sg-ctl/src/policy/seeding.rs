//! Which open connections a change cannot know of (spec §2.12).
//!
//! A change that closes a direction first writes entries for the connections of the host's sockets.
//! What is forwarded, what guests have open, and protocols without sockets are not among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::rules;
use super::model::{Action, Interface, Mode, Policy, RuleId, Side};

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
/// rule that goes, a deny rule that comes.
fn closes(from: &Policy, to: &Policy, name: &Arc<str>, interface: &Interface) -> bool {
    let Some(before) = from.interfaces.get(name) else { return true };
    if before.mode == Mode::Monitor && interface.mode == Mode::Enforce {
        return true;
    }
    if before.groups == interface.groups && from.groups == to.groups {
        return false;
    }
    let (old, new) = (actions(from, before), actions(to, interface));
    let goes = old.iter().any(|(id, action)| *action == Action::Allow && !new.contains_key(id));
    let comes = new.iter().any(|(id, action)| *action == Action::Deny && !old.contains_key(id));
    goes || comes
}

fn actions(policy: &Policy, interface: &Interface) -> BTreeMap<RuleId, Action> {
    let mut actions = BTreeMap::new();
    for name in &interface.groups {
        let Some(group) = policy.groups.get(name) else { continue };
        for (direction, _, rule) in rules(group) {
            actions.insert(RuleId::of(name, direction, rule), rule.action);
        }
    }
    actions
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
    fn a_guest_has_its_own_sentence() {
        let to = with("side = \"guest\"\n");
        assert!(unseeded(&policy(BASE), &to)[0].contains("guest"));
    }
}
