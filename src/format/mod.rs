//! The volume format, version 1, byte by byte: pure functions on slices.
//!
//! `docs/format.md` states the same for people; the offsets live here only.

mod block;
mod context;
mod directory;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod geometry;
mod header;
mod id;
mod name;
mod symlink;
mod volume;
mod xattr;

pub use block::{BlockBinding, open_block, seal_block};
pub use context::{data_key_context, volume_key_context};
pub use directory::{
    Boundary, BoundaryPlace, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX, DirectoryRecord, KEY_ARN_MAX,
    LABEL_MAX, RecordKind,
};
pub use geometry::{
    BLOCK_LEN, BackingLen, BackingOffset, BlockIndex, HEADER_LEN, MAX_LENGTH, SEALED_BLOCK_LEN,
    SealedSpan, TooLarge, backing_len, plain_len,
};
#[cfg(test)]
pub(crate) use header::seal_anew;
pub use header::{COPY_LEN, CopySlot, CopyState, Header, HeaderError, KeySlot, RawCopy, RawHeader};
pub use id::{DirectoryId, FileId, VolumeId};
pub use name::{
    BackingEntry, LONG_SIDECAR_SUFFIX, NAME_MAX, NameError, StoredName, classify, open_long_name,
    open_name, seal_name,
};
pub use symlink::{
    StoredTarget, TARGET_MAX, open_target, seal_target, stored_target_len, target_sidecar,
};
pub use volume::{
    CONTROL_DIRECTORY, FORMAT_VERSION, RawVolumeConfig, VolumeConfig, VolumeConfigError,
};
pub use xattr::{
    XattrBinding, XattrError, open_xattr, open_xattr_name, seal_xattr, seal_xattr_name,
};

/// What is bound to a purpose starts with one of these, so no two purposes share associated data.
pub(crate) mod purpose {
    pub(crate) const BLOCK: &[u8; 8] = b"kmsfsblk";
    pub(crate) const NAME: &[u8] = b"name";
    pub(crate) const SYMLINK: &[u8] = b"symlink";
    pub(crate) const DIRECTORY: &[u8] = b"directory";
    pub(crate) const XATTR_NAME: &[u8] = b"xattr name";
    pub(crate) const XATTR_VALUE: &[u8] = b"xattr value";
}
