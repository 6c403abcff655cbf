use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use super::{Home, HomeError, HomeSettings};
use crate::kms::{
    Passphrase, PassphraseCost, Unlock,
    testing::{Place, key_file},
};

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Passphrase::new(text.to_owned()).unwrap())
}

fn refusal(opened: Result<Home, HomeError>) -> HomeError {
    opened.err().expect("it is refused")
}

#[test]
fn a_home_opens_with_its_passphrase_and_no_other() {
    let place = Place::new();
    let settings = HomeSettings {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        passphrase_cost: PassphraseCost {
            memory: 8,
            passes: 1,
            lanes: 1,
        },
    };
    let made = Home::create(&place.path(), &passphrase("right"), &settings).unwrap();
    let opened = Home::open(&place.path(), Some(&passphrase("right"))).unwrap();
    assert_eq!(opened.account(), "111122223333");
    assert_eq!(opened.region(), "eu-central-1");
    assert_eq!(opened.signing_public_key(), made.signing_public_key());
    let wrong = refusal(Home::open(&place.path(), Some(&passphrase("wrong"))));
    assert!(
        matches!(wrong, HomeError::WrongPassphrase { .. }),
        "{wrong}"
    );
    let other = refusal(Home::open(
        &place.path(),
        Some(&key_file(place.directory.path())),
    ));
    assert!(matches!(other, HomeError::OtherSeal { .. }), "{other}");
}

#[test]
fn a_home_and_all_in_it_is_its_owners_alone() {
    let place = Place::new();
    let home = place.create();
    drop(home.service().unwrap());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&place.path()), 0o700);
    for entry in fs::read_dir(place.path()).unwrap() {
        let path = entry.unwrap().path();
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        // What SQLite makes beside its file takes that file's mode.
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn a_home_that_others_can_enter_is_refused() {
    let place = Place::new();
    drop(place.create());
    for mode in [0o710, 0o705, 0o755, 0o777] {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
        let refused = refusal(Home::open(&place.path(), None));
        let HomeError::NotPrivate { mode: found, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!(found, mode);
    }
}

#[test]
fn a_directory_that_is_in_use_does_not_become_a_home() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(place.path().join("letter"), "dear").unwrap();
    let unlock = key_file(place.directory.path());
    let create = || Home::create(&place.path(), &unlock, &HomeSettings::default());
    assert!(matches!(refusal(create()), HomeError::NotEmpty(_)));
    let entries = fs::read_dir(place.path()).unwrap().count();
    assert_eq!(entries, 1, "nothing was left in it");
    fs::remove_file(place.path().join("letter")).unwrap();
    create().unwrap();
    assert!(matches!(refusal(create()), HomeError::Exists(_)));
}

#[test]
fn an_absent_home_is_missing_until_it_is_made() {
    let place = Place::new();
    assert!(matches!(
        refusal(Home::open(&place.path(), None)),
        HomeError::Missing(_)
    ));
    let unlock = key_file(place.directory.path());
    let made = Home::open_or_create(&place.path(), &unlock).unwrap();
    let opened = Home::open_or_create(&place.path(), &unlock).unwrap();
    assert_eq!(opened.signing_public_key(), made.signing_public_key());
    assert_eq!(
        (opened.account(), opened.region()),
        ("000000000000", "us-east-1")
    );
}

#[test]
fn two_that_make_one_home_at_once_open_the_same() {
    let place = Place::new();
    let keys = std::thread::scope(|scope| {
        let make = || {
            let unlock = key_file(place.directory.path());
            Home::open_or_create(&place.path(), &unlock)
                .unwrap()
                .signing_public_key()
        };
        let threads = [scope.spawn(make), scope.spawn(make), scope.spawn(make)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[0], keys[2]);
}

#[test]
fn a_home_of_a_newer_format_is_refused_by_its_format() {
    let place = Place::new();
    drop(place.create());
    let json = place.path().join("home.json");
    fs::write(&json, r#"{"format": 2, "seals": ["some", "thing", "new"]}"#).unwrap();
    let refused = refusal(Home::open(&place.path(), None));
    assert!(
        matches!(
            refused,
            HomeError::NewerFormat {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_damaged_home_json_is_refused_and_kept() {
    let place = Place::new();
    drop(place.create());
    let json = place.path().join("home.json");
    let good = fs::read_to_string(&json).unwrap();
    for bad in [
        "",
        "{}",
        &good[..good.len() / 2],
        &good.replace("\"format\": 1", "\"format\": -1"),
    ] {
        fs::write(&json, bad).unwrap();
        let refused = refusal(Home::open(&place.path(), None));
        assert!(matches!(refused, HomeError::Corrupt { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&json).unwrap(), bad);
    }
}

#[test]
fn the_region_in_home_json_cannot_be_exchanged() {
    let place = Place::new();
    drop(place.create());
    let json = place.path().join("home.json");
    let good = fs::read_to_string(&json).unwrap();
    fs::write(&json, good.replace("us-east-1", "us-west-1")).unwrap();
    let refused = refusal(Home::open(
        &place.path(),
        Some(&key_file(place.directory.path())),
    ));
    assert!(
        matches!(refused, HomeError::WrongKeyFile { .. }),
        "{refused}"
    );
}

#[test]
fn an_account_has_twelve_digits_and_a_region_a_regions_name() {
    let settings = |account: &str, region: &str| HomeSettings {
        account: account.to_owned(),
        region: region.to_owned(),
        ..HomeSettings::default()
    };
    for (account, region) in [
        ("123456789012", "us-gov-west-1"),
        ("000000000000", "cn-north-1"),
    ] {
        assert!(
            settings(account, region).place().is_ok(),
            "{account} {region}"
        );
    }
    for (account, region) in [
        ("12345678901", "us-east-1"),
        ("12345678901a", "us-east-1"),
        ("123456789012", ""),
        ("123456789012", "us-east"),
        ("123456789012", "us-1"),
        ("123456789012", "us--1"),
        ("123456789012", "US-east-1"),
        ("123456789012", "us-east-1/"),
        ("123456789012", "eu-west-12"),
    ] {
        let refused = settings(account, region).place();
        assert!(
            matches!(refused, Err(HomeError::Settings(_))),
            "{account} {region}"
        );
    }
}
