//! Policy: model, file format, validation. Pure: no clock, no terminal, no kernel.

pub mod model;
