//! `get`: read one path as an IMDSv2 client does.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use super::Outcome;
use crate::cli::Get;

/// SDKs give up after one second; a person may wait a little longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn get(args: Get) -> Outcome {
    let endpoint = args.endpoint;
    let path = whole_path(&args.path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = runtime.block_on(async {
        let work = async {
            let token = if args.v1 { None } else { Some(endpoint.token().await?) };
            endpoint.get(&path, token.as_deref()).await
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(endpoint.silent(PATIENCE)))
    })?;
    let mut out = std::io::stdout().lock();
    out.write_all(&body).and_then(|()| out.flush()).map_err(|e| format!("write to standard output: {e}"))?;
    Ok(ExitCode::SUCCESS)
}

/// `instance-id`, `dynamic/...`, `2009-04-04/...` and `/latest/...` to a whole path.
fn whole_path(path: &str) -> String {
    let first = path.split('/').next().unwrap_or("");
    let is_version = imds::VERSIONS.contains(&first);
    match first {
        _ if path.starts_with('/') => path.into(),
        _ if is_version => format!("/{path}"),
        "meta-data" | "dynamic" | "user-data" => format!("/latest/{path}"),
        _ => format!("/latest/meta-data/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_taken() {
        for (given, whole) in [
            ("", "/latest/meta-data/"),
            ("instance-id", "/latest/meta-data/instance-id"),
            ("meta-data/mac", "/latest/meta-data/mac"),
            ("dynamic/instance-identity/", "/latest/dynamic/instance-identity/"),
            ("user-data", "/latest/user-data"),
            ("latest/user-data", "/latest/user-data"),
            ("2009-04-04/meta-data/", "/2009-04-04/meta-data/"),
            ("1.0/meta-data/", "/1.0/meta-data/"),
            ("/", "/"),
        ] {
            assert_eq!(whole_path(given), whole);
        }
    }
}
