//! `identity certificate`: the certificate that verifies the identity document.

use std::process::ExitCode;

use super::{Outcome, output};
use crate::cli::Places;
use crate::identity::load_or_make;
use crate::state_dir::StateDir;

pub(super) fn certificate(places: &Places) -> Outcome {
    let identity = load_or_make(&StateDir::new(places.state_dir()?))?;
    output::print(identity.certificate_pem()?)?;
    Ok(ExitCode::SUCCESS)
}
