//! Single changes of a policy: what the command line's verbs do to it.
//!
//! Every function either does the whole change or leaves the policy as it was and says why.

mod block;
mod entries;
mod group;
mod interface;
mod prefix_list;
mod rule;

use std::fmt::Display;

use super::check::{self, Finding, Subject};
use super::model::{Name, Policy};
use super::text::Malformed;

pub use block::{BlockCount, block, unblock, unblock_all};
pub use group::{GroupChange, create_group, delete_group, update_group};
pub use interface::{InterfaceChange, attach, detach, update_interface};
pub use prefix_list::{
    add_entries, create_prefix_list, delete_prefix_list, describe_prefix_list, remove_entries,
    set_entries,
};
pub use rule::{Clear, RuleChange, RulePlace, add_rule, find_rule, modify_rule, remove_rule};

/// A change that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EditError {
    /// What cannot be done.
    pub message: String,
    /// What stands in the way, one each.
    pub causes: Vec<String>,
    /// What to do instead.
    pub help: String,
}

impl EditError {
    /// A refusal without causes of its own.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), help: help.into() }
    }

    fn because(mut self, causes: impl IntoIterator<Item = impl Display>) -> Self {
        /// Causes beyond this number are only counted.
        const MOST: usize = 100;
        let all: Vec<String> = causes.into_iter().map(|cause| cause.to_string()).collect();
        let more = all.len().saturating_sub(MOST);
        self.causes.extend(all.into_iter().take(MOST));
        if more > 0 {
            self.causes.push(format!("and {more} more"));
        }
        self
    }
}

impl From<Malformed> for EditError {
    fn from(Malformed { message, help }: Malformed) -> Self {
        Self::new(message, help)
    }
}

impl From<Finding> for EditError {
    fn from(Finding { message, help, .. }: Finding) -> Self {
        Self::new(message, help)
    }
}

fn unknown_group(policy: &Policy, name: &Name) -> EditError {
    check::unknown("group", name, Subject::Policy, policy.groups.keys()).into()
}

fn unknown_list(policy: &Policy, name: &Name) -> EditError {
    check::unknown("prefix list", name, Subject::Policy, policy.prefix_lists.keys()).into()
}

/// Refuses a group that does not exist, or one that is named twice.
fn known_groups(policy: &Policy, names: &[Name]) -> Result<(), EditError> {
    for (index, name) in names.iter().enumerate() {
        if !policy.groups.contains_key(name) {
            return Err(unknown_group(policy, name));
        }
        if names[..index].contains(name) {
            let message = format!("the group \"{name}\" is named twice");
            return Err(EditError::new(message, "name it once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod testing {
    use super::super::file::load::{Input, load};
    use super::super::file::source::Format;
    use super::super::model::{Name, Policy};

    pub(super) fn policy(text: &str) -> Policy {
        let input = Input::Bytes("test".into(), text.as_bytes().to_vec());
        load(vec![input], Some(Format::Toml)).unwrap_or_else(|e| panic!("{e}")).policy
    }

    pub(super) fn name(text: &str) -> Name {
        text.parse().unwrap()
    }
}
