//! The comparison of the filter with its peers: what a packet costs, over the number of rules; what
//! sockets reach behind it ([`sockets`]), what a second CPU gains ([`scaling`]), and what memory it
//! takes ([`memory`]).
//!
//! ```text
//! sender (live frames) -> veth -> a lane for each filter: XDP, netdev ingress, or before routing
//! ```
//! All filters are loaded with the same rules, each on a lane of its own, checked on a sample, and
//! then timed in turns. Only network namespaces of the run itself are touched.

pub mod classbench;
pub mod cli;
pub mod clock;
pub mod command;
pub mod guard;
pub mod kernel;
pub mod lane;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod packets;
pub mod peers;
pub mod plot;
pub mod report;
pub mod ruleset;
pub mod scaling;
pub mod sender;
pub mod sockets;
pub mod stats;
pub mod styles;
pub mod trace;
