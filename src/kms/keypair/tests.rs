//! Against vectors of another library, of RFCs, and against each other where two libraries do the
//! same. `vectors.json` was made with Python's `cryptography` 50 (OpenSSL 4): keys, and what their
//! other half made of `message`.

use std::sync::LazyLock;

use aws_lc_rs::{kem, signature};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    Bits, Curve, Ed25519Key, Hash, KeyPair, Kind, Message, MlDsa, MlKem, MlKemKey, NoSuchKey, Oaep,
    Padding,
};

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("vectors.json")).unwrap());

const KINDS: [(&str, Kind); 14] = [
    ("RSA_2048", Kind::Rsa(Bits::B2048)),
    ("RSA_3072", Kind::Rsa(Bits::B3072)),
    ("RSA_4096", Kind::Rsa(Bits::B4096)),
    ("P256", Kind::Ec(Curve::P256)),
    ("P384", Kind::Ec(Curve::P384)),
    ("P521", Kind::Ec(Curve::P521)),
    ("P256K1", Kind::Ec(Curve::P256k1)),
    ("ED25519", Kind::Ed25519),
    ("ML_DSA_44", Kind::MlDsa(MlDsa::MlDsa44)),
    ("ML_DSA_65", Kind::MlDsa(MlDsa::MlDsa65)),
    ("ML_DSA_87", Kind::MlDsa(MlDsa::MlDsa87)),
    ("ML_KEM_512", Kind::MlKem(MlKem::MlKem512)),
    ("ML_KEM_768", Kind::MlKem(MlKem::MlKem768)),
    ("ML_KEM_1024", Kind::MlKem(MlKem::MlKem1024)),
];

fn message() -> &'static [u8] {
    VECTORS["message"].as_str().unwrap().as_bytes()
}

fn bytes(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
        .collect()
}

fn vector(name: &str) -> &'static Value {
    let keys = VECTORS["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kind"] == name).unwrap()
}

