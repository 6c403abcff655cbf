//! File names: AES-256-SIV bound to the directory, then base64url (RFC 4648, section 5) unpadded.
//!
//! The alphabet has no dot, so an encrypted name never collides with one of ours. A stored name of
//! more than 255 bytes becomes `.kmsfs.long.<SHA-256 of it, base64url>`, and a file of that name with
//! `.name` behind it holds it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::crypto::{Forged, SivKey};

use super::{DirectoryId, purpose};

/// The longest plaintext name, and the longest stored one, in bytes.
pub const NAME_MAX: usize = 255;
/// What the sidecar of a long name has behind the entry's name.
pub const LONG_SIDECAR_SUFFIX: &str = ".name";

const OURS: &str = ".kmsfs";
const LONG: &str = ".kmsfs.long.";

/// A name that no file can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`NAME_MAX`].
    #[error("a name has at most {NAME_MAX} bytes")]
    TooLong,
    /// Empty, `.`, `..`, or with a slash or NUL in it.
    #[error("no file can have this name")]
    Invalid,
}

/// What a plaintext name is stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredName {
    /// The entry's name is the encrypted name.
    Short(String),
    /// The entry's name is a hash; a sidecar holds the encrypted name.
    Long {
        /// Name of the entry.
        entry: String,
        /// What the sidecar `<entry>.name` contains.
        encrypted: String,
    },
}

impl StoredName {
    /// The name of the backing entry.
    pub fn entry(&self) -> &str {
        match self {
            Self::Short(entry) | Self::Long { entry, .. } => entry,
        }
    }

    /// Name and content of the sidecar that a long name needs.
    pub fn sidecar(&self) -> Option<(String, &str)> {
        match self {
            Self::Short(_) => None,
            Self::Long { entry, encrypted } => {
                Some((format!("{entry}{LONG_SIDECAR_SUFFIX}"), encrypted))
            }
        }
    }
}

/// Encrypts a name of `directory`.
///
/// # Errors
/// [`NameError`] for what cannot be a name.
pub fn seal_name(
    key: &SivKey,
    directory: &DirectoryId,
    name: &[u8],
) -> Result<StoredName, NameError> {
    check(name)?;
    let sealed = key.seal(&[purpose::NAME, directory.as_bytes()], name);
    let encrypted = URL_SAFE_NO_PAD.encode(sealed);
    Ok(if encrypted.len() <= NAME_MAX {
        StoredName::Short(encrypted)
    } else {
        StoredName::Long {
            entry: long_entry(&encrypted),
            encrypted,
        }
    })
}

/// Decrypts a name found in `directory`.
///
/// # Errors
/// [`Forged`] when it was not made there.
pub fn open_name(
    key: &SivKey,
    directory: &DirectoryId,
    encrypted: &str,
) -> Result<Vec<u8>, Forged> {
    let sealed = URL_SAFE_NO_PAD.decode(encrypted).map_err(|_| Forged)?;
    let name = key.open(&[purpose::NAME, directory.as_bytes()], &sealed)?;
    check(&name).map_err(|_| Forged)?;
    Ok(name)
}

/// Decrypts the long name of `entry`, whose sidecar holds `encrypted`.
///
/// # Errors
/// [`Forged`] when the sidecar is not that entry's, or not of this directory.
pub fn open_long_name(
    key: &SivKey,
    directory: &DirectoryId,
    entry: &str,
    encrypted: &[u8],
) -> Result<Vec<u8>, Forged> {
    let encrypted = std::str::from_utf8(encrypted).map_err(|_| Forged)?;
    if encrypted.len() <= NAME_MAX || long_entry(encrypted) != entry {
        return Err(Forged);
    }
    open_name(key, directory, encrypted)
}

