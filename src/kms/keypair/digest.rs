//! What RSA and ECDSA sign: a digest, or a message that still has to be digested.

use aws_lc_rs::digest;

/// The hash function of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kms) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Bytes of a digest.
    pub(in crate::kms) const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// What is to be signed or was signed.
#[derive(Clone, Copy)]
pub(in crate::kms) enum Message<'a> {
    /// The message itself.
    Raw(&'a [u8]),
    /// Its digest under the signature's hash function, of that function's length.
    Digest(&'a [u8]),
}

impl Message<'_> {
    /// The digest. `None` if what claims to be one has another length.
    pub(super) fn digest(self, hash: Hash) -> Option<digest::Digest> {
        match self {
            Self::Raw(message) => Some(digest::digest(hash.algorithm(), message)),
            Self::Digest(digest) => digest::Digest::import_less_safe(digest, hash.algorithm())
                .ok()
                .filter(|_| digest.len() == hash.len()),
        }
    }
}
