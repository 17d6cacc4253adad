//! The only place that talks to the kernel: maps, programs, links, devices, sockets.

pub mod acceptance;
mod attaching;
pub mod bench;
pub mod bpffs;
mod clsact;
pub mod connections;
mod counters;
pub mod devices;
mod directory;
pub mod enforcement;
mod error;
pub mod explain;
mod frame;
pub mod images;
pub mod kernel;
mod mapped;
mod maps;
mod netlink;
pub mod netns;
pub mod probe;
pub mod programs;
mod sockets;
pub mod ssh;
mod sys;
#[cfg(feature = "fault-injection")]
mod torn;

pub use error::DatapathError;
pub use programs::{Attachment, Found};
