use std::fs;

use super::Backup;
use crate::kms::{
    CreateKeyRequest, CreateUserRequest, Empty, Home, HomeError, ListKeysRequest, UserRef,
    testing::{Place, admin, key_file},
};

fn filled(place: &Place) -> Home {
    let home = place.create();
    let service = home.service().unwrap();
    let request = CreateKeyRequest::default();
    service.create_key(&admin(&home), &request).unwrap();
    let request = CreateUserRequest {
        user: UserRef {
            user_name: "anna".to_owned(),
            account: None,
        },
        ..CreateUserRequest::default()
    };
    let administration = home.administration().unwrap();
    administration.create_user(&admin(&home), &request).unwrap();
    fs::write(home.policy_path("7"), "{}").unwrap();
    home
}

#[test]
fn a_backup_of_a_home_in_use_restores_to_the_same_keys_and_users() {
    let place = Place::new();
    let home = filled(&place);
    let service = home.service().unwrap();
    let keys = |home: &Home| {
        let listed = home.service().unwrap();
        let listed = listed.list_keys(&admin(home), &ListKeysRequest::default());
        listed
            .unwrap()
            .keys
            .into_iter()
            .map(|key| key.key_arn)
            .collect::<Vec<_>>()
    };
    let file = place.directory.path().join("backup");
    Backup::of(&home).unwrap().write(&file).unwrap();
    let unlock = key_file(place.directory.path());
    let backup = Backup::read(&file, &unlock).unwrap();
    assert_eq!(backup.keys().unwrap(), 1);
    let other = place.directory.path().join("other");
    backup.restore(&other).unwrap();
    let restored = Home::open(&other, Some(&unlock)).unwrap();
    assert_eq!(keys(&restored), keys(&home));
    let administration = restored.administration().unwrap();
    let users = administration
        .list_users(&admin(&restored), &Empty {})
        .unwrap();
    assert_eq!(users.users[0].user_name, "anna");
    assert_eq!(fs::read_to_string(restored.policy_path("7")).unwrap(), "{}");
    drop(service);
}

#[test]
fn a_backup_that_was_changed_or_cut_anywhere_is_refused() {
    let place = Place::new();
    let home = filled(&place);
    let file = place.directory.path().join("backup");
    Backup::of(&home).unwrap().write(&file).unwrap();
    let unlock = key_file(place.directory.path());
    let whole = fs::read(&file).unwrap();
    let refused = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        Backup::read(&file, &unlock).err().is_some()
    };
    for position in (0..whole.len()).step_by(97) {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        assert!(refused(&changed), "byte {position}");
        assert!(refused(&whole[..position]), "cut at {position}");
    }
    assert!(!refused(&whole));
}

#[test]
fn another_secret_does_not_open_it() {
    let place = Place::new();
    let home = filled(&place);
    let file = place.directory.path().join("backup");
    Backup::of(&home).unwrap().write(&file).unwrap();
    let other = Place::new();
    fs::write(other.directory.path().join("key"), [8; 32]).unwrap();
    let refused = Backup::read(&file, &key_file(other.directory.path())).err();
    assert!(matches!(refused, Some(HomeError::WrongKeyFile { .. })));
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new();
    let home = filled(&place);
    let file = place.directory.path().join("backup");
    let backup = Backup::of(&home).unwrap();
    backup.write(&file).unwrap();
    assert!(backup.write(&file).is_err());
    let refused = backup.restore(&place.path()).err();
    assert!(matches!(refused, Some(HomeError::Exists(_))));
    let occupied = place.directory.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    let refused = backup.restore(&occupied).err();
    assert!(matches!(refused, Some(HomeError::NotEmpty(_))));
}
