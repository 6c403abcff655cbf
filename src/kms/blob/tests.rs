use proptest::prelude::*;

use super::{HEADER, envelope, parse, seal, seal_with_salt};
use crate::{
    crypto::SecretKey,
    kms::{
        api::{CiphertextBlob, EncryptionContext},
        material::{KeyVersion, hex},
        name::KeyId,
    },
};

const ID: [u8; 16] = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();

/// Golden vectors, made with Python's `cryptography` 45 (HKDF, AESGCM) from the format's
/// description: the secret is bytes 0 to 31, the salt 32 to 63, the key version 3.
const EMPTY: &str = "\
    0100112233445566778899aabbccddeeff00000003202122232425262728292a2b2c2d2e2f3031323334353637\
    38393a3b3c3d3e3fadd207cb7e45c60ed2fc0a4046eb8aba";
const WITH_CONTEXT: &str = "\
    0100112233445566778899aabbccddeeff00000003202122232425262728292a2b2c2d2e2f3031323334353637\
    38393a3b3c3d3e3f7b96a753f13f62403630299854fb63f1c78a8a7cfef20c63c28bc1ca8fefcdada02639a88c";

const VERSION: KeyVersion = KeyVersion(3);

fn secret() -> SecretKey {
    let mut secret: Vec<u8> = (0..32).collect();
    SecretKey::take_from(&mut secret).unwrap()
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn open(blob: &CiphertextBlob, context: &EncryptionContext) -> Option<Vec<u8>> {
    parse(blob)?
        .open(&secret(), context)
        .map(|plaintext| plaintext.to_vec())
}

#[test]
fn the_format_is_the_one_of_the_golden_vectors() {
    let salt: [u8; envelope::SALT] = std::array::from_fn(|i| 32 + u8::try_from(i).unwrap());
    let cases = [
        (EMPTY, context(&[]), &b""[..]),
        (
            WITH_CONTEXT,
            context(&[("kmsfs:volume", "v"), ("kmsfs:file", "f")]),
            b"a secret of 21 bytes!",
        ),
    ];
    for (golden, context, plaintext) in cases {
        let id = KeyId::from_bytes(false, ID);
        let blob = seal_with_salt(id, (VERSION, &secret()), &context, plaintext, &salt);
        assert_eq!(hex(&blob.0), golden);
        assert_eq!(open(&blob, &context).unwrap(), plaintext);
    }
}

#[test]
fn a_blob_names_its_key_and_version() {
    let blob = seal(
        KeyId::from_bytes(false, ID),
        (VERSION, &secret()),
        &context(&[]),
        b"secret",
    );
    let read = parse(&blob).unwrap();
    assert_eq!(read.key_id, KeyId::from_bytes(false, ID));
    assert_eq!(read.key_version, KeyVersion(3));
}

#[test]
fn the_context_is_bound_with_its_lengths() {
    let made_with = context(&[("a", "bc")]);
    let blob = seal(
        KeyId::from_bytes(false, ID),
        (VERSION, &secret()),
        &made_with,
        b"secret",
    );
    assert_eq!(open(&blob, &made_with).unwrap(), b"secret");
    for other in [
        context(&[("ab", "c")]),
        context(&[("a", "b"), ("c", "")]),
        context(&[("A", "bc")]),
        context(&[("a", "bC")]),
        context(&[("a", "bc"), ("", "")]),
        context(&[]),
    ] {
        assert!(open(&blob, &other).is_none(), "{other:?}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let blob = seal(
        KeyId::from_bytes(false, ID),
        (VERSION, &secret()),
        &context(&[]),
        b"secret",
    );
    for bit in 0..blob.0.len() * 8 {
        let mut damaged = blob.clone();
        damaged.0[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&damaged, &context(&[])).is_none(), "bit {bit}");
    }
}

#[test]
fn a_cut_or_extended_blob_is_none() {
    let blob = seal(
        KeyId::from_bytes(false, ID),
        (VERSION, &secret()),
        &context(&[]),
        b"secret",
    );
    for length in 0..blob.0.len() {
        let cut = CiphertextBlob(blob.0[..length].to_vec());
        assert!(open(&cut, &context(&[])).is_none(), "{length} bytes");
    }
    let extended = CiphertextBlob([&blob.0[..], &[0]].concat());
    assert!(open(&extended, &context(&[])).is_none());
}

/// The API's limits.
const MAX_PLAINTEXT: usize = 4096;
const MAX_BLOB: usize = 6144;

#[test]
fn the_longest_plaintext_fits_the_longest_blob() {
    let blob = seal(
        KeyId::from_bytes(false, ID),
        (VERSION, &secret()),
        &context(&[]),
        &[7; MAX_PLAINTEXT],
    );
    assert_eq!(blob.0.len(), HEADER + MAX_PLAINTEXT + envelope::OVERHEAD);
    assert!(blob.0.len() <= MAX_BLOB);
}

#[test]
fn two_blobs_of_one_plaintext_have_nothing_in_common_but_the_header() {
    let make = || {
        seal(
            KeyId::from_bytes(false, ID),
            (VERSION, &secret()),
            &context(&[]),
            &[0; 64],
        )
        .0
    };
    let (one, other) = (make(), make());
    assert_eq!(one[..HEADER], other[..HEADER]);
    let same = one
        .iter()
        .zip(&other)
        .skip(HEADER)
        .filter(|(a, b)| a == b)
        .count();
    assert!(same < 16, "{same} of 112 bytes are the same");
}

proptest! {
    #[test]
    fn any_plaintext_comes_back_under_its_context_alone(
        plaintext in prop::collection::vec(any::<u8>(), 0..256),
        made_with in prop::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        other in prop::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
    ) {
        let blob = seal(KeyId::from_bytes(false, ID), (VERSION, &secret()), &made_with, &plaintext);
        prop_assert_eq!(open(&blob, &made_with).unwrap(), plaintext);
        prop_assert_eq!(open(&blob, &other).is_some(), made_with == other);
    }

    #[test]
    fn nothing_a_client_sends_makes_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..512),
        ours in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if ours && !bytes.is_empty() {
            bytes[0] = super::VERSION;
        }
        prop_assert!(open(&CiphertextBlob(bytes), &context(&[])).is_none());
    }
}
