//! A key service outside this home: a kmsfs server, through its socket or over HTTP, or AWS KMS.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Caller, KeyService, KmsError,
    api::{self, Empty},
    client::{Client, Failure},
    sdk::SdkClient,
    service::{changes_something, with_operations},
    target::Target,
    wire::{AuditAnchorRequest, AuditAnchorResponse, EpochRequest, EpochResponse, SOCKET},
};
use crate::audit::{Anchored, Head};

/// How long a call through the socket may take, a restart of the server included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before asking again while nobody listens.
const RETRY: Duration = Duration::from_millis(20);

/// How often a kmsfs server is asked when there is nothing else to ask: its epoch is news as well.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often AWS KMS is, where each request costs.
const AWS_HEARTBEAT: Duration = Duration::from_secs(20);
/// How long what AWS KMS decided holds for an open file: it tells nobody of its changes.
const AWS_EPOCH: Duration = Duration::from_mins(5);

/// Why a key service elsewhere cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The certificates to trust cannot be used.
    #[error("the certificates in {file} cannot be used: {reason}")]
    Certificates {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No Region was given or found.
    #[error("no Region: name the KMS key by its ARN, or set AWS_REGION")]
    NoRegion,
    /// There is no source of credentials at all.
    #[error("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")]
    NoCredentials,
    /// It does not answer, or not as a key service.
    #[error("the key service {service}: {reason}")]
    Unusable {
        /// Where it is.
        service: String,
        /// Its answer.
        reason: KmsError,
    },
    /// A thread of this process could not be started.
    #[error("the client of the key service could not be started: {0}")]
    Start(io::Error),
}

/// Reaches the key service at `target`, signing for `region` where requests are signed, or else for
/// the Region that the AWS configuration names; `ca` holds the certificates to trust in place of the
/// system's. `None` for the home's own.
///
/// # Errors
/// [`RemoteError`].
pub fn connect(
    target: &Target,
    region: Option<&str>,
    ca: Option<&Path>,
) -> Result<Option<Arc<dyn KeyService>>, RemoteError> {
    let channel = match target {
        Target::Embedded => return Ok(None),
        Target::Unix(path) if path.is_dir() => Channel::Socket(Client::new(path.join(SOCKET))),
        Target::Unix(path) => Channel::Socket(Client::new(path.clone())),
        Target::Http(endpoint) => Channel::Http(SdkClient::new(endpoint, region, ca)?),
    };
    Ok(Some(Arc::new(Remote::over(channel, target.to_string())?)))
}

/// A key service elsewhere.
struct Remote {
    channel: Channel,
    /// Where, for messages.
    name: String,
    /// A kmsfs server: it tells its epoch, anchors audit logs and lets a registered mount speak for
    /// others. AWS KMS does none of these.
    is_kmsfs: bool,
    connected: Instant,
}

enum Channel {
    Socket(Client),
    Http(SdkClient),
}

impl Remote {
    /// Finds out what answers.
    fn over(channel: Channel, name: String) -> Result<Self, RemoteError> {
        let mut remote = Self {
            channel,
            name,
            is_kmsfs: true,
            connected: Instant::now(),
        };
        match is_kmsfs(remote.call("Epoch", "Kmsfs.Epoch", None, &Empty {})) {
            Ok(is_kmsfs) => remote.is_kmsfs = is_kmsfs,
            Err(reason) => {
                return Err(RemoteError::Unusable {
                    service: remote.name,
                    reason,
                });
            }
        }
        Ok(remote)
    }

    /// AWS KMS has none to tell: each [`AWS_EPOCH`] counts as one.
    fn epoch_of_aws(&self) -> u64 {
        self.connected.elapsed().as_secs() / AWS_EPOCH.as_secs()
    }

