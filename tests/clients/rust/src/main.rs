//! AWS SDK for Rust, nothing configured but the stand-in's address: region and credentials from the metadata service,
//! and a request to S3 signed with them.

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::config::ProvideCredentials;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).ok_or("usage: rust-client S3_URL")?;
    let http = aws_smithy_http_client::Builder::new().build_http();
    let shared =
        aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http.clone()).load().await;
    let provider = shared.credentials_provider().ok_or("no credentials provider")?;
    let credentials = provider.provide_credentials().await?;
    let plain = ProviderConfig::default().with_http_client(http);
    let metadata = imds::Client::builder().configure(&plain).build();
    let id = metadata.get("/latest/meta-data/instance-id").await?;

    let config =
        aws_sdk_s3::config::Builder::from(&shared).endpoint_url(endpoint).force_path_style(true).build();
    let list = aws_sdk_s3::Client::from_conf(config).list_buckets().send().await?;

    println!("region {}", shared.region().map_or("none", |region| region.as_ref()));
    println!("access-key-id {}", credentials.access_key_id());
    println!("instance-id {}", id.as_ref());
    for bucket in list.buckets() {
        println!("bucket {}", bucket.name().unwrap_or_default());
    }
    Ok(())
}