/// What an entry of a backing directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackingEntry<'a> {
    /// An encrypted name.
    Short(&'a str),
    /// An entry whose encrypted name is in its sidecar.
    Long(&'a str),
    /// `.` or `..`.
    Dots,
    /// One of our own files.
    Ours,
    /// Something that kmsfs did not make.
    Foreign,
}

/// Tells the kinds of backing entries apart.
pub fn classify(name: &[u8]) -> BackingEntry<'_> {
    match std::str::from_utf8(name) {
        Ok("." | "..") => BackingEntry::Dots,
        Ok(name) if name.starts_with(LONG) && !name.ends_with(LONG_SIDECAR_SUFFIX) => {
            BackingEntry::Long(name)
        }
        Ok(name) if name.starts_with(OURS) => BackingEntry::Ours,
        Ok(name) if !name.starts_with('.') => BackingEntry::Short(name),
        _ => BackingEntry::Foreign,
    }
}

fn long_entry(encrypted: &str) -> String {
    format!(
        "{LONG}{}",
        URL_SAFE_NO_PAD.encode(Sha256::digest(encrypted))
    )
}

fn check(name: &[u8]) -> Result<(), NameError> {
    match name {
        [] | b"." | b".." => Err(NameError::Invalid),
        name if name.len() > NAME_MAX => Err(NameError::TooLong),
        name if name.iter().any(|&byte| byte == b'/' || byte == 0) => Err(NameError::Invalid),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::SecretKey;
    use crate::crypto::derive::VolumeKeys;

    fn key() -> SivKey {
        VolumeKeys::new(&SecretKey::take_from(&mut [1; 32]).unwrap()).names
    }

    const HERE: DirectoryId = DirectoryId::from_bytes([2; 16]);
    const ELSEWHERE: DirectoryId = DirectoryId::from_bytes([3; 16]);

    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(
            any::<u8>().prop_filter("name byte", |b| *b != 0 && *b != b'/'),
            1..=255,
        )
        .prop_filter("not dots", |name| name != b"." && name != b"..")
    }

    proptest! {
        #[test]
        fn every_name_survives_and_is_bound_to_its_directory(name in any_name()) {
            let stored = seal_name(&key(), &HERE, &name).unwrap();
            prop_assert!(stored.entry().len() <= NAME_MAX);
            match classify(stored.entry().as_bytes()) {
                BackingEntry::Short(entry) => {
                    prop_assert_eq!(open_name(&key(), &HERE, entry), Ok(name));
                    prop_assert_eq!(open_name(&key(), &ELSEWHERE, entry), Err(Forged));
                }
                BackingEntry::Long(entry) => {
                    let (sidecar, encrypted) = stored.sidecar().unwrap();
                    prop_assert!(sidecar.len() <= NAME_MAX);
                    prop_assert_eq!(classify(sidecar.as_bytes()), BackingEntry::Ours);
                    let open = |directory, entry| {
                        open_long_name(&key(), directory, entry, encrypted.as_bytes())
                    };
                    prop_assert_eq!(open(&HERE, entry), Ok(name));
                    prop_assert_eq!(open(&ELSEWHERE, entry), Err(Forged));
                    prop_assert_eq!(open(&HERE, ".kmsfs.long.other"), Err(Forged));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(name: String, contents: Vec<u8>) {
            prop_assert_eq!(open_name(&key(), &HERE, &name), Err(Forged));
            prop_assert_eq!(open_long_name(&key(), &HERE, &name, &contents), Err(Forged));
            classify(&contents);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let seal = |name: &[u8]| seal_name(&key(), &HERE, name).unwrap_err();
        assert_eq!(seal(b""), NameError::Invalid);
        assert_eq!(seal(b"."), NameError::Invalid);
        assert_eq!(seal(b".."), NameError::Invalid);
        assert_eq!(seal(b"a/b"), NameError::Invalid);
        assert_eq!(seal(&[b'x'; 256]), NameError::TooLong);
    }

    #[test]
    fn our_own_files_and_foreign_ones_are_no_names() {
        assert_eq!(classify(b".kmsfs"), BackingEntry::Ours);
        assert_eq!(classify(b".kmsfs.dir"), BackingEntry::Ours);
        assert_eq!(classify(b".kmsfs.long.x.name"), BackingEntry::Ours);
        assert_eq!(classify(b".."), BackingEntry::Dots);
        assert_eq!(classify(b".stfolder"), BackingEntry::Foreign);
        assert_eq!(classify(b"\xff"), BackingEntry::Foreign);
    }
}
