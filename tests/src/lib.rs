//! Fixtures of the integration tests: network namespaces joined by veth pairs, the program under
//! test, real clients and servers, raw frames, and awaiting what they show.
//!
//! The tests are black boxes: they drive the command line and look at packets. They need root; built
//! without it they are ignored, which the test runner shows (`build.rs`). Every fixture takes away what it made when it is
//! dropped, which a failing test does too; what a killed run left is swept by the next.

pub mod foreign;
pub mod frame;
pub mod namespace;
pub mod net;
pub mod numbered;
pub mod ping;
pub mod probe;
pub mod realtime;
pub mod report;
pub mod rng;
pub mod services;
pub mod sg;
pub mod tun;
pub mod wait;
pub mod wire;

/// The ingress hooks over which every table of expectations runs.
pub const HOOKS: [&str; 3] = ["xdp", "xdp-generic", "tc"];
