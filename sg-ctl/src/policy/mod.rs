//! Policy: model, file format, validation. Pure: no clock, no terminal, no kernel.

pub mod block;
pub mod canonical;
pub mod check;
pub mod cidr;
pub mod diff;
pub mod edit;
pub mod egress;
pub mod export;
pub mod file;
pub mod identity;
pub mod merge;
pub mod model;
mod protocol;
pub mod render;
pub mod resolve;
pub mod rules;
pub mod schema;
pub mod seeding;
pub mod serial;
pub mod suggest;
pub mod text;
pub mod valid;
