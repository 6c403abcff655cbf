//! Extended attributes: name and value encrypted, bound to the object that has them.
//!
//! `user.comment` is stored as `user.kmsfs.<base64url of AES-256-SIV of "comment">`; the namespace
//! stays in the clear, since the kernel's rules depend on it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::{Forged, SivKey};

use super::{DirectoryId, FileId, VolumeId, purpose};

const NAMESPACES: [&str; 3] = ["user.", "trusted.", "security."];
const OURS: &str = "kmsfs.";
/// `XATTR_NAME_MAX` of Linux.
const NAME_MAX: usize = 255;

/// What an attribute is bound to.
#[derive(Debug, Clone, Copy)]
pub enum XattrBinding {
    /// A file's attributes to the file.
    File(FileId),
    /// A directory's to the directory.
    Directory(DirectoryId),
    /// Those of a symbolic link or special file, which has no id, to the volume.
    Volume(VolumeId),
}

impl XattrBinding {
    fn bytes(&self) -> [u8; 17] {
        let (kind, id) = match self {
            Self::File(id) => (b'f', id.as_bytes()),
            Self::Directory(id) => (b'd', id.as_bytes()),
            Self::Volume(id) => (b'v', id.as_bytes()),
        };
        let mut bytes = [kind; 17];
        bytes[1..].copy_from_slice(id);
        bytes
    }
}

/// An attribute that cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XattrError {
    /// Of a namespace that is not encrypted (`system.`) or not known.
    #[error("attributes of this namespace are not stored encrypted")]
    Namespace,
    /// The encrypted name exceeds the 255 bytes that Linux allows.
    #[error("the attribute's name is too long once encrypted")]
    TooLong,
}

/// Encrypts an attribute's name.
///
/// # Errors
/// [`XattrError`] for a name of another namespace, or too long.
pub fn seal_xattr_name(
    key: &SivKey,
    binding: XattrBinding,
    name: &str,
) -> Result<String, XattrError> {
    let (namespace, rest) = split(name).ok_or(XattrError::Namespace)?;
    let sealed = key.seal(
        &[purpose::XATTR_NAME, &binding.bytes(), namespace.as_bytes()],
        rest.as_bytes(),
    );
    let stored = format!("{namespace}{OURS}{}", URL_SAFE_NO_PAD.encode(sealed));
    if stored.len() > NAME_MAX {
        Err(XattrError::TooLong)
    } else {
        Ok(stored)
    }
}

/// Decrypts a stored name; `None` for an attribute that is not ours.
///
/// # Errors
/// [`Forged`] when it looks like ours but was not made for this object.
pub fn open_xattr_name(
    key: &SivKey,
    binding: XattrBinding,
    stored: &str,
) -> Result<Option<String>, Forged> {
    let Some((namespace, rest)) = split(stored) else {
        return Ok(None);
    };
    let Some(encoded) = rest.strip_prefix(OURS) else {
        return Ok(None);
    };
    let sealed = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Forged)?;
    let name = key.open(
        &[purpose::XATTR_NAME, &binding.bytes(), namespace.as_bytes()],
        &sealed,
    )?;
    let name = String::from_utf8(name).map_err(|_| Forged)?;
    Ok(Some(format!("{namespace}{name}")))
}

/// Encrypts the value of attribute `name`; 16 bytes longer than `value`.
pub fn seal_xattr(key: &SivKey, binding: XattrBinding, name: &str, value: &[u8]) -> Vec<u8> {
    key.seal(
        &[purpose::XATTR_VALUE, &binding.bytes(), name.as_bytes()],
        value,
    )
}

/// Decrypts the value of attribute `name`.
///
/// # Errors
/// [`Forged`] when it is another attribute's or another object's.
pub fn open_xattr(
    key: &SivKey,
    binding: XattrBinding,
    name: &str,
    sealed: &[u8],
) -> Result<Vec<u8>, Forged> {
    key.open(
        &[purpose::XATTR_VALUE, &binding.bytes(), name.as_bytes()],
        sealed,
    )
}

fn split(name: &str) -> Option<(&str, &str)> {
    let namespace = NAMESPACES
        .iter()
        .find(|namespace| name.starts_with(**namespace))?;
    Some(name.split_at(namespace.len())).filter(|(_, rest)| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;
    use crate::crypto::derive::VolumeKeys;

    fn key() -> SivKey {
        VolumeKeys::new(&SecretKey::take_from(&mut [1; 32]).unwrap()).xattrs
    }

    #[test]
    fn an_attribute_opens_only_under_its_name_on_its_object() {
        let here = XattrBinding::File(FileId::from_bytes([1; 16]));
        let there = XattrBinding::Directory(DirectoryId::from_bytes([1; 16]));
        let stored = seal_xattr_name(&key(), here, "user.comment").unwrap();
        assert!(stored.starts_with("user.kmsfs."));
        assert_eq!(
            open_xattr_name(&key(), here, &stored),
            Ok(Some("user.comment".into()))
        );
        assert_eq!(open_xattr_name(&key(), there, &stored), Err(Forged));
        let moved = stored.replace("user.", "trusted.");
        assert_eq!(open_xattr_name(&key(), here, &moved), Err(Forged));

        let sealed = seal_xattr(&key(), here, "user.comment", b"value");
        assert_eq!(
            open_xattr(&key(), here, "user.comment", &sealed),
            Ok(b"value".to_vec())
        );
        assert_eq!(open_xattr(&key(), here, "user.other", &sealed), Err(Forged));
        assert_eq!(
            open_xattr(&key(), there, "user.comment", &sealed),
            Err(Forged)
        );
    }

    #[test]
    fn names_that_cannot_be_stored_are_refused() {
        let here = XattrBinding::Volume(VolumeId::from_bytes([1; 16]));
        let seal = |name: &str| seal_xattr_name(&key(), here, name);
        assert_eq!(seal("system.posix_acl_access"), Err(XattrError::Namespace));
        assert_eq!(seal("user."), Err(XattrError::Namespace));
        assert_eq!(
            seal(&format!("user.{}", "x".repeat(250))),
            Err(XattrError::TooLong)
        );
        assert_eq!(
            open_xattr_name(&key(), here, "user.comment"),
            Ok(None),
            "not ours"
        );
    }
}
