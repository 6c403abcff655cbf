//! The directory record: one in every directory, holding the id that its names are bound to.
//!
//! ```text
//! 0   8  "KMSFSDIR"
//! 8   2  version, little-endian: 1
//! 10  2  kind, little-endian: 0 (an ordinary directory)
//! 12 32  AES-256-SIV of the 16-byte directory id, bound to the 12 bytes before it
//! ```
//! An ordinary directory's record is not bound to its place, so a rename rewrites nothing. Moved into
//! another directory, it makes that one's names fail to authenticate.

use crate::crypto::{Forged, SivKey};

use super::{DirectoryId, purpose};

/// The file that holds the record.
pub const DIRECTORY_RECORD: &str = ".kmsfs.dir";
/// Its length in bytes.
pub const DIRECTORY_RECORD_LEN: usize = PREFIX_LEN + DirectoryId::LEN + SivKey::OVERHEAD;

const PREFIX_LEN: usize = 12;
const PREFIX: [u8; PREFIX_LEN] = *b"KMSFSDIR\x01\x00\x00\x00";

/// The record of the directory `id`.
pub fn seal_directory_record(key: &SivKey, id: &DirectoryId) -> Vec<u8> {
    let sealed = key.seal(&[purpose::DIRECTORY, &PREFIX], id.as_bytes());
    [&PREFIX[..], &sealed].concat()
}

/// Reads a record.
///
/// # Errors
/// [`Forged`] when it is not a record of this volume, or of a kind that this version does not know.
pub fn open_directory_record(key: &SivKey, record: &[u8]) -> Result<DirectoryId, Forged> {
    let sealed = record.strip_prefix(&PREFIX).ok_or(Forged)?;
    let id = key.open(&[purpose::DIRECTORY, &PREFIX], sealed)?;
    id.try_into()
        .map(DirectoryId::from_bytes)
        .map_err(|_| Forged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::SecretKey;
    use crate::crypto::derive::VolumeKeys;

    fn key(byte: u8) -> SivKey {
        VolumeKeys::new(&SecretKey::take_from(&mut [byte; 32]).unwrap()).directories
    }

    #[test]
    fn a_record_is_of_its_volume_only() {
        let id = DirectoryId::generate();
        let record = seal_directory_record(&key(1), &id);
        assert_eq!(record.len(), DIRECTORY_RECORD_LEN);
        assert_eq!(open_directory_record(&key(1), &record), Ok(id));
        assert_eq!(open_directory_record(&key(2), &record), Err(Forged));
    }

    proptest! {
        #[test]
        fn no_changed_record_is_accepted(bit in 0..DIRECTORY_RECORD_LEN * 8) {
            let mut record = seal_directory_record(&key(1), &DirectoryId::from_bytes([4; 16]));
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open_directory_record(&key(1), &record), Err(Forged));
        }

        #[test]
        fn no_bytes_make_it_panic(record: Vec<u8>) {
            prop_assert_eq!(open_directory_record(&key(1), &record), Err(Forged));
        }
    }
}
