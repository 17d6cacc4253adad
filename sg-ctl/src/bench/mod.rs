//! What is measured: policies and packets made from a seed. Pure.

pub mod generate;
pub mod packets;
