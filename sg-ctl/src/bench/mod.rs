//! What `sg-ctl bench` measures: policies of a style, and packets drawn from a policy. Pure, no I/O.

pub mod generate;
pub mod trace;
