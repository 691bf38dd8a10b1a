//! AWS SDK for Rust: the credentials of the instance's role and nothing else, as one line: `key ACCESS_KEY_ID`, or
//! `error KIND CHAIN`.

use std::error::Error;

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::config::ProvideCredentials;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let configuration = ProviderConfig::default().with_http_client(http);
    let provider = ImdsCredentialsProvider::builder().configure(&configuration).build();
    match provider.provide_credentials().await {
        Ok(credentials) => println!("key {}", credentials.access_key_id()),
        Err(error) => {
            let kind = format!("{error:?}");
            let kind = kind.split(['(', ' ', '{']).next().unwrap_or_default();
            let mut chain = error.to_string();
            let mut cause = error.source();
            while let Some(inner) = cause {
                chain.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            println!("error {kind} {}", chain.replace('\n', " "));
        }
    }
}
