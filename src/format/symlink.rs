//! Symbolic link targets: AES-256-SIV, then base64url as the backing link's target. One too long for
//! that lies in a sidecar in the control directory, and the backing link says `@<its name>`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::{Forged, SivKey};

use super::{FileId, purpose};

/// The longest target, in bytes (`PATH_MAX` without its NUL).
pub const TARGET_MAX: usize = 4095;
/// The longest backing target. Some filesystems take no more than 1023 bytes.
const INLINE_MAX: usize = 1000;

/// What a target is stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredTarget {
    /// The backing link's target.
    Inline(String),
    /// The backing link points to a sidecar.
    Sidecar {
        /// The backing link's target.
        link: String,
        /// The sidecar's name in the control directory's `links`.
        name: String,
        /// The sidecar's content.
        sealed: Vec<u8>,
    },
}

/// Encrypts a target of at most [`TARGET_MAX`] bytes.
pub fn seal_target(key: &SivKey, target: &[u8]) -> StoredTarget {
    let inline = URL_SAFE_NO_PAD.encode(key.seal(&[purpose::SYMLINK], target));
    if inline.len() <= INLINE_MAX {
        return StoredTarget::Inline(inline);
    }
    let name = FileId::generate().to_string();
    let sealed = key.seal(&[purpose::SYMLINK, name.as_bytes()], target);
    StoredTarget::Sidecar {
        link: format!("@{name}"),
        name,
        sealed,
    }
}

/// The name of the sidecar that a backing link points to, if it points to one.
pub fn target_sidecar(link: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(link.strip_prefix(b"@")?).ok()?;
    // Only an id is a sidecar's name: no path leads out of the control directory.
    name.parse::<FileId>().ok().map(|_| name)
}

/// The length of the target that an inline backing link of `link_len` bytes holds.
pub fn stored_target_len(link_len: usize) -> Option<usize> {
    (link_len * 3 / 4).checked_sub(SivKey::OVERHEAD)
}

/// Decrypts a target: `link` is the backing link's, `sidecar` the content of the sidecar that it
/// names, if any.
///
/// # Errors
/// [`Forged`] when it was not made by this volume.
pub fn open_target(key: &SivKey, link: &[u8], sidecar: Option<&[u8]>) -> Result<Vec<u8>, Forged> {
    match (target_sidecar(link), sidecar) {
        (Some(name), Some(sealed)) => key.open(&[purpose::SYMLINK, name.as_bytes()], sealed),
        (None, None) => {
            let sealed = URL_SAFE_NO_PAD.decode(link).map_err(|_| Forged)?;
            key.open(&[purpose::SYMLINK], &sealed)
        }
        _ => Err(Forged),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::SecretKey;
    use crate::crypto::derive::VolumeKeys;

    fn key() -> SivKey {
        VolumeKeys::new(&SecretKey::take_from(&mut [1; 32]).unwrap()).symlinks
    }

    proptest! {
        #[test]
        fn every_target_survives_and_its_length_is_told(
            target in prop::collection::vec(any::<u8>(), 1..=TARGET_MAX)
        ) {
            match seal_target(&key(), &target) {
                StoredTarget::Inline(link) => {
                    let link = link.as_bytes();
                    prop_assert_eq!(target_sidecar(link), None);
                    prop_assert_eq!(stored_target_len(link.len()), Some(target.len()));
                    prop_assert_eq!(open_target(&key(), link, None), Ok(target));
                }
                StoredTarget::Sidecar { link, name, sealed } => {
                    let link = link.as_bytes();
                    prop_assert_eq!(target_sidecar(link), Some(&name[..]));
                    prop_assert_eq!(open_target(&key(), link, Some(&sealed)), Ok(target));
                    prop_assert_eq!(open_target(&key(), link, None), Err(Forged));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(link: Vec<u8>, sidecar: Option<Vec<u8>>) {
            prop_assert_eq!(open_target(&key(), &link, sidecar.as_deref()), Err(Forged));
            stored_target_len(link.len());
        }
    }

    #[test]
    fn a_link_cannot_name_a_sidecar_outside_its_directory() {
        assert_eq!(target_sidecar(b"@../volume.json"), None);
        assert_eq!(target_sidecar(b"@"), None);
    }
}
