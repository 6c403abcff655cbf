//! The ciphertext blob: what `Encrypt` and `GenerateDataKey` give out and `Decrypt` takes.
//!
//! ```text
//! offset  bytes
//!  0       1     format version: 1; 2 if the key is a multi-Region key, whose blobs open in every Region
//!  1      16     key id
//! 17       4     key version, big-endian: which of the key's materials encrypted it
//! 21      32     salt  ┐
//! 53       n     ciphertext of the n plaintext bytes, AES-256-GCM  │ the envelope of `envelope.rs`
//! 53+n    16     tag   ┘
//! ```
//! Authenticated with it: the first 21 bytes and the encryption context, each name and value with
//! its length, so that `{"a":"bc"}` is not `{"ab":"c"}`. The golden vectors below hold this format
//! still.

use zeroize::Zeroizing;

use super::{
    api::{CiphertextBlob, EncryptionContext},
    envelope::{self, Purpose},
    material::KeyVersion,
    name::KeyId,
};
use crate::crypto::SecretKey;

const VERSION: u8 = 1;
const VERSION_MULTI_REGION: u8 = 2;
const KEY_ID: std::ops::Range<usize> = 1..1 + KeyId::LEN;
const KEY_VERSION: std::ops::Range<usize> = KEY_ID.end..KEY_ID.end + 4;
const HEADER: usize = KEY_VERSION.end;

/// A blob's header, read but not yet authenticated: good for finding the key, for nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unverified<'a> {
    pub(super) key_id: KeyId,
    pub(super) key_version: KeyVersion,
    header: &'a [u8],
    envelope: &'a [u8],
}

/// Encrypts `plaintext` under `secret`, which is `version` of the key `key_id`, bound to `context`.
pub(super) fn seal(
    key_id: KeyId,
    (version, secret): (KeyVersion, &SecretKey),
    context: &EncryptionContext,
    plaintext: &[u8],
) -> CiphertextBlob {
    let mut salt = [0; envelope::SALT];
    crate::crypto::random::fill(&mut salt);
    seal_with_salt(key_id, (version, secret), context, plaintext, &salt)
}

fn seal_with_salt(
    key_id: KeyId,
    (version, secret): (KeyVersion, &SecretKey),
    context: &EncryptionContext,
    plaintext: &[u8],
    salt: &[u8; envelope::SALT],
) -> CiphertextBlob {
    let mut blob = Vec::with_capacity(HEADER + plaintext.len() + envelope::OVERHEAD);
    blob.push(if key_id.is_multi_region() {
        VERSION_MULTI_REGION
    } else {
        VERSION
    });
    blob.extend_from_slice(key_id.as_bytes());
    blob.extend_from_slice(&version.0.to_be_bytes());
    let associated = associated_data(&blob, context);
    envelope::seal_with_salt(
        secret,
        Purpose::BLOB,
        salt,
        &associated,
        plaintext,
        &mut blob,
    );
    CiphertextBlob(blob)
}

/// Reads the header of what claims to be a blob. `None`: it is none of ours.
pub(super) fn parse(blob: &CiphertextBlob) -> Option<Unverified<'_>> {
    let blob = &blob.0[..];
    if blob.len() < HEADER + envelope::OVERHEAD {
        return None;
    }
    let multi_region = match blob[0] {
        VERSION => false,
        VERSION_MULTI_REGION => true,
        _ => return None,
    };
    let (header, envelope) = blob.split_at(HEADER);
    Some(Unverified {
        key_id: KeyId::from_bytes(multi_region, header[KEY_ID].try_into().ok()?),
        key_version: KeyVersion(u32::from_be_bytes(header[KEY_VERSION].try_into().ok()?)),
        header,
        envelope,
    })
}

impl Unverified<'_> {
    /// The plaintext, if `secret` encrypted exactly this under exactly `context`.
    pub(super) fn open(
        &self,
        secret: &SecretKey,
        context: &EncryptionContext,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let associated = associated_data(self.header, context);
        envelope::open(secret, Purpose::BLOB, &associated, self.envelope).ok()
    }
}

/// `header ‖ count ‖ (length ‖ name ‖ length ‖ value)…`, numbers as 4 bytes big-endian, names in
/// byte order. An empty context is the same as none.
fn associated_data(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let length = |count: usize| u32::try_from(count).expect("requests are far below 4 GiB");
    let texts = context
        .iter()
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum::<usize>();
    let mut data = Vec::with_capacity(header.len() + 4 + texts);
    data.extend_from_slice(header);
    data.extend_from_slice(&length(context.len()).to_be_bytes());
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        data.extend_from_slice(&length(text.len()).to_be_bytes());
        data.extend_from_slice(text.as_bytes());
    }
    data
}

#[cfg(test)]
mod tests;
