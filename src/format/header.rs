//! The header region of a file: two copies, of which one is the newest.
//!
//! A copy, integers little-endian:
//! ```text
//!    0    8  "KMSFSHDR"
//!    8    2  version: 1
//!   10    2  flags: 1 synced, 2 sparse
//!   12   12  features: compatible, read-only-compatible, incompatible (4 each): 0 in version 1
//!   24   16  file id
//!   40    8  generation: each update's is one more than the last
//!   48    8  plaintext length in bytes
//!   56    2  label length (0: no label)
//!   58    2  KMS key ARN length, 1..=256
//!   60    2  wrapped data key length, 1..=1024
//!   62    2  0
//!   64  256  label, then zeros
//!  320   32  HMAC-SHA256 under the data key over bytes 0..58 and 64..320
//!  352  256  KMS key ARN, then zeros
//!  608 1024  wrapped data key, then zeros
//! 1632  412  0
//! 2044    4  CRC-32 (IEEE) over bytes 0..2044
//! ```
//! The key slot (ARN and wrapped key) is outside the HMAC: the encryption context authenticates the
//! wrapped key, and so whoever may `ReEncrypt` can rewrap a file, also to another key, without being
//! able to read it. The CRC tells a torn copy from a forged one.

use crate::crypto::Forged;
use crate::crypto::derive::MacKey;

use super::{FileId, HEADER_LEN, KEY_ARN_MAX, LABEL_MAX};

/// Bytes of one copy.
pub const COPY_LEN: usize = HEADER_LEN / 2;

const MAGIC: &[u8; 8] = b"KMSFSHDR";
const VERSION: u16 = 1;
const SYNCED: u16 = 1;
const SPARSE: u16 = 2;

mod at {
    use super::{FileId, MacKey};
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = MAGIC + 8;
    pub(super) const FLAGS: usize = VERSION + 2;
    pub(super) const FEATURES: usize = FLAGS + 2;
    pub(super) const READ_ONLY_FEATURES: usize = FEATURES + 4;
    pub(super) const INCOMPATIBLE_FEATURES: usize = READ_ONLY_FEATURES + 4;
    pub(super) const FILE_ID: usize = INCOMPATIBLE_FEATURES + 4;
    pub(super) const GENERATION: usize = FILE_ID + FileId::LEN;
    pub(super) const LENGTH: usize = GENERATION + 8;
    pub(super) const LABEL_LEN: usize = LENGTH + 8;
    pub(super) const KEY_ARN_LEN: usize = LABEL_LEN + 2;
    pub(super) const WRAPPED_LEN: usize = KEY_ARN_LEN + 2;
    pub(super) const LABEL: usize = WRAPPED_LEN + 4;
    pub(super) const MAC: usize = LABEL + 256;
    pub(super) const KEY_ARN: usize = MAC + MacKey::TAG_LEN;
    pub(super) const WRAPPED: usize = KEY_ARN + 256;
    pub(super) const UNUSED: usize = WRAPPED + 1024;
    pub(super) const CRC: usize = super::COPY_LEN - 4;
}

/// Which of the two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopySlot {
    /// At offset 0.
    First,
    /// At offset 2048.
    Second,
}

