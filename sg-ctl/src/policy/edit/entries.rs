//! Sorted lists of networks: what is added to them and removed from them.

use std::sync::Arc;

use ipnet::IpNet;

/// Entries that a list does not have.
pub(super) struct Missing {
    /// They.
    pub(super) entries: Vec<IpNet>,
    /// An entry of the list that holds the first of them.
    wider: Option<IpNet>,
}

impl Missing {
    /// What to do, where the list has a wider entry.
    pub(super) fn help(&self) -> Option<String> {
        let (first, wider) = (self.entries.first()?, self.wider?);
        Some(format!("the entry {wider} holds {first}; remove that one, or put it in parts"))
    }
}

/// Entries as a list has them.
pub(super) fn sorted(mut entries: Vec<IpNet>) -> Arc<[IpNet]> {
    entries.sort_unstable();
    entries.dedup();
    entries.into()
}

/// Adds entries; how many were new.
pub(super) fn add(list: &mut Arc<[IpNet]>, entries: Vec<IpNet>) -> usize {
    let before = list.len();
    let mut all = list.to_vec();
    all.extend(entries);
    *list = sorted(all);
    list.len() - before
}

/// Removes entries, or none if the list does not have one of them; how many.
pub(super) fn remove(list: &mut Arc<[IpNet]>, entries: &[IpNet]) -> Result<usize, Missing> {
    let gone = sorted(entries.to_vec());
    let unknown = |entry: &&IpNet| list.binary_search(entry).is_err();
    let missing: Vec<IpNet> = gone.iter().filter(unknown).copied().collect();
    if let Some(first) = missing.first() {
        let wider = list.iter().find(|other| other.contains(first)).copied();
        return Err(Missing { entries: missing, wider });
    }
    let stays = |entry: &&IpNet| gone.binary_search(entry).is_err();
    let left: Vec<IpNet> = list.iter().filter(stays).copied().collect();
    *list = left.into();
    Ok(gone.len())
}
