//! The directory record: one in every directory, holding the id that its names are bound to, and which
//! of the directories in it are boundaries, with a KMS key and label of their own.
//!
//! ```text
//! 0   8  "KMSFSDIR"
//! 8   2  version, little-endian: 1
//! 10  2  kind, little-endian: 1 this is a boundary directory, 2 there are boundary directories in it
//! 12  n  AES-256-SIV, bound to the 12 bytes before it, and of a boundary directory to its parent's id
//!        and its own name, of: the 16-byte directory id, then for each boundary directory in it, in
//!        byte order of the names,
//!          1  length of the name, and the name
//!          2  length of the KMS key's ARN, little-endian (0: the parent's key), and the ARN
//!          1  length of the label (0: the parent's label), and the label
//! ```
//! An ordinary directory's record is not bound to its place, so a rename rewrites nothing. Moved into
//! another directory, it makes that one's names fail to authenticate. What a boundary directory's key
//! and label are is said by the directory that it is in, by its name: so no record that is put into
//! its place, and no removal of its own, gives new files there another key.

use std::collections::BTreeMap;

use crate::crypto::{Forged, SivKey};

use super::{DirectoryId, NAME_MAX, purpose};

/// The file that holds the record.
pub const DIRECTORY_RECORD: &str = ".kmsfs.dir";
/// The longest record in bytes: room for 85 boundary directories of the longest names, ARNs and labels
/// in one directory, and for hundreds of usual ones.
pub const DIRECTORY_RECORD_MAX: usize = 64 * 1024;
/// The longest KMS key ARN in bytes: what a file's header has room for.
pub const KEY_ARN_MAX: usize = 256;
/// The longest label in bytes: what a file's header has room for.
pub const LABEL_MAX: usize = 255;

const PREFIX_LEN: usize = 12;
const KIND: std::ops::Range<usize> = 10..PREFIX_LEN;
const MAGIC_AND_VERSION: [u8; KIND.start] = *b"KMSFSDIR\x01\x00";
const IS_BOUNDARY: u16 = 1;
const HAS_BOUNDARIES: u16 = 2;

/// What a directory's record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRecord {
    /// The directory's identity.
    pub id: DirectoryId,
    /// The boundary directories in it, by name, whether they are there or not.
    pub boundaries: BTreeMap<Vec<u8>, Boundary>,
}

/// What is different in a boundary directory from the directory that it is in; one of the two at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// ARN of the KMS key, at most [`KEY_ARN_MAX`] bytes.
    pub key_arn: Option<String>,
    /// The label, at most [`LABEL_MAX`] bytes.
    pub label: Option<String>,
}

/// Where a boundary directory is: its record is that of no other place.
#[derive(Debug, Clone, Copy)]
pub struct BoundaryPlace<'a> {
    /// The directory that it is in.
    pub parent: &'a DirectoryId,
    /// Its plaintext name.
    pub name: &'a [u8],
}

/// What an encrypted record tells of itself without a key; not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordKind {
    /// It is a boundary directory's.
    pub is_boundary: bool,
    /// There are boundary directories in the directory.
    pub has_boundaries: bool,
}

impl RecordKind {
    /// Reads the kind of a record; `None` for what is none of this version.
    pub fn of(record: &[u8]) -> Option<Self> {
        let rest = record.strip_prefix(&MAGIC_AND_VERSION)?;
        let kind = u16::from_le_bytes(*rest.first_chunk()?);
        (kind & !(IS_BOUNDARY | HAS_BOUNDARIES) == 0).then_some(Self {
            is_boundary: kind & IS_BOUNDARY != 0,
            has_boundaries: kind & HAS_BOUNDARIES != 0,
        })
    }

    fn prefix(self) -> [u8; PREFIX_LEN] {
        let boundary = if self.is_boundary { IS_BOUNDARY } else { 0 };
        let has = if self.has_boundaries {
            HAS_BOUNDARIES
        } else {
            0
        };
        let mut prefix = [0; PREFIX_LEN];
        prefix[..KIND.start].copy_from_slice(&MAGIC_AND_VERSION);
        prefix[KIND].copy_from_slice(&(boundary | has).to_le_bytes());
        prefix
    }
}

