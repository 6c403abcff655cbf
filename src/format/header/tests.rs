use proptest::prelude::*;

use super::*;
use crate::crypto::SecretKey;
use crate::crypto::derive::FileKeys;

fn key() -> MacKey {
    FileKeys::new(&SecretKey::take_from(&mut [1; 32]).unwrap()).header
}

fn header() -> Header {
    Header {
        file: FileId::from_bytes([2; 16]),
        label: Some("secret".into()),
        key: KeySlot {
            key_arn: "arn:aws:kms:eu-north-1:000000000000:key/1".into(),
            wrapped: vec![3; 184],
        },
        generation: 5,
        length: 123_456,
        synced: true,
        sparse: false,
    }
}

fn region(first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, second].concat()
}

#[test]
fn a_header_survives_being_written() {
    let copy = header().encode(&key()).unwrap();
    let raw = RawHeader::parse(&region(&copy, &[0; COPY_LEN])).unwrap();
    assert_eq!(raw.newest().0, CopySlot::First);
    assert_eq!(raw.newest().1.authenticate(&key()), Ok(header()));
    assert_eq!(raw.older(), None);
    assert!(!raw.has_damage());
}

#[test]
fn the_copy_of_the_higher_generation_is_the_newest_in_either_place() {
    let old = header().encode(&key()).unwrap();
    let new = Header {
        generation: 6,
        length: 7,
        ..header()
    }
    .encode(&key())
    .unwrap();
    for (region, slot) in [
        (region(&old, &new), CopySlot::Second),
        (region(&new, &old), CopySlot::First),
    ] {
        let raw = RawHeader::parse(&region).unwrap();
        assert_eq!(raw.newest().0, slot);
        assert_eq!(raw.newest().1.unverified().length, 7);
        assert_eq!(raw.older().unwrap().1.unverified().length, 123_456);
    }
}

#[test]
fn a_torn_copy_leaves_the_other_in_force_and_is_told() {
    let copy = header().encode(&key()).unwrap();
    let mut torn = Header {
        generation: 6,
        ..header()
    }
    .encode(&key())
    .unwrap();
    torn[1000..].fill(0);
    let raw = RawHeader::parse(&region(&copy, &torn)).unwrap();
    assert_eq!(raw.newest().1.unverified().generation, 5);
    assert!(raw.has_damage());
    assert_eq!(
        RawHeader::parse(&region(&torn, &torn)),
        Err(HeaderError::Damaged)
    );
}

#[test]
fn a_synced_state_is_never_overwritten_in_place() {
    let (first, second) = (CopySlot::First, CopySlot::Second);
    assert_eq!(first.for_update(true, false), second);
    assert_eq!(second.for_update(true, true), first);
    assert_eq!(
        first.for_update(false, true),
        first,
        "the other copy is the last synced one"
    );
    assert_eq!(
        first.for_update(false, false),
        second,
        "a torn write would leave no copy"
    );
}

#[test]
fn a_later_version_and_unknown_features_are_refused_by_name() {
    let resealed = |offset: usize, value: u8| {
        let mut copy = header().encode(&key()).unwrap();
        copy[offset] = value;
        let crc = crc32fast::hash(&copy[..at::CRC]);
        copy[at::CRC..].copy_from_slice(&crc.to_le_bytes());
        RawHeader::parse(&region(&copy, &[0; COPY_LEN]))
    };
    assert_eq!(resealed(at::VERSION, 2), Err(HeaderError::NewerVersion(2)));
    assert_eq!(
        resealed(at::INCOMPATIBLE_FEATURES, 4),
        Err(HeaderError::UnknownFeatures(4))
    );
    assert!(
        resealed(at::FEATURES, 4).is_ok(),
        "a compatible feature may be ignored"
    );
}

#[test]
fn copies_of_two_files_are_not_mixed() {
    let one = header().encode(&key()).unwrap();
    let two = Header {
        file: FileId::from_bytes([9; 16]),
        ..header()
    }
    .encode(&key())
    .unwrap();
    assert_eq!(
        RawHeader::parse(&region(&one, &two)),
        Err(HeaderError::Mixed)
    );
}

#[test]
fn a_rewrapped_key_keeps_the_rest_authentic() {
    let mut rewrapped = header();
    rewrapped.key = KeySlot {
        key_arn: "arn:aws:kms:eu-north-1:000000000000:key/2".into(),
        wrapped: vec![8; 200],
    };
    let original = header().encode(&key()).unwrap();
    let mut copy = rewrapped.encode(&key()).unwrap();
    copy[at::MAC..at::KEY_ARN].copy_from_slice(&original[at::MAC..at::KEY_ARN]);
    let crc = crc32fast::hash(&copy[..at::CRC]);
    copy[at::CRC..].copy_from_slice(&crc.to_le_bytes());
    let raw = RawHeader::parse(&region(&copy, &[0; COPY_LEN])).unwrap();
    assert_eq!(raw.newest().1.authenticate(&key()), Ok(rewrapped));
}

#[test]
fn fields_that_do_not_fit_are_refused() {
    let mut long = header();
    long.key.wrapped = vec![0; 1025];
    assert_eq!(
        long.encode(&key()),
        Err(HeaderError::TooLong("wrapped data key"))
    );
    long = Header {
        label: Some("x".repeat(256)),
        ..header()
    };
    assert_eq!(long.encode(&key()), Err(HeaderError::TooLong("label")));
}

proptest! {
    #[test]
    fn no_flipped_bit_goes_unseen(bit in 0..COPY_LEN * 8, fix_crc: bool) {
        let mut copy = header().encode(&key()).unwrap();
        copy[bit / 8] ^= 1 << (bit % 8);
        let slot = at::KEY_ARN_LEN..at::LABEL;
        let key_slot = slot.contains(&(bit / 8)) || (at::KEY_ARN..at::UNUSED).contains(&(bit / 8));
        if fix_crc && bit / 8 < at::CRC {
            let crc = crc32fast::hash(&copy[..at::CRC]);
            copy[at::CRC..].copy_from_slice(&crc.to_le_bytes());
        }
        if let Ok(raw) = RawHeader::parse(&region(&copy, &[0; COPY_LEN])) {
            // The key slot is the key service's to authenticate.
            prop_assert!(key_slot || raw.newest().1.authenticate(&key()) == Err(Forged));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(region in prop::collection::vec(any::<u8>(), 0..HEADER_LEN + 10)) {
        prop_assert!(RawHeader::parse(&region).is_err());
    }
}
