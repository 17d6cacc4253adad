//! `sg-ctl`: see the library.

fn main() {}