impl DirectoryRecord {
    /// The record of the directory `id`, with no boundary directory in it.
    pub fn new(id: DirectoryId) -> Self {
        Self {
            id,
            boundaries: BTreeMap::new(),
        }
    }

    /// The record's bytes; of a boundary directory, for its `place`.
    pub fn seal(&self, key: &SivKey, place: Option<BoundaryPlace<'_>>) -> Vec<u8> {
        let prefix = RecordKind {
            is_boundary: place.is_some(),
            has_boundaries: !self.boundaries.is_empty(),
        }
        .prefix();
        let sealed = with_binding(&prefix, place, |bound_to| {
            key.seal(bound_to, &self.encode())
        });
        [&prefix[..], &sealed].concat()
    }

    /// Reads a record; of a boundary directory, at its `place`.
    ///
    /// # Errors
    /// [`Forged`] when it is not a record of this volume for this place, or not as [`Self::seal`] makes
    /// them.
    pub fn open(
        key: &SivKey,
        place: Option<BoundaryPlace<'_>>,
        record: &[u8],
    ) -> Result<Self, Forged> {
        let kind = RecordKind::of(record).ok_or(Forged)?;
        let prefix = kind.prefix();
        if kind.is_boundary != place.is_some() || record.len() > DIRECTORY_RECORD_MAX {
            return Err(Forged);
        }
        let sealed = &record[PREFIX_LEN..];
        let plain = with_binding(&prefix, place, |bound_to| key.open(bound_to, sealed))?;
        Self::decode(&plain)
            .filter(|record| record.boundaries.is_empty() != kind.has_boundaries)
            .ok_or(Forged)
    }

    /// Reads what a record says, decrypted; `None` for what [`Self::encode`] does not make.
    pub(super) fn decode(plain: &[u8]) -> Option<Self> {
        let (id, rest) = plain.split_first_chunk()?;
        let mut record = Self::new(DirectoryId::from_bytes(*id));
        let mut rest = Fields(rest);
        while !rest.0.is_empty() {
            let (name, boundary) = rest.boundary()?;
            let last = record.boundaries.last_key_value();
            if last.is_some_and(|(last, _)| *last >= name) {
                return None;
            }
            record.boundaries.insert(name, boundary);
        }
        Some(record)
    }

    fn encode(&self) -> Vec<u8> {
        let mut plain = self.id.as_bytes().to_vec();
        for (name, Boundary { key_arn, label }) in &self.boundaries {
            let arn = key_arn.as_deref().unwrap_or_default();
            let label = label.as_deref().unwrap_or_default();
            // Within their limits, which whoever makes a boundary checks.
            plain.push(name.len() as u8);
            plain.extend(name);
            plain.extend((arn.len() as u16).to_le_bytes());
            plain.extend(arn.as_bytes());
            plain.push(label.len() as u8);
            plain.extend(label.as_bytes());
        }
        plain
    }
}

fn with_binding<T>(
    prefix: &[u8; PREFIX_LEN],
    place: Option<BoundaryPlace<'_>>,
    work: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    match place {
        None => work(&[purpose::DIRECTORY, prefix]),
        Some(BoundaryPlace { parent, name }) => {
            work(&[purpose::DIRECTORY, prefix, parent.as_bytes(), name])
        }
    }
}

/// What follows the id in a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn boundary(&mut self) -> Option<(Vec<u8>, Boundary)> {
        let [name_len] = self.array()?;
        let name = self.take(name_len.into())?;
        let arn_len = u16::from_le_bytes(self.array()?);
        let key_arn = self.text(arn_len.into())?;
        let [label_len] = self.array()?;
        let label = self.text(label_len.into())?;
        let (key_arn, label) = (if_any(key_arn), if_any(label));
        let is_one = (1..=NAME_MAX).contains(&name.len())
            && usize::from(arn_len) <= KEY_ARN_MAX
            && (key_arn.is_some() || label.is_some());
        is_one.then(|| (name.to_vec(), Boundary { key_arn, label }))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(len)?).ok()
    }
}

