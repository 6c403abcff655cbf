//! Fuzz targets for what clients send: requests, forwarded callers, ciphertext blobs.

use super::api::{self, CiphertextBlob, EncryptionContext};
use super::service::with_operations;
use super::{blob, material::KeyVersion, name::KeyId, wire};
use crate::crypto::SecretKey;

macro_rules! read_requests {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        /// An operation's name, a newline, and the body of a request.
        pub fn kms_request(data: &[u8]) {
            let Some(at) = data.iter().position(|&byte| byte == b'\n') else {
                return;
            };
            let body = &data[at + 1..];
            match std::str::from_utf8(&data[..at]) {
                $(
                    Ok(stringify!($operation)) => {
                        let Ok(request) = serde_json::from_slice::<$request>(body) else {
                            return;
                        };
                        let written = serde_json::to_vec(&request).expect("plain data");
                        let again: $request =
                            serde_json::from_slice(&written).expect("what is written can be read");
                        let again = serde_json::to_vec(&again).expect("plain data");
                        assert!(written == again, "a request changes on its way");
                    }
                )+
                _ => {}
            }
        }
    };
}
with_operations!(read_requests);

/// The header by which a mount speaks for somebody.
pub fn forwarded_caller(data: &[u8]) {
    if let Some(caller) = wire::decode_caller(data) {
        let header = wire::encode_caller(&caller);
        let again = wire::decode_caller(header.as_bytes()).expect("what is written can be read");
        assert_eq!(again.principal, caller.principal);
        assert_eq!(again.uid, caller.uid);
        assert_eq!(wire::encode_caller(&again), header);
    }
}

/// A ciphertext blob, and a plaintext with an encryption context.
pub fn ciphertext_blob(data: &[u8]) {
    let secret = SecretKey::take_from(&mut [1; 32]).expect("32 bytes");
    let text = String::from_utf8_lossy(data);
    let context: EncryptionContext = text
        .split('\n')
        .take(8)
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let given = CiphertextBlob(data.to_vec());
    if let Some(unverified) = blob::parse(&given) {
        assert!(
            unverified.open(&secret, &context).is_none(),
            "nobody forges a tag"
        );
    }
    let key = KeyId::from_bytes(data.len() % 2 == 1, [7; KeyId::LEN]);
    let version = KeyVersion(data.len() as u32);
    let plaintext = &data[..data.len().min(4096)];
    let mut sealed = blob::seal(key, (version, &secret), &context, plaintext);
    let unverified = blob::parse(&sealed).expect("it is one of ours");
    assert_eq!((unverified.key_id, unverified.key_version), (key, version));
    let opened = unverified
        .open(&secret, &context)
        .expect("what was sealed opens");
    assert!(*opened == plaintext);
    let mut other = context.clone();
    other.insert("another".to_owned(), "name".to_owned());
    assert!(other == context || unverified.open(&secret, &other).is_none());
    let at = data.len() * 31 % sealed.0.len();
    sealed.0[at] ^= 1;
    let opens = |blob: &CiphertextBlob| {
        blob::parse(blob).is_some_and(|unverified| unverified.open(&secret, &context).is_some())
    };
    assert!(!opens(&sealed), "an altered blob opens");
}
