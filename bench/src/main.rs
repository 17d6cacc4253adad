//! `sg-bench`: compares the filter with its peers. `cargo xtask bench` builds and runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sg_bench::cli::main()
}
