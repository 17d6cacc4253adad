//! Connections: which packets of a closed direction belong to a connection that the open direction
//! let start (spec §2.7 to §2.12).
//!
//! ```text
//! key    zone, addresses, ports, protocol, direction of the opener         key.rs
//! place  a word in a bucket: state, fingerprint, end of life               place.rs
//! table  two buckets of eight places for each key                          table.rs
//! state  what a packet does to a connection                                state.rs, tcp.rs, sctp.rs
//! seed   connections that are known from elsewhere                         seed.rs
//! ```
//!
//! An entry is written once, when its connection opens, and read afterwards. What changes is one
//! word: the place in the bucket. It is only ever changed by compare-and-exchange, so state and end
//! of life change together, and of two CPUs that want the same place one looks for another.

mod key;
mod place;
mod sctp;
mod seed;
mod state;
mod table;
mod tcp;

pub(crate) use key::icmp_counterpart;
pub use key::{Hash, Key};
pub use place::{Place, State};
pub use seed::{Seed, seed};
pub(crate) use state::could_open;
pub use state::{Opening, Sender, admits, next, opening, timeout, update};
pub(crate) use table::ATTEMPTS;
pub use table::{Found, Opened, Table, WORDS, find, open, refresh, search};
