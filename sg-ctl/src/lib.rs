//! The controller of sg: policy model, compiler, store, datapath and command line.
//!
//! Layers, each using only those before it: [`policy`], [`compile`], [`store`], [`datapath`], and
//! [`cli`] on top. [`mod@bench`] makes policies and packets for measurements.

mod aside;
pub mod bench;
pub mod cli;
pub mod compile;
pub mod datapath;
pub mod error;
pub mod fault;
pub mod host;
pub mod policy;
mod quick;
pub mod store;
pub mod transaction;
