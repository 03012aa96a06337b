//! The program `jiaozi`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

/// A node makes and drops many small values on many threads; the system's allocator spent a twelfth of its time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
