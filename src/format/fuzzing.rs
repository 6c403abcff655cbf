//! Fuzz targets for what is read from a backing directory.

use crate::crypto::SecretKey;
use crate::crypto::derive::{FileKeys, VolumeKeys};

use super::header::seal_anew;
use super::{
    BLOCK_LEN, BackingEntry, BlockBinding, BlockIndex, BoundaryPlace, COPY_LEN, CopySlot,
    CopyState, DIRECTORY_RECORD_MAX, DirectoryId, DirectoryRecord, FileId, HEADER_LEN, NAME_MAX,
    RawHeader, RawVolumeConfig, SEALED_BLOCK_LEN, StoredTarget, TARGET_MAX, VolumeId, XattrBinding,
    classify, open_block, open_long_name, open_name, open_target, open_xattr, open_xattr_name,
    seal_block, seal_name, seal_target, seal_xattr, seal_xattr_name, stored_target_len,
    target_sidecar,
};

fn key() -> SecretKey {
    SecretKey::take_from(&mut [1; 32]).expect("32 bytes")
}

fn volume_keys() -> VolumeKeys {
    VolumeKeys::new(&key())
}

/// The first 16 bytes as an id, and the rest.
fn id(data: &[u8]) -> ([u8; 16], &[u8]) {
    let mut id = [0; 16];
    let taken = data.len().min(16);
    id[..taken].copy_from_slice(&data[..taken]);
    (id, &data[taken..])
}

/// A header region: as it is, with its checksums mended, and as if whoever wrote it had the data key.
pub fn header(data: &[u8]) {
    // Shorter than a region: cut off.
    let _ = RawHeader::parse(data);
    let mut region = [0; HEADER_LEN];
    let taken = data.len().min(HEADER_LEN);
    region[..taken].copy_from_slice(&data[..taken]);
    judge_header(&region, false);
    let keys = FileKeys::new(&key());
    for (keys, genuine) in [(None, false), (Some(&keys.header), true)] {
        for copy in region.chunks_exact_mut(COPY_LEN) {
            seal_anew(copy.try_into().expect("a copy"), keys);
        }
        judge_header(&region, genuine);
    }
}

fn judge_header(region: &[u8; HEADER_LEN], genuine: bool) {
    let Ok(raw) = RawHeader::parse(region) else {
        return;
    };
    let keys = FileKeys::new(&key());
    let (slot, newest) = raw.newest();
    for other in [CopySlot::First, CopySlot::Second] {
        let CopyState::Present(copy) = raw.copy(other) else {
            continue;
        };
        let fields = copy.unverified();
        assert!(fields.generation <= newest.unverified().generation);
        assert_eq!(fields.file, newest.unverified().file);
        assert!((1..=256).contains(&fields.key.key_arn.len()));
        assert!((1..=1024).contains(&fields.key.wrapped.len()));
        assert!(
            fields
                .label
                .as_ref()
                .is_none_or(|label| (1..=255).contains(&label.len()))
        );
        // What fits was accepted, and written again it is the same header.
        let written = fields
            .encode(&keys.header)
            .expect("it was within the limits");
        let again = RawHeader::parse(&[written, [0; COPY_LEN]].concat()).expect("it is whole");
        assert_eq!(again.newest().1.unverified(), fields);
        let authentic = copy.authenticate(&keys.header);
        assert!(authentic.is_ok() || !genuine);
        if let Ok(header) = authentic {
            assert_eq!(&header, fields);
            if !has_compatible_features(region, other) {
                let start = other.offset() as usize;
                assert!(
                    region[start..start + COPY_LEN] == written,
                    "another form of the same"
                );
            }
        }
    }
    assert!(matches!(raw.copy(slot), CopyState::Present(_)));
}

/// Features that this version does not know and may read past.
fn has_compatible_features(region: &[u8; HEADER_LEN], slot: CopySlot) -> bool {
    let start = slot.offset() as usize + 12;
    region[start..start + 4] != [0; 4]
}

