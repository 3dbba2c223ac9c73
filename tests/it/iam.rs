//! Identity and policy: signatures against AWS's public suite and botocore, policies against AWS's
//! documented order, state that survives a crash, and the door on an endpoint.

mod oracle;
mod policy;
mod sigv4;
pub(crate) mod state;

/// The Python that `SMRT_PYTHON` names; says why a test is skipped where it names none.
fn python(needs: &str) -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SMRT_PYTHON").filter(|path| !path.is_empty());
    if python.is_none() {
        println!("skipped: SMRT_PYTHON does not name a Python with {needs}");
    }
    python
}
