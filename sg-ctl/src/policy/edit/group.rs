//! Groups: create, update, delete.

use ipnet::IpNet;

use super::super::merge::{Referrer, group_referrers};
use super::super::model::{Group, Name, Policy};
use super::super::text::check_description;
use super::{EditError, unknown_group};

/// What `group update` changes; what is `None` or empty stays.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// Another description.
    pub description: Option<String>,
    /// Whether the group has the default egress rule.
    pub default_egress: Option<bool>,
    /// Static members that come.
    pub add_members: Vec<IpNet>,
    /// Static members that go.
    pub remove_members: Vec<IpNet>,
}

/// Adds a group without rules but, if `default_egress`, the default egress rule.
///
/// # Errors
/// The group exists, or its description cannot be one.
pub fn create_group(
    policy: &mut Policy,
    name: &Name,
    description: &str,
    members: &[IpNet],
    default_egress: bool,
) -> Result<(), EditError> {
    check_description(description)?;
    if policy.groups.contains_key(name) {
        return Err(EditError::new(
            format!("the group \"{name}\" exists already"),
            format!("change it with `sg-ctl group update {name}`, or choose another name"),
        ));
    }
    let mut group = Group { description: description.to_owned(), ..Group::default() };
    for member in members {
        if !group.members.contains(member) {
            group.members.push(*member);
        }
    }
    if default_egress {
        group = group.with_default_egress();
    }
    policy.groups.insert(name.clone(), group);
    Ok(())
}

/// Changes what a group is besides its rules; the default egress rule counts as such.
///
/// # Errors
/// An unknown group, a description that cannot be one, or a member to remove that it does not have.
pub fn update_group(
    policy: &mut Policy,
    name: &Name,
    change: &GroupChange,
) -> Result<(), EditError> {
    let Some(group) = policy.groups.get(name) else { return Err(unknown_group(policy, name)) };
    let mut group = group.clone();
    if let Some(description) = &change.description {
        check_description(description)?;
        group.description.clone_from(description);
    }
    for member in &change.remove_members {
        let Some(place) = group.members.iter().position(|m| m == member) else {
            let known: Vec<String> = group.members.iter().map(ToString::to_string).collect();
            let help = match known.is_empty() {
                true => "it has none; addresses of its interfaces come and go with these".into(),
                false => format!("its static members are {}", known.join(", ")),
            };
            let message = format!("{member} is not a static member of the group \"{name}\"");
            return Err(EditError::new(message, help));
        };
        group.members.remove(place);
    }
    for member in &change.add_members {
        if !group.members.contains(member) {
            group.members.push(*member);
        }
    }
    group = match change.default_egress {
        Some(true) => group.with_default_egress(),
        Some(false) => group.without_default_egress(),
        None => group,
    };
    policy.groups.insert(name.clone(), group);
    Ok(())
}

/// Deletes a group with its rules.
///
/// # Errors
/// An unknown group, or one that rules of other groups or interfaces name: each is a cause. Its own
/// rules that name it go with it.
pub fn delete_group(policy: &mut Policy, name: &Name) -> Result<Group, EditError> {
    if !policy.groups.contains_key(name) {
        return Err(unknown_group(policy, name));
    }
    let referrers = group_referrers(policy, name);
    if !referrers.is_empty() {
        let mut steps = Vec::new();
        for referrer in &referrers {
            steps.push(match referrer {
                Referrer::Rule { id, .. } => format!("sg-ctl rule remove {id}"),
                Referrer::Block => format!("sg-ctl unblock {name}"),
                Referrer::Interface(interface) => {
                    format!("sg-ctl update {interface} --remove-group {name}")
                }
            });
        }
        let message = format!("the group \"{name}\" is in use");
        let last = format!("sg-ctl group delete {name}");
        return Err(EditError::new(message, order(&steps, &last)).because(&referrers));
    }
    policy.groups.remove(name).ok_or_else(|| unknown_group(policy, name))
}

