//! The program `jiaozi`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
