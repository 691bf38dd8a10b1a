//! `record`: write what a metadata service answers to a file.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Outcome, output};
use crate::cli::Record;
use crate::client::Endpoint;
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
    let mut anonymiser = if args.anonymise { Some(Anonymiser::new(random()?)) } else { None };
    if let Some(anonymiser) = &mut anonymiser {
        let (other, left_out) = anonymised(&recording, anonymiser)?;
        recording = other;
        if left_out {
            output::remark("user data is no text and cannot be anonymised: it is left out");
        }
    }
    let text = write(&recording, &heading(endpoint, anonymiser.as_mut()));
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

/// What is told of the recording; where it is from says no more of the instance than the rest.
fn heading(endpoint: &Endpoint, anonymiser: Option<&mut Anonymiser>) -> Heading {
    let from = endpoint.to_string();
    Heading {
        recorded: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        anonymised: anonymiser.is_some(),
        from: match anonymiser {
            Some(anonymiser) => anonymiser.text(&from),
            None => from,
        },
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is_from_is_anonymised_too() {
        let from = |url: &str, anonymiser: Option<&mut Anonymiser>| {
            let heading = heading(&url.parse().unwrap(), anonymiser);
            (heading.from, heading.anonymised)
        };
        let mut anonymiser = Anonymiser::new([7; 32]);
        let url = "http://10.0.1.23:1338";
        assert_eq!(from(url, None), (url.to_owned(), false));
        let other = anonymiser.text("10.0.1.23");
        assert_eq!(from(url, Some(&mut anonymiser)), (format!("http://{other}:1338"), true));
        assert_ne!(other, "10.0.1.23");
        let own = "http://169.254.169.254";
        assert_eq!(from(own, Some(&mut anonymiser)), (own.to_owned(), true));
    }
}
