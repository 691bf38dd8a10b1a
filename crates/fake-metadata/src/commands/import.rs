//! `import`: another tool's configuration as ours.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use aemm_compat::settings::Settings;
use jiff::Timestamp;

use super::{Outcome, output};
use crate::cli::ImportCommand;
use crate::config::Sources;
use crate::import::import;
use crate::state::Played;

pub(super) fn run(command: &ImportCommand) -> Outcome {
    let ImportCommand::Aemm { file, output } = command;
    let said = Settings::read(file)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let now = Timestamp::now();
    let imported = import(&said, &name, now).map_err(|message| format!("{}: {message}", file.display()))?;
    for note in &imported.notes {
        output::remark(format_args!("{name}: {note}"));
    }
    let folder = match output {
        Some(path) if path != Path::new("-") => {
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
        }
        _ => std::env::temp_dir(),
    };
    let mut written = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(&folder)
        .map_err(|e| format!("write to {}: {e}", folder.display()))?;
    written.write_all(imported.text.as_bytes())?;
    // What is handed out is what `check` accepts.
    let loaded = Sources { file: Some(written.path().to_owned()), ..Sources::default() }.load()?;
    Played::from(&loaded, now)?;
    match output {
        Some(path) if path != Path::new("-") => {
            written.as_file().sync_all()?;
            written.persist(path).map_err(|e| format!("write {}: {}", path.display(), e.error))?;
        }
        _ => output::print(&imported.text)?,
    }
    Ok(ExitCode::SUCCESS)
}
