//! Asking AWS KMS, or a kmsfs server, through the AWS SDK: its chain of credentials, its signatures,
//! retries and timeouts.
//!
//! The SDK's own client of KMS has a type for each operation's request and answer. So have we, of the
//! same JSON ([`super::api`]); so this drives the SDK's runtime with a single operation whose body is
//! made and read here.

use std::{error::Error, fmt, fs, path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_runtime::{
    auth::{SigV4OperationSigningConfig, SigningOptions, sigv4},
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime::client::{
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        http::SharedHttpClient,
        identity::SharedIdentityResolver,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::Layer,
    error::{
        display::DisplayErrorContext,
        metadata::{ErrorMetadata, ProvideErrorMetadata},
    },
};
use aws_types::{SigningName, region::SigningRegion};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::{
    Caller, KmsError, RemoteError,
    client::Failure,
    target::Endpoint,
    wire::{self, CALLER, CONTENT_TYPE, ErrorBody, TARGET},
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a call may take, every attempt and the credentials included.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client of one endpoint. Calls block; any number of threads may share it. Not to be used from
/// asynchronous code.
pub(super) struct SdkClient {
    runtime: Runtime,
    operation: Operation<Call, Answer, Refusal>,
}

impl SdkClient {
    /// A client of `endpoint` that signs for `region`, or for the Region that the SDK finds. The
    /// certificates in `ca` are trusted in place of the system's.
    pub(super) fn new(
        endpoint: &Endpoint,
        region: Option<&str>,
        ca: Option<&Path>,
    ) -> Result<Self, RemoteError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kms-client")
            .enable_all()
            .build()
            .map_err(RemoteError::Start)?;
        let http = http_client(endpoint, ca)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = runtime.block_on(loader.load());
        let operation = operation(endpoint, &config, http)?;
        Ok(Self { runtime, operation })
    }

    /// Calls the operation `target`, for `caller` if it is forwarded.
    pub(super) fn call<R: DeserializeOwned>(
        &self,
        target: &str,
        caller: Option<&Caller>,
        request: &impl Serialize,
    ) -> Result<R, Failure> {
        let body = serde_json::to_vec(request).expect("requests are plain data");
        let call = Call {
            target: target.to_owned(),
            caller: caller.map(wire::encode_caller),
            // The body may hold a plaintext: wiped once sent.
            body: Bytes::from_owner(Zeroizing::new(body)),
        };
        let answer = self.runtime.block_on(self.operation.invoke(call));
        let Answer(body) = answer.map_err(failure)?;
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        serde_json::from_slice(body)
            .map_err(|error| Failure::Lost(format!("its answer to {target} is malformed: {error}")))
    }
}

/// A request on its way.
struct Call {
    target: String,
    caller: Option<String>,
    body: Bytes,
}

/// The body of an answer. It may hold a plaintext.
struct Answer(Zeroizing<Vec<u8>>);

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// The service said no.
#[derive(Debug)]
struct Refusal(ErrorMetadata);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Refusal {}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

fn http_client(endpoint: &Endpoint, ca: Option<&Path>) -> Result<SharedHttpClient, RemoteError> {
    let trust = match ca {
        Some(file) => {
            let unusable = |reason: String| RemoteError::Certificates {
                file: file.to_owned(),
                reason,
            };
            let pem = fs::read(file).map_err(|error| unusable(error.to_string()))?;
            if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_none() {
                return Err(unusable("it holds no PEM certificate".to_owned()));
            }
            TrustStore::empty().with_pem_certificate(pem)
        }
        None if endpoint.is_tls() => TrustStore::default(),
        // Nobody to trust, and a system without certificates is no obstacle.
        None => TrustStore::empty(),
    };
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.expect("a trust store is all that it holds");
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_https())
}

fn operation(
    endpoint: &Endpoint,
    config: &SdkConfig,
    http: SharedHttpClient,
) -> Result<Operation<Call, Answer, Refusal>, RemoteError> {
    let region = config.region().ok_or(RemoteError::NoRegion)?;
    let credentials = config
        .credentials_provider()
        .ok_or(RemoteError::NoCredentials)?;
    let mut signing_options = SigningOptions::default();
    signing_options.double_uri_encode = true;
    signing_options.normalize_uri_path = true;
    let mut layer = Layer::new("kms");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigningName::from_static("kms"));
    layer.store_put(SigningRegion::from(region.clone()));
    layer.store_put(SigV4OperationSigningConfig {
        signing_options,
        ..Default::default()
    });
    let components = RuntimeComponentsBuilder::new("kms")
        .with_auth_scheme(SharedAuthScheme::new(sigv4::SigV4AuthScheme::new()))
        .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
            StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]),
        )))
        .with_identity_resolver(sigv4::SCHEME_ID, SharedIdentityResolver::new(credentials));
    let signing = StaticRuntimePlugin::new()
        .with_config(layer.freeze())
        .with_runtime_components(components);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(PATIENCE)
        .build();
    let retries = config.retry_config().cloned();
    Ok(Operation::builder()
        .service_name("KMS")
        .operation_name("Call")
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(endpoint.url())
        .runtime_plugin(signing)
        .standard_retry(&retries.unwrap_or_else(RetryConfig::standard))
        .retry_classifier(TransientErrorClassifier::<Refusal>::new())
        .retry_classifier(AwsErrorCodeClassifier::<Refusal>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .timeout_config(timeouts)
        .with_connection_poisoning()
        .serializer(write)
        .deserializer(read)
        .build())
}

fn write(call: Call) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(call.body));
    request.set_method("POST")?;
    request.set_uri("/")?;
    let headers = request.headers_mut();
    headers.try_insert("content-type", CONTENT_TYPE)?;
    headers.try_insert(TARGET, call.target)?;
    headers.try_insert("user-agent", concat!("kmsfs/", env!("CARGO_PKG_VERSION")))?;
    if let Some(caller) = call.caller {
        headers.try_insert(CALLER, caller)?;
    }
    Ok(request)
}

fn read(response: &HttpResponse) -> Result<Answer, OrchestratorError<Refusal>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(Answer(Zeroizing::new(body.to_vec())));
    }
    let metadata = match serde_json::from_slice::<ErrorBody>(body) {
        // Some services put a namespace before the name.
        Ok(error) => ErrorMetadata::builder()
            .code(error.code.rsplit('#').next().unwrap_or_default())
            .message(error.message),
        Err(_) => ErrorMetadata::builder().message(format!(
            "it answered with status {}",
            response.status().as_u16()
        )),
    };
    Err(OrchestratorError::operation(Refusal(metadata.build())))
}

fn failure(error: SdkError<Refusal, HttpResponse>) -> Failure {
    match error {
        SdkError::ServiceError(refused) => {
            let metadata = &refused.err().0;
            let message = metadata.message().unwrap_or_default().to_owned();
            match metadata.code() {
                Some(code) => Failure::Refused(KmsError::from_wire(code, message)),
                None => Failure::Lost(message),
            }
        }
        SdkError::ConstructionFailure(_) => {
            Failure::NotSent(DisplayErrorContext(error).to_string())
        }
        error => Failure::Lost(DisplayErrorContext(error).to_string()),
    }
}