impl CopySlot {
    /// Where the copy begins in the backing file.
    pub fn offset(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Second => COPY_LEN as u64,
        }
    }

    /// Where an update goes, when this slot holds the newest copy: over the other one, so that a torn
    /// write leaves a whole copy. Only when the other records the last synced state, which is never
    /// overwritten in place, it goes over this one.
    #[must_use]
    pub fn for_update(self, newest_is_synced: bool, other_is_synced: bool) -> Self {
        match self {
            same if other_is_synced && !newest_is_synced => same,
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The wrapped data key and the KMS key it is wrapped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// ARN of the KMS key, 1 to 256 bytes.
    pub key_arn: String,
    /// The ciphertext blob of the key service, 1 to 1024 bytes.
    pub wrapped: Vec<u8>,
}

/// A header whose fields are authentic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The file's identity.
    pub file: FileId,
    /// The label of the key's encryption context, at most 255 bytes.
    pub label: Option<String>,
    /// Where the data key comes from.
    pub key: KeySlot,
    /// Grows by one with every update.
    pub generation: u64,
    /// Plaintext length in bytes when the copy was written.
    pub length: u64,
    /// The data up to `length` was made durable with this copy.
    pub synced: bool,
    /// All-zero blocks are holes, not damage.
    pub sparse: bool,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Neither copy is whole.
    #[error("neither copy of the header is whole")]
    Damaged,
    /// Written by a later kmsfs.
    #[error("the header has format version {0}, this kmsfs reads version {VERSION}")]
    NewerVersion(u16),
    /// Uses features that this kmsfs does not know.
    #[error("the header needs features {0:#x} that this kmsfs does not know")]
    UnknownFeatures(u32),
    /// The copies are of different files.
    #[error("the two copies of the header are of different files")]
    Mixed,
    /// A field does not fit: an ARN or a blob of a key service with other limits.
    #[error("the {0} does not fit into a header")]
    TooLong(&'static str),
}

impl Header {
    /// The bytes of one copy.
    ///
    /// # Errors
    /// [`HeaderError::TooLong`] when ARN, wrapped key or label exceed their fields.
    pub fn encode(&self, key: &MacKey) -> Result<[u8; COPY_LEN], HeaderError> {
        let label = self.label.as_deref().unwrap_or_default();
        let mut copy = [0; COPY_LEN];
        let flags = if self.synced { SYNCED } else { 0 } | if self.sparse { SPARSE } else { 0 };
        put(&mut copy, at::MAGIC, MAGIC);
        put(&mut copy, at::VERSION, &VERSION.to_le_bytes());
        put(&mut copy, at::FLAGS, &flags.to_le_bytes());
        put(&mut copy, at::FILE_ID, self.file.as_bytes());
        put(&mut copy, at::GENERATION, &self.generation.to_le_bytes());
        put(&mut copy, at::LENGTH, &self.length.to_le_bytes());
        let limited = |field, len: usize, max: usize| {
            u16::try_from(len)
                .ok()
                .filter(|_| len <= max)
                .map(u16::to_le_bytes)
                .ok_or(HeaderError::TooLong(field))
        };
        put(
            &mut copy,
            at::LABEL_LEN,
            &limited("label", label.len(), LABEL_MAX)?,
        );
        put(
            &mut copy,
            at::KEY_ARN_LEN,
            &limited("KMS key ARN", self.key.key_arn.len(), KEY_ARN_MAX)?,
        );
        put(
            &mut copy,
            at::WRAPPED_LEN,
            &limited("wrapped data key", self.key.wrapped.len(), 1024)?,
        );
        put(&mut copy, at::LABEL, label.as_bytes());
        put(&mut copy, at::KEY_ARN, self.key.key_arn.as_bytes());
        put(&mut copy, at::WRAPPED, &self.key.wrapped);
        let mac = key.sign(&authenticated(&copy));
        put(&mut copy, at::MAC, &mac);
        let crc = crc32fast::hash(&copy[..at::CRC]);
        put(&mut copy, at::CRC, &crc.to_le_bytes());
        Ok(copy)
    }
}

fn put(copy: &mut [u8; COPY_LEN], offset: usize, bytes: &[u8]) {
    copy[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn authenticated(copy: &[u8; COPY_LEN]) -> [&[u8]; 2] {
    [&copy[..at::KEY_ARN_LEN], &copy[at::LABEL..at::MAC]]
}

/// One copy whose checksum holds. Its fields are what someone wrote, not yet what we wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCopy {
    fields: Header,
    bytes: Box<[u8; COPY_LEN]>,
}

impl RawCopy {
    /// What is needed to ask the key service for the data key. Nothing of it is authentic before
    /// [`RawCopy::authenticate`] has been passed with the key that comes back.
    pub fn unverified(&self) -> &Header {
        &self.fields
    }

    /// Checks the copy under the data key.
    ///
    /// # Errors
    /// [`Forged`] when it was not written under that key.
    pub fn authenticate(&self, key: &MacKey) -> Result<Header, Forged> {
        key.verify(
            &authenticated(&self.bytes),
            &self.bytes[at::MAC..at::KEY_ARN],
        )?;
        Ok(self.fields.clone())
    }

    fn parse(bytes: &[u8; COPY_LEN]) -> Result<Option<Self>, HeaderError> {
        let field = |offset: usize, len: usize| &bytes[offset..offset + len];
        let u16_at = |offset| u16::from_le_bytes(field(offset, 2).try_into().expect("2 bytes"));
        let u32_at = |offset| u32::from_le_bytes(field(offset, 4).try_into().expect("4 bytes"));
        let u64_at = |offset| u64::from_le_bytes(field(offset, 8).try_into().expect("8 bytes"));
        if field(at::MAGIC, 8) != MAGIC || u32_at(at::CRC) != crc32fast::hash(&bytes[..at::CRC]) {
            return Ok(None);
        }
        if u16_at(at::VERSION) != VERSION {
            return Err(HeaderError::NewerVersion(u16_at(at::VERSION)));
        }
        let unknown = u32_at(at::READ_ONLY_FEATURES) | u32_at(at::INCOMPATIBLE_FEATURES);
        if unknown != 0 {
            return Err(HeaderError::UnknownFeatures(unknown));
        }
        // A field and the zeros behind it.
        let padded = |offset: usize, len: u16, end: usize| {
            let (value, rest) = bytes[offset..end].split_at_checked(len.into())?;
            rest.iter().all(|&byte| byte == 0).then_some(value)
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let parse = || {
            let label = text(padded(at::LABEL, u16_at(at::LABEL_LEN), at::MAC)?)?;
            let key_arn = text(padded(at::KEY_ARN, u16_at(at::KEY_ARN_LEN), at::WRAPPED)?)?;
            let wrapped = padded(at::WRAPPED, u16_at(at::WRAPPED_LEN), at::UNUSED)?.to_vec();
            let flags = u16_at(at::FLAGS);
            let clean = flags & !(SYNCED | SPARSE) == 0
                && label.len() <= 255
                && !key_arn.is_empty()
                && !wrapped.is_empty()
                && field(at::WRAPPED_LEN + 2, 2) == [0, 0]
                && bytes[at::UNUSED..at::CRC].iter().all(|&byte| byte == 0);
            clean.then(|| Header {
                file: FileId::from_bytes(
                    field(at::FILE_ID, FileId::LEN)
                        .try_into()
                        .expect("16 bytes"),
                ),
                label: Some(label).filter(|label| !label.is_empty()),
                key: KeySlot { key_arn, wrapped },
                generation: u64_at(at::GENERATION),
                length: u64_at(at::LENGTH),
                synced: flags & SYNCED != 0,
                sparse: flags & SPARSE != 0,
            })
        };
        Ok(parse().map(|fields| Self {
            fields,
            bytes: Box::new(*bytes),
        }))
    }
}

/// What a copy's place in the region holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyState {
    /// Never written.
    Blank,
    /// Neither blank nor whole: torn by a crash, or altered.
    Damaged,
    /// Whole.
    Present(RawCopy),
}

/// A header region as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawHeader {
    first: CopyState,
    second: CopyState,
}

impl RawHeader {
    /// Reads a region of 4096 bytes; a shorter one counts as cut off, and so as damaged.
    ///
    /// # Errors
    /// When neither copy is whole, when they are of different files, or when a whole copy has a
    /// version or features that this kmsfs does not know.
    pub fn parse(region: &[u8]) -> Result<Self, HeaderError> {
        let state = |slot: CopySlot| {
            let start = slot.offset() as usize;
            let copy: Option<&[u8; COPY_LEN]> = region
                .get(start..start + COPY_LEN)
                .and_then(|copy| copy.try_into().ok());
            let Some(copy) = copy else {
                return Ok(CopyState::Damaged);
            };
            if copy.iter().all(|&byte| byte == 0) {
                return Ok(CopyState::Blank);
            }
            Ok(RawCopy::parse(copy)?.map_or(CopyState::Damaged, CopyState::Present))
        };
        let header = Self {
            first: state(CopySlot::First)?,
            second: state(CopySlot::Second)?,
        };
        match (&header.first, &header.second) {
            (CopyState::Present(one), CopyState::Present(two))
                if one.fields.file != two.fields.file =>
            {
                Err(HeaderError::Mixed)
            }
            (CopyState::Present(_), _) | (_, CopyState::Present(_)) => Ok(header),
            _ => Err(HeaderError::Damaged),
        }
    }

    /// What `slot` holds.
    pub fn copy(&self, slot: CopySlot) -> &CopyState {
        match slot {
            CopySlot::First => &self.first,
            CopySlot::Second => &self.second,
        }
    }

    /// The whole copy of the highest generation.
    pub fn newest(&self) -> (CopySlot, &RawCopy) {
        match (&self.first, &self.second) {
            (CopyState::Present(one), CopyState::Present(two))
                if two.fields.generation > one.fields.generation =>
            {
                (CopySlot::Second, two)
            }
            (CopyState::Present(one), _) => (CopySlot::First, one),
            (_, CopyState::Present(two)) => (CopySlot::Second, two),
            _ => unreachable!("parse refuses a region without a whole copy"),
        }
    }

    /// The other copy, where it is whole too.
    pub fn older(&self) -> Option<(CopySlot, &RawCopy)> {
        let other = match self.newest().0 {
            CopySlot::First => CopySlot::Second,
            CopySlot::Second => CopySlot::First,
        };
        match self.copy(other) {
            CopyState::Present(copy) => Some((other, copy)),
            CopyState::Blank | CopyState::Damaged => None,
        }
    }

    /// Whether a copy is neither blank nor whole. After a clean unmount none is.
    pub fn has_damage(&self) -> bool {
        self.first == CopyState::Damaged || self.second == CopyState::Damaged
    }
}

/// Makes a copy's checksums right, that of the data key too where that is given: what whoever alters
/// a header can do, and whoever has its key.
#[cfg(any(test, fuzzing))]
pub(crate) fn seal_anew(copy: &mut [u8; COPY_LEN], key: Option<&MacKey>) {
    put(copy, at::MAGIC, MAGIC);
    if let Some(key) = key {
        let mac = key.sign(&authenticated(copy));
        put(copy, at::MAC, &mac);
    }
    let crc = crc32fast::hash(&copy[..at::CRC]);
    put(copy, at::CRC, &crc.to_le_bytes());
}

#[cfg(test)]
mod tests;
