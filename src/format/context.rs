//! Encryption contexts: what a wrapped key is bound to inside the key service.
//!
//! Never a path: the context stands in the key service's log in the clear, and a renamed file keeps
//! its wrapped key.

use std::collections::BTreeMap;

use super::{FileId, VolumeId};

const VOLUME: &str = "kmsfs:volume";
const FILE: &str = "kmsfs:file";
const LABEL: &str = "kmsfs:label";
const PURPOSE: &str = "kmsfs:purpose";

/// The encryption context of a file's data key.
pub fn data_key_context(
    volume: &VolumeId,
    file: &FileId,
    label: Option<&str>,
) -> BTreeMap<String, String> {
    let mut context = BTreeMap::from([
        (VOLUME.to_owned(), volume.to_string()),
        (FILE.to_owned(), file.to_string()),
    ]);
    if let Some(label) = label {
        context.insert(LABEL.to_owned(), label.to_owned());
    }
    context
}

/// The encryption context of a volume key. It has no file, so no data key can stand in for it.
pub fn volume_key_context(volume: &VolumeId) -> BTreeMap<String, String> {
    BTreeMap::from([
        (VOLUME.to_owned(), volume.to_string()),
        (PURPOSE.to_owned(), "volume-key".to_owned()),
    ])
}