/// The order in which things go, for the help line.
pub(super) fn order(steps: &[String], last: &str) -> String {
    /// Steps that are written out.
    const SHOWN: usize = 4;
    let mut text = String::from("first ");
    let shown = steps.iter().take(SHOWN).map(|step| format!("`{step}`"));
    text.push_str(&shown.collect::<Vec<_>>().join(", "));
    if steps.len() > SHOWN {
        text.push_str(" and so on for each cause");
    }
    text.push_str(&format!(", then `{last}`"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::edit::testing::{name, policy};

    #[test]
    fn a_group_is_created_once() {
        let mut policy = policy("");
        create_group(&mut policy, &name("web"), "Web", &[], true).unwrap();
        assert!(policy.groups["web"].has_default_egress());
        let before = policy.clone();
        let error = create_group(&mut policy, &name("web"), "", &[], false).unwrap_err();
        assert!(error.message.contains("exists already"), "{error}");
        assert!(error.help.contains("group update web"));
        assert_eq!(policy, before);
    }

    #[test]
    fn a_group_without_default_egress_has_no_rule() {
        let mut policy = policy("");
        create_group(&mut policy, &name("db"), "", &[], false).unwrap();
        assert!(policy.groups["db"].egress.is_empty());
    }

    #[test]
    fn default_egress_comes_and_goes_and_other_rules_stay() {
        let mut policy = policy(
            "[groups.a]\ndefault-egress = true\n[[groups.a.egress]]\nprotocol = \"tcp\"\nport = 80\n",
        );
        assert_eq!(policy.groups["a"].egress.len(), 2);
        let off = GroupChange { default_egress: Some(false), ..GroupChange::default() };
        update_group(&mut policy, &name("a"), &off).unwrap();
        assert_eq!(policy.groups["a"].egress.len(), 1);
        let on = GroupChange { default_egress: Some(true), ..GroupChange::default() };
        update_group(&mut policy, &name("a"), &on).unwrap();
        update_group(&mut policy, &name("a"), &on).unwrap();
        assert_eq!(policy.groups["a"].egress.len(), 2);
    }

    #[test]
    fn members_are_added_once_and_removed_only_if_there() {
        let mut policy = policy("[groups.a]\nmembers = [\"192.0.2.1\"]\n");
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let change = GroupChange {
            add_members: vec![net("192.0.2.1/32"), net("192.0.2.2/32")],
            ..GroupChange::default()
        };
        update_group(&mut policy, &name("a"), &change).unwrap();
        assert_eq!(policy.groups["a"].members.len(), 2);
        let change = GroupChange {
            remove_members: vec![net("192.0.2.1/32"), net("192.0.2.9/32")],
            ..GroupChange::default()
        };
        let error = update_group(&mut policy, &name("a"), &change).unwrap_err();
        assert!(error.message.contains("192.0.2.9/32"));
        assert_eq!(policy.groups["a"].members.len(), 2, "nothing changed");
    }

    #[test]
    fn a_group_in_use_names_each_user_and_the_order() {
        let mut policy = policy(
            "[groups.web]\n[[groups.web.ingress]]\ngroup = \"web\"\n\
             [groups.db]\n[[groups.db.ingress]]\nprotocol = \"tcp\"\nport = 5432\ngroup = \"web\"\n\
             [[groups.db.ingress]]\nprotocol = \"tcp\"\nport = 22\ngroup = \"web\"\n\
             [interfaces.eth0]\ngroups = [\"web\"]\n",
        );
        let before = policy.clone();
        let error = delete_group(&mut policy, &name("web")).unwrap_err();
        assert_eq!(error.causes.len(), 3, "{:?}", error.causes);
        assert!(error.causes[0].starts_with("sgr-"));
        assert!(error.causes[2].contains("eth0"));
        let remove = error.help.find("rule remove sgr-").unwrap();
        let update = error.help.find("update eth0 --remove-group web").unwrap();
        let delete = error.help.find("group delete web").unwrap();
        assert!(remove < update && update < delete, "{}", error.help);
        assert_eq!(policy, before);
    }

    #[test]
    fn a_group_that_only_names_itself_can_go() {
        let mut policy = policy("[groups.web]\n[[groups.web.ingress]]\ngroup = \"web\"\n");
        delete_group(&mut policy, &name("web")).unwrap();
        assert!(policy.groups.is_empty());
    }

    #[test]
    fn an_unknown_group_names_the_nearest() {
        let mut policy = policy("[groups.web]\n");
        let error = delete_group(&mut policy, &name("wbe")).unwrap_err();
        assert!(error.help.contains("web"), "{}", error.help);
    }
}
