//! The small documents as JSON, as far as they are no types of the policy model.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What of a group is no rule; the rules lie in the chunks that it names.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct GroupDocument {
    pub(super) description: String,
    pub(super) members: Vec<IpNet>,
    pub(super) ingress: Vec<String>,
    pub(super) egress: Vec<String>,
}

/// What of a prefix list is no entry; the entries lie in the chunks that it names.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PrefixListDocument {
    pub(super) description: String,
    pub(super) entries: Vec<String>,
}

/// What is blocked; the networks lie in the chunks that it names.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct BlocksDocument {
    pub(super) prefix_lists: Vec<String>,
    pub(super) entries: Vec<String>,
}

/// What is remembered of endpoints that are no more.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct EndpointsDocument {
    pub(super) last_zone: u32,
    /// Resting numbers: last interface, first generation without it.
    pub(super) left: BTreeMap<u32, (String, u64)>,
}