fn kind(name: &str) -> Kind {
    KINDS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The key of the vectors.
fn key(name: &str) -> KeyPair {
    read(kind(name), &bytes(&vector(name)["private"])).unwrap()
}

fn read(kind: Kind, document: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pkcs8(kind, document).ok()
}

/// All that can be made quickly.
fn quick() -> impl Iterator<Item = (&'static str, Kind)> {
    let slow = |kind: &Kind| matches!(kind, Kind::Rsa(Bits::B3072 | Bits::B4096));
    KINDS.into_iter().filter(move |(_, kind)| !slow(kind))
}

#[test]
fn a_key_that_was_written_reads_back_as_itself() {
    for (name, kind) in quick() {
        let made = KeyPair::generate(kind).ok().unwrap();
        let document = made.to_pkcs8().unwrap();
        let back = read(kind, &document).unwrap();
        assert_eq!(*back.to_pkcs8().unwrap(), *document, "{name}");
        assert_eq!(
            back.public_key().unwrap(),
            made.public_key().unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_key_is_written_alike_whatever_document_it_was_read_from() {
    // Without the public key inside.
    let bare = p256("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let written = bare.to_pkcs8().unwrap();
    let back = read(Kind::Ec(Curve::P256), &written).unwrap();
    assert_eq!(back.to_pkcs8().unwrap(), written);

    // Version 2 of RFC 5958, with it.
    let pair = signature::Ed25519KeyPair::generate().unwrap();
    let one = read(Kind::Ed25519, pair.to_pkcs8().unwrap().as_ref()).unwrap();
    let two = read(Kind::Ed25519, pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    assert_eq!(one.to_pkcs8().unwrap(), two.to_pkcs8().unwrap());
}

#[test]
fn a_key_of_another_library_has_the_public_key_that_it_has_there() {
    for vector in VECTORS["keys"].as_array().unwrap() {
        let name = vector["kind"].as_str().unwrap();
        assert_eq!(
            key(name).public_key().unwrap(),
            bytes(&vector["public"]),
            "{name}"
        );
    }
}

#[test]
fn a_key_is_read_only_as_the_kind_that_it_is() {
    for vector in VECTORS["keys"].as_array().unwrap() {
        let name = vector["kind"].as_str().unwrap();
        let document = bytes(&vector["private"]);
        for (other, kind) in KINDS.into_iter().filter(|(other, _)| *other != name) {
            assert!(read(kind, &document).is_none(), "{name} as {other}");
        }
        for cut in [0, 1, document.len() - 1] {
            assert!(
                read(kind(name), &document[..cut]).is_none(),
                "{cut} bytes of {name}"
            );
        }
    }
}

#[test]
fn rsa_signatures_of_another_library_verify_and_ours_do() {
    for bits in ["RSA_2048", "RSA_3072", "RSA_4096"] {
        let KeyPair::Rsa(key) = key(bits) else {
            unreachable!()
        };
        for (padding, scheme) in [(Padding::Pss, "PSS"), (Padding::Pkcs1, "PKCS1")] {
            for (hash, name) in [
                (Hash::Sha256, "SHA_256"),
                (Hash::Sha384, "SHA_384"),
                (Hash::Sha512, "SHA_512"),
            ] {
                let name = format!("{scheme}_{name}");
                let signature = bytes(&vector(bits)["signatures"][&name]);
                let raw = Message::Raw(message());
                key.verify(padding, hash, raw, &signature).unwrap();
                let own = key.sign(padding, hash, raw).unwrap();
                key.verify(padding, hash, raw, &own).unwrap();
                // PKCS1-v1_5 has one signature for each message.
                assert_eq!(own == signature, padding == Padding::Pkcs1, "{bits} {name}");

                let digest = raw.digest(hash).unwrap();
                let digest = Message::Digest(digest.as_ref());
                key.verify(padding, hash, digest, &signature).unwrap();
                let own = key.sign(padding, hash, digest).unwrap();
                key.verify(padding, hash, raw, &own).unwrap();

                let other = Message::Raw(b"another message");
                key.verify(padding, hash, other, &signature).unwrap_err();
                let swapped = match padding {
                    Padding::Pss => Padding::Pkcs1,
                    Padding::Pkcs1 => Padding::Pss,
                };
                key.verify(swapped, hash, raw, &signature).unwrap_err();
            }
        }
    }
}

#[test]
fn ecdsa_signatures_of_another_library_verify_and_ours_do() {
    for curve in ["P256", "P384", "P521", "P256K1"] {
        let KeyPair::Ec(key) = key(curve) else {
            unreachable!()
        };
        let signatures = vector(curve)["signatures"].as_object().unwrap();
        let signature = bytes(signatures.values().next().unwrap());
        let raw = Message::Raw(message());
        let Kind::Ec(parameters) = kind(curve) else {
            unreachable!()
        };
        let digest = raw.digest(parameters.hash()).unwrap();
        let digest = Message::Digest(digest.as_ref());
        for message in [raw, digest] {
            key.verify(message, &signature).unwrap();
            let own = key.sign(message).unwrap();
            assert_eq!(own[0], 0x30, "{curve}: a DER sequence");
            key.verify(raw, &own).unwrap();
            key.verify(digest, &own).unwrap();
        }
        key.verify(Message::Raw(b"another message"), &signature)
            .unwrap_err();
        key.verify(raw, &signature[1..]).unwrap_err();
        key.verify(raw, b"").unwrap_err();
    }
}

/// RFC 6979, appendix A.2.5: P-256, SHA-256, message "sample".
#[test]
fn the_ecdsa_signature_of_rfc_6979_verifies() {
    let scalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    let KeyPair::Ec(key) = p256(scalar) else {
        unreachable!()
    };
    let signature = unhex(
        "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c94\
         2d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    );
    key.verify(Message::Raw(b"sample"), &signature).unwrap();
    key.verify(Message::Raw(b"test"), &signature).unwrap_err();
}

#[test]
fn a_digest_of_another_length_is_never_signed() {
    let KeyPair::Ec(key) = key("P256") else {
        unreachable!()
    };
    for length in [0, 20, 31, 33, 64] {
        let digest = vec![7; length];
        assert!(key.sign(Message::Digest(&digest)).is_err(), "{length}");
    }
}

#[test]
fn oaep_ciphertexts_of_another_library_open_and_ours_do() {
    for (name, bits) in [
        ("RSA_2048", Bits::B2048),
        ("RSA_3072", Bits::B3072),
        ("RSA_4096", Bits::B4096),
    ] {
        let KeyPair::Rsa(key) = key(name) else {
            unreachable!()
        };
        for (oaep, hash, other) in [
            (Oaep::Sha1, "SHA_1", Oaep::Sha256),
            (Oaep::Sha256, "SHA_256", Oaep::Sha1),
        ] {
            let ciphertext = bytes(&vector(name)["oaep"][hash]);
            assert_eq!(*key.decrypt(oaep, &ciphertext).unwrap(), message());
            assert!(key.decrypt(other, &ciphertext).is_err());
            assert!(key.decrypt(oaep, &ciphertext[1..]).is_err());

            let longest = vec![7; oaep.max_plaintext(bits)];
            let own = key.encrypt(oaep, &longest).unwrap();
            assert_eq!(own.len(), bits.bytes());
            assert_eq!(*key.decrypt(oaep, &own).unwrap(), longest);
            assert!(key.encrypt(oaep, &[&longest[..], &[7]].concat()).is_err());
        }
    }
}

#[test]
fn secrets_are_agreed_on_as_another_library_agrees_on_them() {
    for curve in ["P256", "P384", "P521"] {
        let KeyPair::Ec(key) = key(curve) else {
            unreachable!()
        };
        let peer = bytes(&vector(curve)["peer"]);
        assert_eq!(*key.agree(&peer).unwrap(), bytes(&vector(curve)["agreed"]));
    }
}

/// RFC 5903, section 8.1.
#[test]
fn the_secret_of_rfc_5903_is_agreed_on() {
    let scalar = "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433";
    let KeyPair::Ec(key) = p256(scalar) else {
        unreachable!()
    };
    let peer = unhex(
        "3059301306072a8648ce3d020106082a8648ce3d03010703420004d12dfb5289c8d4f81208b70270398c3422\
         96970a0bccb74c736fc7554494bf6356fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f3303\
         9872ab",
    );
    let secret = unhex("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de");
    assert_eq!(*key.agree(&peer).unwrap(), secret);
}

#[test]
fn no_secret_is_agreed_on_with_what_is_no_key_on_the_curve() {
    let KeyPair::Ec(p256) = key("P256") else {
        unreachable!()
    };
    let own = bytes(&vector("P256")["public"]);
    // The bare point is a public key, but not in the form that the API has.
    let point = &own[own.len() - 65..];
    let mut off_curve = own.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    for (what, peer) in [
        ("garbage", b"InvalidPublicKey".as_slice()),
        ("nothing", b""),
        ("a bare point", point),
        ("a point off the curve", &off_curve),
        ("another curve", &bytes(&vector("P384")["public"])),
        ("another kind", &bytes(&vector("RSA_2048")["public"])),
    ] {
        assert_eq!(p256.agree(peer).unwrap_err(), NoSuchKey, "{what}");
    }
    let KeyPair::Ec(secp256k1) = key("P256K1") else {
        unreachable!()
    };
    let peer = bytes(&vector("P256K1")["peer"]);
    assert_eq!(secp256k1.agree(&peer).unwrap_err(), NoSuchKey);
}

fn p256(scalar: &str) -> KeyPair {
    let document =
        format!("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420{scalar}");
    read(Kind::Ec(Curve::P256), &unhex(&document)).unwrap()
}

#[test]
fn an_ed25519_signature_is_the_one_of_another_library() {
    let KeyPair::Ed25519(key) = key("ED25519") else {
        unreachable!()
    };
    let signature = bytes(&vector("ED25519")["signatures"]["ED25519"]);
    assert_eq!(key.sign(message()).unwrap(), signature);
    key.verify(message(), &signature).unwrap();
    key.verify(b"another message", &signature).unwrap_err();
    key.verify_prehashed(message(), &signature).unwrap_err();
}

/// RFC 8032, section 7.3.
#[test]
fn an_ed25519ph_signature_is_the_one_of_rfc_8032() {
    let seed = "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42";
    let document = unhex(&format!("302e020100300506032b657004220420{seed}"));
    let key = Ed25519Key::from_pkcs8(&document).ok().unwrap();
    let signature = unhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d0\
         62adf5aaa10b8c61e636062aaad11c2a26083406",
    );
    assert_eq!(key.sign_prehashed(b"abc").unwrap(), signature);
    key.verify_prehashed(b"abc", &signature).unwrap();
    key.verify_prehashed(b"abd", &signature).unwrap_err();
    key.verify_prehashed(b"abc", &signature[1..]).unwrap_err();
    key.verify(b"abc", &signature).unwrap_err();
}

#[test]
fn ml_dsa_signatures_of_another_library_verify_by_message_and_by_mu() {
    for name in ["ML_DSA_44", "ML_DSA_65", "ML_DSA_87"] {
        let KeyPair::MlDsa(key) = key(name) else {
            unreachable!()
        };
        let mu = bytes(&vector(name)["mu"]).try_into().unwrap();
        let signatures = &vector(name)["signatures"];
        let theirs = [bytes(&signatures["MESSAGE"]), bytes(&signatures["MU"])];
        let ours = [key.sign(message()).unwrap(), key.sign_mu(&mu).unwrap()];
        for signature in theirs.iter().chain(&ours) {
            key.verify(message(), signature).unwrap();
            key.verify_mu(&mu, signature).unwrap();
            key.verify(b"another message", signature).unwrap_err();
            key.verify_mu(&[7; 64], signature).unwrap_err();
            key.verify(message(), &signature[1..]).unwrap_err();
            key.verify_mu(&mu, &signature[1..]).unwrap_err();
            let mut altered = signature.clone();
            altered[100] ^= 1;
            key.verify(message(), &altered).unwrap_err();
            key.verify_mu(&mu, &altered).unwrap_err();
        }
    }
}

#[test]
fn an_expanded_ml_dsa_key_without_its_seed_is_refused() {
    let pair = signature::PqdsaKeyPair::generate(&signature::ML_DSA_44_SIGNING).unwrap();
    let expanded = aws_lc_rs::encoding::AsRawBytes::as_raw_bytes(&pair.private_key()).unwrap();
    // PrivateKeyInfo (RFC 5958) whose private key is the OCTET STRING of the expanded form.
    let head = unhex("30820a18020100300b060960864801650304031104820a0404820a00");
    let document = [&head[..], expanded.as_ref()].concat();
    assert!(
        signature::PqdsaKeyPair::from_pkcs8(&signature::ML_DSA_44_SIGNING, &document).is_ok(),
        "it is well-formed"
    );
    assert!(read(Kind::MlDsa(MlDsa::MlDsa44), &document).is_none());
}

#[test]
fn ml_kem_secrets_of_another_library_are_recovered() {
    for name in ["ML_KEM_768", "ML_KEM_1024"] {
        let KeyPair::MlKem(key) = key(name) else {
            unreachable!()
        };
        let ciphertext = bytes(&vector(name)["ciphertext"]);
        let secret = bytes(&vector(name)["secret"]);
        assert_eq!(*key.decapsulate(&ciphertext).unwrap(), secret);
    }
}

/// The form with seed and expanded key, in DER by hand: `cryptography` writes the seed alone.
#[test]
fn an_ml_kem_key_with_seed_and_expanded_key_is_read_if_the_two_agree() {
    let seed: Vec<u8> = (0..64).collect();
    let KeyPair::MlKem(MlKemKey::MlKem768(key)) = key("ML_KEM_768") else {
        unreachable!()
    };
    #[expect(deprecated, reason = "it is what the form has")]
    let expanded = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&*key);
    // Another library agrees that this is the key.
    let theirs = kem::DecapsulationKey::new(&kem::ML_KEM_768, expanded.as_slice()).unwrap();
    let ciphertext = bytes(&vector("ML_KEM_768")["ciphertext"]);
    let secret = theirs.decapsulate(ciphertext[..].into()).unwrap();
    assert_eq!(secret.as_ref(), bytes(&vector("ML_KEM_768")["secret"]));

    let document = |expanded: &[u8]| {
        let head = "308209be020100300b0609608648016503040402048209aa308209a60440";
        let seed_and_head = [&seed[..], &unhex("04820960")].concat();
        [unhex(head), seed_and_head, expanded.to_vec()].concat()
    };
    let kind = Kind::MlKem(MlKem::MlKem768);
    let read_back = read(kind, &document(&expanded)).unwrap();
    assert_eq!(
        *read_back.to_pkcs8().unwrap(),
        bytes(&vector("ML_KEM_768")["private"])
    );
    let mut other = expanded;
    other[0] ^= 1;
    assert!(read(kind, &document(&other)).is_none());
}

#[test]
fn ml_kem_agrees_with_aws_lc() {
    for (parameters, algorithm, length) in [
        (MlKem::MlKem512, &kem::ML_KEM_512, 768),
        (MlKem::MlKem768, &kem::ML_KEM_768, 1088),
        (MlKem::MlKem1024, &kem::ML_KEM_1024, 1568),
    ] {
        let kind = Kind::MlKem(parameters);
        let made = KeyPair::generate(kind).ok().unwrap();
        let public = made.public_key().unwrap();
        // The bare key ends the SubjectPublicKeyInfo.
        let bare = &public[22..];
        let theirs = kem::EncapsulationKey::new(algorithm, bare).unwrap();
        let (ciphertext, secret) = theirs.encapsulate().unwrap();
        let KeyPair::MlKem(key) = made else {
            unreachable!()
        };
        let opened = key.decapsulate(ciphertext.as_ref()).unwrap();
        assert_eq!(&opened[..], secret.as_ref());
        let (ciphertext, secret) = key.encapsulate();
        assert_eq!((ciphertext.len(), secret.len()), (length, 32));
        assert_eq!(key.decapsulate(&ciphertext).unwrap(), secret);
    }
}

#[test]
fn an_altered_encapsulation_gives_another_secret_and_one_of_another_length_none() {
    let KeyPair::MlKem(key) = key("ML_KEM_768") else {
        unreachable!()
    };
    let (mut ciphertext, secret) = key.encapsulate();
    ciphertext[0] ^= 1;
    let other = key.decapsulate(&ciphertext).unwrap();
    assert_ne!(other, secret);
    // Implicit rejection is deterministic (FIPS 203, algorithm 18).
    assert_eq!(key.decapsulate(&ciphertext).unwrap(), other);
    assert!(key.decapsulate(&ciphertext[1..]).is_none());
    assert!(key.decapsulate(b"").is_none());
}