/// A `volume.json`.
pub fn volume_config(data: &[u8]) {
    let keys = volume_keys();
    let Ok(raw) = RawVolumeConfig::parse(data) else {
        return;
    };
    let config = raw.unverified().clone();
    assert!(config.key_arn.len() <= data.len() && config.wrapped_volume_key.len() <= data.len());
    let written = config.encode(&keys.config);
    let again = RawVolumeConfig::parse(written.as_bytes()).expect("what is written can be read");
    assert_eq!(again.authenticate(&keys.config).ok(), Some(config.clone()));
    if let Ok(authentic) = raw.authenticate(&keys.config) {
        assert_eq!(authentic, config);
    }
}

/// A directory's record: as it is, at its own place or another, and as if whoever wrote it had the volume key.
pub fn directory_record(data: &[u8]) {
    let key = volume_keys().directories;
    let (bytes, rest) = id(data);
    let parent = &DirectoryId::from_bytes(bytes);
    let name: &[u8] = b"name";
    let here = Some(BoundaryPlace { parent, name });
    for place in [None, here] {
        if let Ok(record) = DirectoryRecord::open(&key, place, data) {
            assert!(record.seal(&key, place) == data, "two records for one");
        }
    }
    for place in [None, here] {
        let Some(record) = DirectoryRecord::decode(rest) else {
            continue;
        };
        let sealed = record.seal(&key, place);
        if sealed.len() > DIRECTORY_RECORD_MAX {
            continue;
        }
        assert_eq!(
            DirectoryRecord::open(&key, place, &sealed).as_ref(),
            Ok(&record)
        );
    }
    let record = DirectoryRecord::new(*parent);
    let whole = record.seal(&key, None);
    if let Some((at, change)) = rest
        .first()
        .zip(rest.get(1))
        .filter(|(_, change)| **change != 0)
    {
        let mut altered = whole;
        let at = usize::from(*at) % altered.len();
        altered[at] ^= change;
        assert!(DirectoryRecord::open(&key, None, &altered).is_err());
    }
}

/// A backing entry's name, a name file's content, and a plaintext name.
pub fn name(data: &[u8]) {
    let key = volume_keys().names;
    let (bytes, name) = id(data);
    let directory = DirectoryId::from_bytes(bytes);
    match classify(data) {
        BackingEntry::Short(entry) => {
            if let Ok(name) = open_name(&key, &directory, entry) {
                let stored = seal_name(&key, &directory, &name).expect("it was a name");
                assert!(
                    entry.len() > NAME_MAX || stored.entry() == entry,
                    "two names for one"
                );
            }
        }
        BackingEntry::Long(entry) => {
            assert!(open_long_name(&key, &directory, entry, name).is_err());
        }
        BackingEntry::Dots | BackingEntry::Ours | BackingEntry::Foreign => {}
    }
    let Ok(stored) = seal_name(&key, &directory, name) else {
        assert!(name.len() > NAME_MAX || name.is_empty() || is_no_name(name));
        return;
    };
    let opened = match stored.sidecar() {
        None => open_name(&key, &directory, stored.entry()),
        Some((sidecar, encrypted)) => {
            assert_eq!(classify(sidecar.as_bytes()), BackingEntry::Ours);
            open_long_name(&key, &directory, stored.entry(), encrypted.as_bytes())
        }
    };
    assert_eq!(opened.as_deref(), Ok(name));
    assert!(stored.entry().len() <= NAME_MAX);
}

fn is_no_name(name: &[u8]) -> bool {
    matches!(name, b"." | b"..") || name.contains(&b'/') || name.contains(&0)
}

