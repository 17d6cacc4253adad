//! What the kernel programs and the controller share: the packet parser, the image layout and its
//! lookup, the connection state machine, verdicts and the values of the maps.
//!
//! Nothing here performs I/O, allocates or panics; every function is total over its input, so the
//! same code runs under the kernel's verifier, in tests and under a fuzzer.
#![no_std]

pub mod classifier;
pub mod conntrack;
pub mod judge;
pub mod packet;
pub mod tables;
pub mod verdict;
pub mod word;
