//! `sg-ctl` with fault points, for the tests alone: see `sg_tests::sg`.
//!
//! It is a program of this package, so `cargo test` builds it with the tests, and the real program
//! never has the feature.

use std::process::ExitCode;

fn main() -> ExitCode {
    sg_ctl::cli::main(std::env::args_os())
}
