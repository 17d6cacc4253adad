//! `sg-ctl`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sg_ctl::cli::main(std::env::args_os())
}