    fn call<R: DeserializeOwned>(
        &self,
        operation: &str,
        target: &str,
        caller: Option<&Caller>,
        request: &impl Serialize,
    ) -> Result<R, KmsError> {
        let failure = match &self.channel {
            Channel::Http(client) => {
                match client.call(target, caller.filter(|_| self.is_kmsfs), request) {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                }
            }
            Channel::Socket(client) => {
                let deadline = Instant::now() + PATIENCE;
                loop {
                    match client.call(target, caller, request, deadline) {
                        Ok(answer) => return Ok(answer),
                        Err(Failure::NotSent(_)) if Instant::now() + RETRY < deadline => {}
                        Err(Failure::Lost(_))
                            if !changes_something(operation)
                                && Instant::now() + RETRY < deadline => {}
                        Err(failure) => break failure,
                    }
                    thread::sleep(RETRY);
                }
            }
        };
        let name = &self.name;
        Err(match failure {
            // Its own failure is no failure of anything here.
            Failure::Refused(KmsError::Internal(reason)) => {
                KmsError::KeyUnavailable(format!("the key service {name} failed: {reason}"))
            }
            Failure::Refused(error) => error,
            Failure::NotSent(reason) => {
                KmsError::Unreachable(format!("the key service {name} is not reached: {reason}"))
            }
            Failure::Lost(reason) if changes_something(operation) => {
                KmsError::Unreachable(format!(
                    "the key service {name} did not answer {operation} ({reason}): look whether it \
                     was done before asking again"
                ))
            }
            Failure::Lost(reason) => {
                KmsError::Unreachable(format!("the key service {name} does not answer: {reason}"))
            }
        })
    }
}

/// Whether a kmsfs server gave this answer to `Epoch`. AWS KMS knows no such operation. Any other
/// refusal says nothing of who refuses, and a guess would hold as long as the mount: taken for AWS, a
/// busy or sealed server would no longer be told who asks.
fn is_kmsfs(answer: Result<EpochResponse, KmsError>) -> Result<bool, KmsError> {
    match answer {
        Ok(_) => Ok(true),
        Err(KmsError::UnknownOperation(_)) => Ok(false),
        Err(reason) => Err(reason),
    }
}

macro_rules! forward_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        impl KeyService for Remote {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    let target = concat!("TrentService.", stringify!($operation));
                    self.call(stringify!($operation), target, Some(caller), request)
                }
            )+

            fn epoch(&self) -> Result<u64, KmsError> {
                if !self.is_kmsfs {
                    return Ok(self.epoch_of_aws());
                }
                let answer: EpochResponse = self.call("Epoch", "Kmsfs.Epoch", None, &Empty {})?;
                Ok(answer.epoch)
            }

            fn follow(&self, mount: &str, enforced: Option<u64>) -> Result<u64, KmsError> {
                if !self.is_kmsfs {
                    return Ok(self.epoch_of_aws());
                }
                let request = EpochRequest::of_mount(mount, enforced);
                let answer: EpochResponse = self.call("Epoch", "Kmsfs.Epoch", None, &request)?;
                Ok(answer.epoch)
            }

            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>
            {
                if !self.is_kmsfs {
                    return Err(KmsError::Unsupported(
                        "AWS KMS anchors no audit logs".to_owned(),
                    ));
                }
                let head = Head { log: log.to_owned(), seq, hash: *hash };
                let request = AuditAnchorRequest { head };
                let answer: AuditAnchorResponse =
                    self.call("AuditAnchor", "Kmsfs.AuditAnchor", None, &request)?;
                Ok(Anchored { signature: answer.signature, other: answer.other })
            }

            fn may_wait(&self) -> bool {
                true
            }

            fn heartbeat(&self) -> Duration {
                if self.is_kmsfs { HEARTBEAT } else { AWS_HEARTBEAT }
            }

            fn ping(&self) -> Result<(), KmsError> {
                if self.is_kmsfs {
                    return self.epoch().map(drop);
                }
                let request = api::GenerateRandomRequest {
                    number_of_bytes: Some(1),
                    ..Default::default()
                };
                let (operation, target) = ("GenerateRandom", "TrentService.GenerateRandom");
                let answer: Result<api::GenerateRandomResponse, _> =
                    self.call(operation, target, None, &request);
                answer.map(drop)
            }
        }
    };
}
with_operations!(forward_operations);

#[cfg(test)]
mod tests {
    use super::{EpochResponse, KmsError, is_kmsfs};

    #[test]
    fn only_who_does_not_know_the_operation_is_taken_for_aws() {
        assert_eq!(is_kmsfs(Ok(EpochResponse { epoch: 7 })), Ok(true));
        assert_eq!(
            is_kmsfs(Err(KmsError::UnknownOperation(String::new()))),
            Ok(false)
        );
        for code in [
            "ThrottlingException",
            "ServiceUnavailableException",
            "InvalidSignatureException",
            "AccessDeniedException",
            "KMSInternalException",
            "DependencyTimeoutException",
        ] {
            let refused = KmsError::from_wire(code, "why".to_owned());
            assert_eq!(is_kmsfs(Err(refused.clone())), Err(refused), "{code}");
        }
    }
}
