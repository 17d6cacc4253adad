//! The whole verdict (spec §2.7 to §2.21), on a host in memory.

mod before_rules;
mod blocks;
mod connections;
mod flows;
mod learning;
mod world;
