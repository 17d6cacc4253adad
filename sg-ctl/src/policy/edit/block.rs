//! Blocks: what comes and what goes.

use ipnet::IpNet;

use super::super::model::{Name, Policy};
use super::{EditError, entries, unknown_list};

/// What of an edit was new, or went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCount {
    /// Addresses and networks.
    pub addresses: usize,
    /// Prefix lists.
    pub prefix_lists: usize,
}

/// Blocks addresses and prefix lists; how many were not blocked before.
///
/// # Errors
/// A prefix list that does not exist.
pub fn block(
    policy: &mut Policy,
    addresses: Vec<IpNet>,
    lists: &[Name],
) -> Result<BlockCount, EditError> {
    if let Some(name) = lists.iter().find(|name| !policy.prefix_lists.contains_key(*name)) {
        let mut error = unknown_list(policy, name);
        if name.as_str() == "list" {
            error.help = "`sg-ctl block` by itself lists what is blocked".to_owned();
        }
        return Err(error);
    }
    let new = lists.iter().filter(|name| policy.blocks.lists.insert((*name).clone()));
    let prefix_lists = new.count();
    // Copying a long list is for those who add to it.
    let addresses = match addresses.is_empty() {
        true => 0,
        false => entries::add(&mut policy.blocks.entries, addresses),
    };
    Ok(BlockCount { addresses, prefix_lists })
}

/// Ends blocks of addresses and prefix lists, all of them or none; how many.
///
/// # Errors
/// What is not blocked: each is a cause.
pub fn unblock(
    policy: &mut Policy,
    addresses: &[IpNet],
    lists: &[Name],
) -> Result<BlockCount, EditError> {
    const SHOW: &str = "`sg-ctl block` by itself lists what is blocked";
    let refuse = |causes: Vec<String>, help: String| {
        Err(EditError::new("what is to be unblocked is not blocked", help).because(causes))
    };
    let unknown = lists.iter().filter(|name| !policy.blocks.lists.contains(*name));
    let causes: Vec<String> =
        unknown.map(|name| format!("the prefix list \"{name}\" is not blocked")).collect();
    if !causes.is_empty() {
        return refuse(causes, SHOW.to_owned());
    }
    let addresses = match entries::remove(&mut policy.blocks.entries, addresses) {
        Ok(count) => count,
        Err(missing) => {
            let causes = missing.entries.iter().map(|entry| format!("{entry} is not blocked"));
            return refuse(causes.collect(), missing.help().unwrap_or_else(|| SHOW.to_owned()));
        }
    };
    let gone = lists.iter().filter(|name| policy.blocks.lists.remove(*name));
    Ok(BlockCount { addresses, prefix_lists: gone.count() })
}

/// Ends all blocks; how many.
pub fn unblock_all(policy: &mut Policy) -> BlockCount {
    let blocks = std::mem::take(&mut policy.blocks);
    BlockCount { addresses: blocks.entries.len(), prefix_lists: blocks.lists.len() }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{name, policy};
    use super::super::{delete_prefix_list, prefix_list::add_entries};
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn count(addresses: usize, prefix_lists: usize) -> BlockCount {
        BlockCount { addresses, prefix_lists }
    }

    #[test]
    fn what_is_blocked_already_is_not_blocked_again() {
        let mut policy = policy("[prefix-lists.a]\nentries = []\n");
        let some = nets(&["192.0.2.1/32", "10.0.0.0/8", "192.0.2.1/32"]);
        assert_eq!(block(&mut policy, some.clone(), &[name("a")]), Ok(count(2, 1)));
        assert_eq!(*policy.blocks.entries, *nets(&["10.0.0.0/8", "192.0.2.1/32"]));
        let before = policy.clone();
        assert_eq!(block(&mut policy, some, &[name("a"), name("a")]), Ok(count(0, 0)));
        assert_eq!(policy, before);
    }

    #[test]
    fn an_unknown_list_blocks_nothing() {
        let mut policy = policy("[prefix-lists.office]\nentries = []\n");
        let before = policy.clone();
        let lists = [name("office"), name("offices")];
        let error = block(&mut policy, nets(&["::1/128"]), &lists).unwrap_err();
        assert!(
            error.message.contains("offices") && error.help.contains("\"office\""),
            "{error:?}"
        );
        assert_eq!(policy, before);
        let error = block(&mut policy, Vec::new(), &[name("list")]).unwrap_err();
        assert!(error.help.contains("`sg-ctl block` by itself"), "{}", error.help);
    }

    #[test]
    fn what_is_not_blocked_is_named_and_nothing_is_unblocked() {
        let mut policy = policy("[prefix-lists.a]\nentries = []\n");
        block(&mut policy, nets(&["10.0.0.0/8", "::1/128"]), &[name("a")]).unwrap();
        let before = policy.clone();
        let error = unblock(&mut policy, &nets(&["::1/128"]), &[name("a"), name("b")]).unwrap_err();
        assert_eq!(error.causes, ["the prefix list \"b\" is not blocked"]);
        let some = nets(&["::1/128", "10.1.0.0/16", "192.0.2.1/32"]);
        let error = unblock(&mut policy, &some, &[name("a")]).unwrap_err();
        assert_eq!(error.causes.len(), 2);
        assert!(error.help.contains("10.0.0.0/8"), "{}", error.help);
        assert_eq!(policy, before);
        let both = unblock(&mut policy, &nets(&["::1/128"]), &[name("a")]);
        assert_eq!(both, Ok(count(1, 1)));
        assert_eq!(unblock_all(&mut policy), count(1, 0));
        assert!(policy.blocks.is_empty());
        assert_eq!(unblock_all(&mut policy), count(0, 0));
    }

    #[test]
    fn a_blocked_list_can_be_changed_and_not_deleted() {
        let mut policy = policy("[prefix-lists.a]\nentries = []\n");
        block(&mut policy, Vec::new(), &[name("a")]).unwrap();
        add_entries(&mut policy, &name("a"), nets(&["10.0.0.0/8"])).unwrap();
        let error = delete_prefix_list(&mut policy, &name("a")).unwrap_err();
        assert_eq!(error.causes, ["it is blocked"]);
        assert!(error.help.contains("`sg-ctl unblock a`"), "{}", error.help);
        unblock(&mut policy, &[], &[name("a")]).unwrap();
        delete_prefix_list(&mut policy, &name("a")).unwrap();
    }
}
