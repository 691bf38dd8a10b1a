//! How the AWS SDK is set up here: every setting given, none found out. It looks at no environment variable but
//! those that name a proxy, asks no metadata service for a region, and leaves retries to the store.

use std::cell::RefCell;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use aws_types::sdk_config::SharedHttpClient;
use jiff::Timestamp;

use super::profiles::innermost;
use super::trouble::{Trouble, line};
use crate::credentials::{Credentials, Secret};
use crate::document::check_keys;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Refreshes are minutes apart.
const IDLE: Duration = Duration::from_secs(10);

thread_local! {
    /// Outgoing work has one thread, and a connection belongs to the runtime that opened it.
    static CLIENTS: RefCell<(Option<SharedHttpClient>, Option<SharedHttpClient>)> =
        const { RefCell::new((None, None)) };
}

/// The HTTP client of this thread. The certificates of authorities are read when first needed. As with any SDK,
/// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say which proxy leads to the service.
pub(crate) fn http_client(encrypted: bool) -> SharedHttpClient {
    let client = move || {
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder().pool_idle_timeout(IDLE).proxy_config(proxy());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            match encrypted {
                true => builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build(),
                false => builder.build_http(),
            }
        })
    };
    CLIENTS.with_borrow_mut(|(plain, tls)| {
        let kept = if encrypted { tls } else { plain };
        kept.get_or_insert_with(client).clone()
    })
}

/// The proxy that the environment names. `NO_PROXY=*` means every host; the library leaves addresses out of that.
fn proxy() -> ProxyConfig {
    let exempt = |name| std::env::var(name).is_ok_and(|hosts| hosts.trim() == "*");
    match exempt("NO_PROXY") || exempt("no_proxy") {
        true => ProxyConfig::disabled(),
        false => ProxyConfig::from_env(),
    }
}

/// Where a service is asked, and how long for.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) region: String,
    /// In place of the region's own.
    pub(crate) endpoint: Option<String>,
    pub(crate) timeout: Duration,
}

impl Place {
    /// The settings of a client that signs with `credentials`, or not at all.
    pub(crate) fn config(&self, credentials: Option<&Credentials>) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT.min(self.timeout))
            .operation_attempt_timeout(self.timeout)
            .operation_timeout(self.timeout)
            .build();
        let encrypted = !self.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .http_client(http_client(encrypted))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .identity_cache(IdentityCache::no_cache())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new());
        config.set_endpoint_url(self.endpoint.clone());
        config.set_credentials_provider(
            credentials.map(|credentials| SharedCredentialsProvider::new(for_sdk(credentials))),
        );
        config.build()
    }

    /// What went wrong when `action` was asked of it.
    pub(crate) fn trouble<E, R>(&self, action: &str, error: &SdkError<E, R>) -> Trouble
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let place = self.endpoint.as_deref().map_or_else(|| self.region.clone(), shown);
        let cause = match error {
            SdkError::TimeoutError(_) => format!("no answer within {} s", self.timeout.as_secs()),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                format!("no connection within {} s", CONNECT.min(self.timeout).as_secs())
            }
            SdkError::DispatchFailure(failure) => {
                failure.as_connector_error().map_or("no connection".into(), |e| line(&innermost(e)))
            }
            SdkError::ServiceError(context) => match (context.err().code(), context.err().message()) {
                (Some(code), Some(message)) => format!("{}: {}", line(code), line(message)),
                (Some(code), None) => line(code),
                (None, _) => "its answer cannot be read (is this AWS?)".into(),
            },
            SdkError::ResponseError(_) => "its answer cannot be read (is this AWS?)".into(),
            _ => line(&innermost(error)),
        };
        // Should the cause quote the URL.
        let cause = match self.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) {
            Some(endpoint) => cause.replace(endpoint, &place),
            None => cause,
        };
        Trouble::new(format!("{action} at {place}: {cause}"))
    }
}

/// A URL for messages: without user name, password and query. A password may hold anything unescaped, so
/// all before the last `@` goes.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit('@').next().unwrap_or(rest);
    let rest = rest.split('?').next().unwrap_or(rest);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

/// The error code of the service's answer.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    match error {
        SdkError::ServiceError(context) => context.err().code(),
        _ => None,
    }
}

fn for_sdk(credentials: &Credentials) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(
        credentials.access_key_id.clone(),
        credentials.secret_access_key.expose(),
        credentials.token.as_ref().map(|token| token.expose().to_owned()),
        None,
        "fake-metadata",
    )
}

/// Keys as a service answers them. `expires`: seconds since 1970.
pub(crate) fn taken(
    id: &str,
    secret: &str,
    token: &str,
    expires: i64,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    check_keys(id, secret, Some(token)).map_err(|error| Trouble::new(format!("its answer: {error}")))?;
    let expiration = Timestamp::from_second(expires)
        .map_err(|_| Trouble::new("its answer holds a time that there is not"))?;
    Ok(Credentials {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(secret),
        token: Some(Secret::new(token)),
        expiration: Some(expiration),
        last_updated: crate::credentials::whole_seconds(now),
        account_id: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_is_shown() {
        for (url, expected) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("http://user:hunter2@127.0.0.1:5000/sts", "http://127.0.0.1:5000/sts"),
            ("https://user:hunt/er2@x", "https://x"),
            ("https://x/?key=hunter2", "https://x/"),
            ("user:hunter2@x", "x"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[tokio::test]
    async fn messages_of_a_service_leave_it_out() {
        for endpoint in ["http://user:hunter2@127.0.0.1:1", "not a url:hunter2@x", "http://user:hunter2@"] {
            let timeout = Duration::from_secs(10);
            let place = Place { region: "us-east-1".into(), endpoint: Some(endpoint.into()), timeout };
            let error = aws_sdk_sts::Client::new(&place.config(None)).get_caller_identity().send().await;
            let said = place.trouble("GetCallerIdentity", &error.unwrap_err()).text;
            assert!(said.starts_with("GetCallerIdentity at ") && !said.contains("hunter2"), "{said}");
        }
    }
}
