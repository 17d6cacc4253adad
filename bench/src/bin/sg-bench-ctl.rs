//! `sg-ctl`, for the tests of this package alone: cargo builds only programs of the package under test.

use std::process::ExitCode;

fn main() -> ExitCode {
    sg_ctl::cli::main(std::env::args_os())
}
