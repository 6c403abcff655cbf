//! The requests and responses of the AWS KMS API, with its member names on the wire.
//!
//! Source of the shapes: the operations' pages of the API reference
//! (<https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>) and the service model that
//! botocore ships. Members of operations' later parts (grant tokens, Nitro recipients, custom key
//! stores) are ignored on the wire until those parts exist.

mod aliases;
mod data;
mod keys;
pub(super) mod names;
mod policies;
mod rotations;
mod values;

pub use aliases::*;
pub use data::*;
pub use keys::*;
pub use names::{
    DataKeySpec, EncryptionAlgorithm, IncludeKeyMaterial, KeyManager, KeyMaterialState, KeySpec,
    KeyState, KeyUsage, Origin, RotationType,
};
pub use policies::*;
pub use rotations::*;
pub use values::{CiphertextBlob, EncryptionContext, Plaintext, Timestamp};

use serde::{Deserialize, Serialize};

/// The response of an operation that answers with nothing. `{}` on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}
