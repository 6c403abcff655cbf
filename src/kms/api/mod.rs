//! The requests and responses of the AWS KMS API, with its member names on the wire.
//!
//! Source of the shapes: the operations' pages of the API reference
//! (<https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>) and the service model that
//! botocore ships. Members that the model has and a structure here has not are
//! ignored on the wire.

mod agreements;
mod algorithms;
mod aliases;
mod data;
mod deletion;
mod grants;
mod import;
mod keys;
mod macs;
pub(super) mod names;
mod pairs;
mod policies;
mod regions;
mod rotations;
mod signatures;
mod tags;
mod values;

pub use agreements::*;
pub use algorithms::*;
pub use aliases::*;
pub use data::*;
pub use deletion::*;
pub use grants::*;
pub use import::*;
pub use keys::*;
pub use macs::*;
pub use names::{
    DataKeyPairSpec, DataKeySpec, DryRunModifier, ExpirationModel, GrantOperation, ImportState,
    ImportType, IncludeKeyMaterial, KeyLastUsageTrackingOperation, KeyManager, KeyMaterialState,
    KeySpec, KeyState, KeyUsage, MultiRegionKeyType, Origin, RotationType,
};
pub use pairs::*;
pub use policies::*;
pub use regions::*;
pub use rotations::*;
pub use signatures::*;
pub use tags::*;
pub use values::{CiphertextBlob, EncryptionContext, Plaintext, PublicKey, Timestamp};

use serde::{Deserialize, Serialize};

/// The response of an operation that answers with nothing. `{}` on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A request about custom key stores, which kmsfs does not have: what it says is not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomKeyStoreRequest {}