/// Text of length 0 stands for none.
fn if_any(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
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

    const PARENT: DirectoryId = DirectoryId::from_bytes([9; 16]);

    fn place(name: &[u8]) -> BoundaryPlace<'_> {
        let parent = &PARENT;
        BoundaryPlace { parent, name }
    }

    fn with_boundaries() -> DirectoryRecord {
        let boundary = |key_arn: &str, label: &str| Boundary {
            key_arn: if_any(key_arn),
            label: if_any(label),
        };
        let mut record = DirectoryRecord::new(DirectoryId::from_bytes([4; 16]));
        record.boundaries = BTreeMap::from([
            (b"hr".to_vec(), boundary("arn:key", "hr")),
            (b"key only".to_vec(), boundary(&"a".repeat(KEY_ARN_MAX), "")),
            (vec![0xff; NAME_MAX], boundary("", &"l".repeat(LABEL_MAX))),
        ]);
        record
    }

    #[test]
    fn a_record_is_of_its_volume_only() {
        let record = DirectoryRecord::new(DirectoryId::generate());
        let sealed = record.seal(&key(1), None);
        assert_eq!(sealed.len(), 44);
        assert_eq!(DirectoryRecord::open(&key(1), None, &sealed), Ok(record));
        assert_eq!(DirectoryRecord::open(&key(2), None, &sealed), Err(Forged));
    }

    #[test]
    fn a_boundary_directorys_record_is_of_its_place_only() {
        let record = with_boundaries();
        let sealed = record.seal(&key(1), Some(place(b"hr")));
        let open = |place| DirectoryRecord::open(&key(1), place, &sealed);
        assert_eq!(open(Some(place(b"hr"))), Ok(record));
        assert_eq!(open(Some(place(b"pub"))), Err(Forged));
        assert_eq!(open(None), Err(Forged));
        let parent = &DirectoryId::from_bytes([8; 16]);
        assert_eq!(
            open(Some(BoundaryPlace {
                parent,
                name: b"hr"
            })),
            Err(Forged)
        );
        let mut ordinary = sealed.clone();
        ordinary[KIND.start] &= !(IS_BOUNDARY as u8);
        assert_eq!(DirectoryRecord::open(&key(1), None, &ordinary), Err(Forged));
    }

    #[test]
    fn the_boundaries_in_a_directory_survive_being_written() {
        let record = with_boundaries();
        let sealed = record.seal(&key(1), None);
        assert_eq!(DirectoryRecord::open(&key(1), None, &sealed), Ok(record));
        let kind = RecordKind::of(&sealed).unwrap();
        assert!(kind.has_boundaries && !kind.is_boundary);
    }

    proptest! {
        #[test]
        fn no_changed_record_is_accepted(bit: prop::sample::Index, boundaries: bool, is_one: bool) {
            let record = if boundaries {
                with_boundaries()
            } else {
                DirectoryRecord::new(DirectoryId::from_bytes([4; 16]))
            };
            let place = is_one.then_some(place(b"n"));
            let mut sealed = record.seal(&key(1), place);
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(DirectoryRecord::open(&key(1), place, &sealed), Err(Forged));
        }

        #[test]
        fn no_bytes_make_it_panic(record: Vec<u8>, is_one: bool) {
            let place = is_one.then_some(place(b"n"));
            prop_assert_eq!(DirectoryRecord::open(&key(1), place, &record), Err(Forged));
        }

        /// As if whoever wrote it had the key.
        #[test]
        fn no_plaintext_makes_it_panic_and_what_is_accepted_is_written_alike(
            plain: Vec<u8>, kind in 0_u16..5,
        ) {
            let mut prefix = [0; PREFIX_LEN];
            prefix[..KIND.start].copy_from_slice(&MAGIC_AND_VERSION);
            prefix[KIND].copy_from_slice(&kind.to_le_bytes());
            let place = (kind & IS_BOUNDARY != 0)
                .then_some(place(b"n"));
            let sealed = with_binding(&prefix, place, |bound_to| key(1).seal(bound_to, &plain));
            let record = [&prefix[..], &sealed].concat();
            if let Ok(opened) = DirectoryRecord::open(&key(1), place, &record) {
                prop_assert_eq!(opened.seal(&key(1), place), record);
            }
        }
    }
}
