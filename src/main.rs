//! The `smrt` binary: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    smrt::cli::main(std::env::args_os())
}
