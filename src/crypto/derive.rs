//! Every derived key in one place: HKDF-SHA256 (RFC 5869) from a wrapped key, one label a purpose.
//!
//! The salt is empty: the input is already a uniform 256-bit key (RFC 5869, section 3.1). A label is
//! never reused for another purpose, and a change of what it protects gets a new one.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{ContentKey, Forged, SecretKey, SivKey};

const FILE_CONTENT: &[u8] = b"kmsfs v1 file content";
const FILE_HEADER: &[u8] = b"kmsfs v1 file header";
const VOLUME_NAMES: &[u8] = b"kmsfs v1 volume names";
const VOLUME_SYMLINKS: &[u8] = b"kmsfs v1 volume symlinks";
const VOLUME_DIRECTORIES: &[u8] = b"kmsfs v1 volume directories";
const VOLUME_XATTRS: &[u8] = b"kmsfs v1 volume xattrs";
const VOLUME_CONFIG: &[u8] = b"kmsfs v1 volume config";

/// The keys of one file, all from its data key.
pub struct FileKeys {
    /// Encrypts the blocks.
    pub content: ContentKey,
    /// Authenticates the header.
    pub header: MacKey,
}

impl FileKeys {
    /// Derives them from the file's data key.
    pub fn new(data_key: &SecretKey) -> Self {
        Self {
            content: ContentKey::new(&expand(data_key, FILE_CONTENT)),
            header: MacKey(expand(data_key, FILE_HEADER)),
        }
    }
}

/// The keys of a volume, all from its volume key.
pub struct VolumeKeys {
    /// Encrypts names, with the directory id as associated data.
    pub names: SivKey,
    /// Encrypts symbolic link targets.
    pub symlinks: SivKey,
    /// Encrypts directory records.
    pub directories: SivKey,
    /// Encrypts extended attributes.
    pub xattrs: SivKey,
    /// Authenticates `volume.json`.
    pub config: MacKey,
}

impl VolumeKeys {
    /// Derives them from the volume key.
    pub fn new(volume_key: &SecretKey) -> Self {
        Self {
            names: SivKey::new(&expand(volume_key, VOLUME_NAMES)),
            symlinks: SivKey::new(&expand(volume_key, VOLUME_SYMLINKS)),
            directories: SivKey::new(&expand(volume_key, VOLUME_DIRECTORIES)),
            xattrs: SivKey::new(&expand(volume_key, VOLUME_XATTRS)),
            config: MacKey(expand(volume_key, VOLUME_CONFIG)),
        }
    }
}

/// A key for HMAC-SHA256 (RFC 2104).
pub struct MacKey(Zeroizing<[u8; 32]>);

impl MacKey {
    /// Length of a tag in bytes.
    pub const TAG_LEN: usize = 32;

    /// The tag over the concatenation of `parts`. The caller makes the concatenation unambiguous,
    /// by fixed lengths or by length prefixes.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; Self::TAG_LEN] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    ///
    /// # Errors
    /// [`Forged`] when `tag` is not the tag over `parts`.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), Forged> {
        self.over(parts).verify_slice(tag).map_err(|_| Forged)
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0[..]).expect("HMAC takes any length");
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

fn expand<const N: usize>(key: &SecretKey, label: &[u8]) -> Zeroizing<[u8; N]> {
    let mut output = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, key.expose())
        .expand(label, &mut output[..])
        .expect("HKDF-SHA256 gives up to 8160 bytes");
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::take_from(&mut [byte; 32]).unwrap()
    }

    #[test]
    fn every_purpose_has_its_own_key() {
        let labels = [
            FILE_CONTENT,
            FILE_HEADER,
            VOLUME_NAMES,
            VOLUME_SYMLINKS,
            VOLUME_DIRECTORIES,
            VOLUME_XATTRS,
            VOLUME_CONFIG,
        ];
        let derived: std::collections::HashSet<[u8; 32]> = labels
            .iter()
            .map(|label| *expand::<32>(&key(1), label))
            .collect();
        assert_eq!(derived.len(), labels.len());
    }

    #[test]
    fn a_tag_holds_for_its_key_and_message_only() {
        let mac = FileKeys::new(&key(1)).header;
        let tag = mac.sign(&[b"one", b"two"]);
        assert_eq!(
            mac.verify(&[b"onetwo"], &tag),
            Ok(()),
            "parts are concatenated"
        );
        assert_eq!(mac.verify(&[b"one", b"tw0"], &tag), Err(Forged));
        assert_eq!(mac.verify(&[b"one", b"two"], &tag[..31]), Err(Forged));
        assert_eq!(
            FileKeys::new(&key(2)).header.verify(&[b"onetwo"], &tag),
            Err(Forged)
        );
    }
}
