//! Prefix lists: create, describe, fill, empty, delete.

use ipnet::IpNet;

use super::super::merge::{Referrer, prefix_list_referrers};
use super::super::model::{Name, Policy, PrefixList};
use super::super::text::check_description;
use super::entries::{self, sorted};
use super::group::order;
use super::{EditError, unknown_list};

/// Adds a prefix list.
///
/// # Errors
/// It exists, or its description cannot be one.
pub fn create_prefix_list(
    policy: &mut Policy,
    name: &Name,
    description: &str,
    entries: Vec<IpNet>,
) -> Result<(), EditError> {
    check_description(description)?;
    if policy.prefix_lists.contains_key(name) {
        return Err(EditError::new(
            format!("the prefix list \"{name}\" exists already"),
            format!("change it with `sg-ctl prefix-list add {name}` or `set {name}`"),
        ));
    }
    let list = PrefixList { description: description.to_owned(), entries: sorted(entries) };
    policy.prefix_lists.insert(name.clone(), list);
    Ok(())
}

/// Gives a prefix list another description.
///
/// # Errors
/// An unknown list, or a description that cannot be one.
pub fn describe_prefix_list(
    policy: &mut Policy,
    name: &Name,
    description: &str,
) -> Result<(), EditError> {
    check_description(description)?;
    list_mut(policy, name)?.description = description.to_owned();
    Ok(())
}

/// Deletes a prefix list.
///
/// # Errors
/// An unknown list, or one that rules name or that is blocked: each is a cause.
pub fn delete_prefix_list(policy: &mut Policy, name: &Name) -> Result<(), EditError> {
    if !policy.prefix_lists.contains_key(name) {
        return Err(unknown_list(policy, name));
    }
    let referrers = prefix_list_referrers(policy, name);
    if !referrers.is_empty() {
        let step = |referrer: &Referrer| match referrer {
            Referrer::Rule { id, .. } => format!("sg-ctl rule remove {id}"),
            Referrer::Interface(interface) => format!("sg-ctl detach {interface}"),
            Referrer::Block => format!("sg-ctl unblock {name}"),
        };
        let steps: Vec<String> = referrers.iter().map(step).collect();
        let message = format!("the prefix list \"{name}\" is in use");
        let last = format!("sg-ctl prefix-list delete {name}");
        return Err(EditError::new(message, order(&steps, &last)).because(&referrers));
    }
    policy.prefix_lists.remove(name);
    Ok(())
}

/// Adds entries; how many were new.
///
/// # Errors
/// An unknown list.
pub fn add_entries(
    policy: &mut Policy,
    name: &Name,
    entries: Vec<IpNet>,
) -> Result<usize, EditError> {
    let list = list_mut(policy, name)?;
    Ok(entries::add(&mut list.entries, entries))
}

/// Removes entries.
///
/// # Errors
/// An unknown list, or entries that it does not have: each is a cause.
pub fn remove_entries(
    policy: &mut Policy,
    name: &Name,
    entries: &[IpNet],
) -> Result<usize, EditError> {
    let list = list_mut(policy, name)?;
    entries::remove(&mut list.entries, entries).map_err(|missing| {
        let message = format!("the prefix list \"{name}\" does not have what is to be removed");
        let show = format!("`sg-ctl prefix-list show {name}` prints its entries");
        let causes = missing.entries.iter().map(|entry| format!("{entry} is not an entry of it"));
        EditError::new(message, missing.help().unwrap_or(show)).because(causes)
    })
}

/// Replaces all entries at once.
///
/// # Errors
/// An unknown list.
pub fn set_entries(policy: &mut Policy, name: &Name, entries: Vec<IpNet>) -> Result<(), EditError> {
    list_mut(policy, name)?.entries = sorted(entries);
    Ok(())
}

fn list_mut<'p>(policy: &'p mut Policy, name: &Name) -> Result<&'p mut PrefixList, EditError> {
    if !policy.prefix_lists.contains_key(name) {
        return Err(unknown_list(policy, name));
    }
    policy
        .prefix_lists
        .get_mut(name)
        .ok_or_else(|| EditError::new(format!("no prefix list {name}"), "name another"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::edit::testing::{name, policy};

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn entries_are_sorted_and_stored_once() {
        let mut policy = policy("");
        let entries = nets(&["10.0.1.0/24", "10.0.0.0/24", "10.0.1.0/24"]);
        create_prefix_list(&mut policy, &name("a"), "", entries).unwrap();
        assert_eq!(*policy.prefix_lists["a"].entries, *nets(&["10.0.0.0/24", "10.0.1.0/24"]));
        let added =
            add_entries(&mut policy, &name("a"), nets(&["10.0.0.0/24", "::1/128"])).unwrap();
        assert_eq!(added, 1);
        let again = create_prefix_list(&mut policy, &name("a"), "", Vec::new()).unwrap_err();
        assert!(again.message.contains("exists"));
    }

    #[test]
    fn what_a_list_does_not_have_is_not_removed_and_nothing_else_is() {
        let mut policy = policy("[prefix-lists.a]\nentries = [\"10.0.0.0/8\", \"::1\"]\n");
        let before = policy.clone();
        let entries = nets(&["::1/128", "10.1.0.0/16", "192.0.2.0/24"]);
        let error = remove_entries(&mut policy, &name("a"), &entries).unwrap_err();
        assert_eq!(error.causes.len(), 2);
        assert!(error.help.contains("10.0.0.0/8"), "{}", error.help);
        assert_eq!(policy, before);
        assert_eq!(remove_entries(&mut policy, &name("a"), &nets(&["::1/128"])).unwrap(), 1);
        assert_eq!(*policy.prefix_lists["a"].entries, *nets(&["10.0.0.0/8"]));
    }

    #[test]
    fn a_list_in_use_names_each_rule() {
        let mut policy = policy(
            "[prefix-lists.a]\nentries = []\n[groups.g]\n[[groups.g.ingress]]\nprefix-list = \"a\"\n\
             [[groups.g.egress]]\nprefix-list = \"a\"\n",
        );
        let error = delete_prefix_list(&mut policy, &name("a")).unwrap_err();
        assert_eq!(error.causes.len(), 2);
        assert!(error.help.ends_with("then `sg-ctl prefix-list delete a`"), "{}", error.help);
        policy.groups.clear();
        delete_prefix_list(&mut policy, &name("a")).unwrap();
        assert!(policy.prefix_lists.is_empty());
    }

    #[test]
    fn set_replaces_everything() {
        let mut policy = policy("[prefix-lists.a]\nentries = [\"10.0.0.0/8\"]\n");
        set_entries(&mut policy, &name("a"), nets(&["192.0.2.0/24"])).unwrap();
        assert_eq!(*policy.prefix_lists["a"].entries, *nets(&["192.0.2.0/24"]));
        let error = set_entries(&mut policy, &name("b"), Vec::new()).unwrap_err();
        assert!(error.message.contains("no prefix list \"b\""), "{error}");
    }
}
