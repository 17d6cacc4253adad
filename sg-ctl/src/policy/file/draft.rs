//! A policy while it is being read: what is there, and where it stood.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::model::{Direction, Name, Policy};
use super::reader::Place;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Group,
    PrefixList,
}

/// A name that something refers to.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) name: Name,
    pub(super) place: Place,
}

/// The policy of all files read so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) policy: Policy,
    pub(super) references: Vec<Reference>,
    pub(super) groups: BTreeMap<Name, Place>,
    pub(super) prefix_lists: BTreeMap<Name, Place>,
    pub(super) interfaces: BTreeMap<Arc<str>, Place>,
    pub(super) options: BTreeMap<String, Place>,
    /// Places of rules; the default egress rule has none.
    pub(super) rules: HashMap<(Name, Direction), Vec<Place>>,
}