/// A backing link and a sidecar, and a target.
pub fn symlink(data: &[u8]) {
    let key = volume_keys().symlinks;
    let (link, sidecar) = data.split_at(data.len() / 2);
    for sidecar in [None, Some(sidecar)] {
        assert!(
            open_target(&key, link, sidecar).is_err(),
            "nobody forges SIV"
        );
    }
    if let Some(name) = target_sidecar(link) {
        assert!(
            name.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name} leads elsewhere"
        );
    }
    let _ = stored_target_len(data.len());
    let target = &data[..data.len().min(TARGET_MAX)];
    match seal_target(&key, target) {
        StoredTarget::Inline(link) => {
            assert_eq!(
                open_target(&key, link.as_bytes(), None).as_deref(),
                Ok(target)
            );
            assert_eq!(stored_target_len(link.len()), Some(target.len()));
        }
        StoredTarget::Sidecar { link, name, sealed } => {
            assert_eq!(target_sidecar(link.as_bytes()), Some(&*name));
            let opened = open_target(&key, link.as_bytes(), Some(&sealed));
            assert_eq!(opened.as_deref(), Ok(target));
        }
    }
}

/// A stored attribute's name and value, and a plaintext attribute.
pub fn xattr(data: &[u8]) {
    let key = volume_keys().xattrs;
    let (bytes, rest) = id(data);
    let bindings = [
        XattrBinding::File(FileId::from_bytes(bytes)),
        XattrBinding::Directory(DirectoryId::from_bytes(bytes)),
        XattrBinding::Volume(VolumeId::from_bytes(bytes)),
    ];
    let (name, value) = rest.split_at(rest.len() / 2);
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    for (number, binding) in bindings.into_iter().enumerate() {
        if let Ok(Some(plain)) = open_xattr_name(&key, binding, name) {
            panic!("forged {plain:?}");
        }
        assert!(open_xattr(&key, binding, name, value).is_err());
        let Ok(stored) = seal_xattr_name(&key, binding, name) else {
            continue;
        };
        assert!(stored.len() <= 255);
        let sealed = seal_xattr(&key, binding, name, value);
        for (other, elsewhere) in bindings.into_iter().enumerate() {
            let (found, opened) = (
                open_xattr_name(&key, elsewhere, &stored),
                open_xattr(&key, elsewhere, name, &sealed),
            );
            if other == number {
                assert_eq!(found.as_ref().map(Option::as_deref), Ok(Some(name)));
                assert_eq!(opened.as_deref(), Ok(value));
            } else {
                assert!(found.is_err() && opened.is_err(), "bound to nothing");
            }
        }
    }
}

/// A sealed block, and a plaintext.
pub fn block(data: &[u8]) {
    let keys = FileKeys::new(&key());
    let (bytes, rest) = id(data);
    let file = FileId::from_bytes(bytes);
    let index = BlockIndex(u64::from(bytes[0]));
    let mut binding = BlockBinding::new(&file);
    let overhead = SEALED_BLOCK_LEN - BLOCK_LEN;
    let mut opened = vec![0; rest.len().saturating_sub(overhead)];
    let forged = open_block(&keys.content, &mut binding, index, rest, &mut opened);
    assert!(forged.is_err(), "nobody forges a tag");

    let plain = &rest[..rest.len().min(BLOCK_LEN)];
    if plain.is_empty() {
        return;
    }
    let mut sealed = vec![0; plain.len() + overhead];
    seal_block(&keys.content, &mut binding, index, plain, &mut sealed);
    let mut opened = vec![0; plain.len()];
    let mut open = |index, sealed: &[u8], opened: &mut [u8]| {
        open_block(&keys.content, &mut binding, index, sealed, opened).is_ok()
    };
    assert!(open(index, &sealed, &mut opened) && opened == plain);
    assert!(!open(BlockIndex(index.0 + 1), &sealed, &mut opened));
    let at = usize::from(bytes[1]) * usize::from(bytes[2]) % sealed.len();
    sealed[at] ^= bytes[3] | 1;
    assert!(!open(index, &sealed, &mut opened));
}
