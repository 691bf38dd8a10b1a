//! `record`.

use std::path::PathBuf;

use clap::Args;

use crate::client::Endpoint;

/// `fake-metadata record`
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The metadata service to record
    #[arg(
        long,
        value_name = "URL",
        value_parser = super::endpoint,
        env = "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        default_value = "http://169.254.169.254"
    )]
    pub(crate) from: Endpoint,
    /// The file to write, readable by its owner alone; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "recording.json")]
    pub(crate) output: PathBuf,
    /// The API versions to record, separated by commas [default: all that GET / lists]
    #[arg(long, value_name = "VERSIONS", value_parser = version, value_delimiter = ',')]
    pub(crate) versions: Vec<String>,
    /// Put other accounts, addresses and ids in the place of the real ones, the same for the same everywhere
    #[arg(long)]
    pub(crate) anonymise: bool,
    /// Ask without session tokens, as an IMDSv1 client does
    #[arg(long)]
    pub(crate) v1: bool,
}

/// The name of an API version, one that is not known here too: EC2 goes on adding them.
fn version(text: &str) -> Result<String, String> {
    let is_date = text.split('-').map(str::len).eq([4, 2, 2]);
    let fits = is_date && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if fits || imds::VERSIONS.contains(&text) || text == "latest" {
        return Ok(text.to_owned());
    }
    Err("write API versions as GET / lists them, as in latest,2021-03-23".into())
}
