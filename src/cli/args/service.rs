//! Which key service a command uses.

use std::path::PathBuf;

use clap::Args;

use crate::kms::Target;

/// The key service that holds a volume's KMS key.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceArgs {
    /// Key service: `embedded` is the home's own, `unix:PATH` the socket of a `kmsfs kms serve`,
    /// and a URL a kmsfs server or AWS KMS, with the credentials that the AWS tools use
    /// [default: embedded]
    #[arg(long, value_name = "embedded|unix:PATH|http(s)://HOST:PORT")]
    pub kms: Option<Target>,
    /// PEM file with the certificates that the key service's certificate is checked by, in place
    /// of the system's [env: AWS_CA_BUNDLE]
    #[arg(long, value_name = "FILE")]
    pub kms_ca: Option<PathBuf>,
}
