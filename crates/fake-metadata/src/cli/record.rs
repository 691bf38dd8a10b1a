//! `record`.

use std::path::PathBuf;

use clap::Args;

/// `fake-metadata record`
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The metadata service to record
    #[arg(
        long,
        value_name = "URL",
        env = "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        default_value = "http://169.254.169.254"
    )]
    pub(crate) from: String,
    /// The file to write, readable by its owner alone; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "recording.json")]
    pub(crate) output: PathBuf,
    /// The API versions to record, separated by commas [default: all that GET / lists]
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub(crate) versions: Vec<String>,
    /// Put other accounts, addresses and ids in the place of the real ones, the same for the same everywhere
    #[arg(long)]
    pub(crate) anonymise: bool,
    /// Ask without session tokens, as an IMDSv1 client does
    #[arg(long)]
    pub(crate) v1: bool,
}
