//! The comparison of the filter with its peers: what a packet costs, over the number of rules.
//!
//! ```text
//! sender (live frames) -> veth -> a lane for each filter: XDP, netdev ingress, or before routing
//! ```
//! All filters are loaded with the same rules, each on a lane of its own, checked on a sample, and
//! then timed in turns. Only network namespaces of the run itself are touched.

pub mod classbench;
pub mod cli;
pub mod command;
pub mod guard;
pub mod kernel;
pub mod lane;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod plot;
pub mod report;
pub mod ruleset;
pub mod sender;
pub mod stats;
pub mod styles;
pub mod trace;
