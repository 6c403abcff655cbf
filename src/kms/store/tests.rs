use std::{fs, path::PathBuf};

use rusqlite::Connection;

use super::Sqlite;
use crate::kms::{
    CreateKeyRequest, HomeError, RotateKeyOnDemandRequest,
    state::Policies,
    testing::{Place, admin},
};

/// A home with two keys, the first rotated once, and nobody serving it.
fn place_with_keys() -> (Place, PathBuf) {
    let place = Place::new();
    let home = place.create();
    let (service, me) = (home.service().unwrap(), admin(&home));
    let create = || {
        service
            .create_key(&me, &CreateKeyRequest::default())
            .unwrap()
    };
    let key_id = create().key_metadata.key_id;
    create();
    service
        .rotate_key_on_demand(&me, &RotateKeyOnDemandRequest { key_id })
        .unwrap();
    let path = place.path().join("kms.sqlite");
    (place, path)
}

fn refusal(place: &Place) -> HomeError {
    place.open().service().err().expect("the store is refused")
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let (place, path) = place_with_keys();
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    let refused = refusal(&place);
    assert!(
        matches!(refused, HomeError::NewerFormat { found: 1000, .. }),
        "{refused}"
    );
}

#[test]
fn key_material_cannot_be_exchanged_removed_or_altered() {
    for (change, complaint) in [
        (
            "UPDATE materials SET sealed = (SELECT sealed FROM materials AS other
                 WHERE other.version = 2) WHERE version = 1",
            "does not open under the root key",
        ),
        (
            "UPDATE materials SET version = 7 WHERE version = 2",
            "does not open under the root key",
        ),
        (
            "UPDATE materials SET sealed = zeroblob(80)",
            "does not open under the root key",
        ),
        (
            "UPDATE materials SET sealed = x'00'",
            "does not open under the root key",
        ),
        ("DELETE FROM materials", "has no material"),
        ("UPDATE keys SET policy = '{}'", "the policy of key"),
        ("UPDATE keys SET tags = '{'", "the tags of key"),
    ] {
        let (place, path) = place_with_keys();
        Connection::open(&path)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let refused = refusal(&place).to_string();
        assert!(
            refused.contains("kms.sqlite is damaged"),
            "{change}: {refused}"
        );
        assert!(refused.contains(complaint), "{change}: {refused}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let (place, path) = place_with_keys();
    let nonsense = b"this is no database, though it is long enough to have been one".repeat(20);
    fs::write(&path, &nonsense).unwrap();
    let refused = refusal(&place);
    assert!(matches!(refused, HomeError::Store { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), nonsense);
}

#[test]
fn no_key_material_is_in_the_store_in_the_clear() {
    let (place, path) = place_with_keys();
    let home = place.open();
    let root = home.inner.root.get().unwrap();
    let state = Sqlite::open(&path, &home.inner.place)
        .unwrap()
        .load(&path, root, &home.inner.place, &mut Policies::default())
        .unwrap();
    let mut materials = 0;
    for file in ["kms.sqlite", "kms.sqlite-wal"] {
        let content = fs::read(place.path().join(file)).unwrap_or_default();
        for material in state.keys().flat_map(|key| &key.materials) {
            let secret = material.secret().unwrap().expose();
            assert!(
                !content.windows(secret.len()).any(|window| window == secret),
                "{file}"
            );
            materials += 1;
        }
    }
    assert_eq!(materials, 6, "three materials were looked for in two files");
}
