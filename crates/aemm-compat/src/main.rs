//! `ec2-metadata-mock`: AEMM's program, played by ours.

use std::process::ExitCode;

fn main() -> ExitCode {
    aemm_compat::run()
}
