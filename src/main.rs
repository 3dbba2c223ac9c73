//! The `smrt` binary: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = smrt::isolated(smrt::algorithm::Table::builtin()) {
        return code.into();
    }
    // Keys and credentials are about to be read.
    smrt::sandbox::hide_memory();
    smrt::cli::main(std::env::args_os())
}
