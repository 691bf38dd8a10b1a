//! `record`: write what a metadata service answers to a file.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Outcome, output};
use crate::cli::Record;
use crate::recording::{Anonymiser, Heading, Source, anonymised, walk, write};
use crate::state_dir::random;

/// User data may hold what only its owner should read.
const MODE: u32 = 0o600;

pub(super) fn record(args: &Record) -> Outcome {
    let endpoint = &args.from;
    let mut source = Source::new(endpoint.clone(), !args.v1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let walked = runtime.block_on(walk(&mut source, &args.versions, |version, paths| {
        output::remark(format_args!("{version}: {paths} paths"));
    }))?;
    let mut recording = walked.recording;
    if args.anonymise {
        let (other, left_out) = anonymised(&recording, &mut Anonymiser::new(random()?))?;
        recording = other;
        if left_out {
            output::remark("user data is no text and cannot be anonymised: it is left out");
        }
    }
    let heading = Heading {
        recorded: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        from: endpoint.to_string(),
        anonymised: args.anonymise,
    };
    let text = write(&recording, &heading);
    let to_stdout = args.output == Path::new("-");
    if to_stdout {
        output::print(&text)?;
    } else {
        save(&args.output, &text).map_err(|e| format!("write {}: {e}", args.output.display()))?;
    }
    let name = if to_stdout { "standard output".into() } else { args.output.display().to_string() };
    output::remark(format_args!(
        "{name}: {} versions, {} credentials and signatures left out, {} listed paths lead nowhere, {} requests",
        recording.versions().count(),
        walked.secrets,
        walked.dead,
        source.requests()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes the file whole or not at all.
fn save(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = std::fs::Permissions::from_mode(MODE);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
