//! Users of the service, their access keys, and the mounts that may speak for others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{
    KmsError,
    api::Timestamp,
    envelope::{self, DoesNotOpen, Purpose},
};
use crate::{
    crypto::{SecretKey, random},
    policy::Principal,
};

/// A user to whom access keys are issued.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) created: Timestamp,
    /// Whether requests signed with its access keys may be on behalf of others.
    pub(super) mount: bool,
    /// The user's ARN and account, and the ARNs of the groups it is in.
    pub(super) principal: Arc<Principal>,
}

impl User {
    pub(super) fn arn(&self) -> &str {
        &self.principal.arn
    }
}

/// The ARN of a user or group of an account; `kind` is `user` or `group`.
pub(super) fn arn(account: &str, kind: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}/{name}")
}

/// Checks a name as IAM does
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
pub(super) fn check_name(member: &str, name: &str) -> Result<(), KmsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(KmsError::constraint(&format!(
        "Value '{name}' at '{member}' failed to satisfy constraint: Member must be 1 to 64 \
         characters that satisfy regular expression pattern: [\\w+=,.@-]+"
    )))
}

/// A secret access key: 40 characters, wiped when dropped. No `Clone` and no `Debug`; only who
/// creates it ever sees it.
#[derive(ZeroizeOnDrop)]
pub struct SecretAccessKey(String);

impl SecretAccessKey {
    fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 30]);
        random::fill(&mut bytes[..]);
        Self(STANDARD.encode(&bytes[..]))
    }

    /// The characters.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Another of it, for whoever is told of the new key.
    pub(super) fn told(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Serialize for SecretAccessKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretAccessKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// An access key: signs requests for a user.
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) user_arn: String,
    pub(super) active: bool,
    pub(super) created: Timestamp,
    pub(super) secret: SecretAccessKey,
}

impl AccessKey {
    /// A fresh key for the user. Its id has the shape of AWS's: `AKIA` and 16 characters of base32.
    pub(super) fn generate(user_arn: &str) -> Self {
        const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut bytes = [0; 16];
        random::fill(&mut bytes);
        let characters = bytes.map(|byte| char::from(BASE32[usize::from(byte % 32)]));
        Self {
            id: "AKIA".chars().chain(characters).collect(),
            user_arn: user_arn.to_owned(),
            active: true,
            created: Timestamp::now(),
            secret: SecretAccessKey::generate(),
        }
    }

    /// The secret as the store keeps it, bound to the key's id and user.
    pub(super) fn seal(&self, root: &SecretKey) -> Vec<u8> {
        let mut sealed = Vec::new();
        let associated = associated(&self.id, &self.user_arn);
        let secret = self.secret.0.as_bytes();
        envelope::seal(root, Purpose::ACCESS_KEY, &associated, secret, &mut sealed);
        sealed
    }
}

/// A row of the store, whose secret is still sealed.
pub(super) struct SealedAccessKey {
    pub(super) id: String,
    pub(super) user_arn: String,
    pub(super) active: bool,
    pub(super) created: Timestamp,
    pub(super) sealed: Vec<u8>,
}

impl SealedAccessKey {
    pub(super) fn open(self, root: &SecretKey) -> Result<AccessKey, DoesNotOpen> {
        let associated = associated(&self.id, &self.user_arn);
        let secret = envelope::open(root, Purpose::ACCESS_KEY, &associated, &self.sealed)?;
        let text = std::str::from_utf8(&secret).map_err(|_| DoesNotOpen)?;
        Ok(AccessKey {
            id: self.id,
            user_arn: self.user_arn,
            active: self.active,
            created: self.created,
            secret: SecretAccessKey(text.to_owned()),
        })
    }
}

/// Key ids have one length, so nothing can move from one part to the other.
fn associated(id: &str, user_arn: &str) -> Vec<u8> {
    [id.as_bytes(), b"\n", user_arn.as_bytes()].concat()
}

/// All users, access keys and registered mounts, in memory.
#[derive(Default)]
pub(super) struct Identities {
    users: BTreeMap<String, Arc<User>>,
    keys: BTreeMap<String, Arc<AccessKey>>,
    mount_users: BTreeSet<u32>,
}

impl Identities {
    pub(super) fn user(&self, arn: &str) -> Option<&Arc<User>> {
        self.users.get(arn)
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// An access key that may be used, and whose it is.
    pub(super) fn signer(&self, id: &str) -> Option<(&Arc<AccessKey>, &Arc<User>)> {
        let key = self.keys.get(id).filter(|key| key.active)?;
        Some((key, self.users.get(&key.user_arn)?))
    }

    pub(super) fn key(&self, id: &str) -> Option<&Arc<AccessKey>> {
        self.keys.get(id)
    }

    pub(super) fn keys_of(&self, user_arn: &str) -> impl Iterator<Item = &Arc<AccessKey>> {
        let all = self.keys.values();
        all.filter(move |key| key.user_arn == user_arn)
    }

    /// Whether processes of this user id may speak for others.
    pub(super) fn is_mount_user(&self, uid: u32) -> bool {
        self.mount_users.contains(&uid)
    }

    pub(super) fn mount_users(&self) -> impl Iterator<Item = u32> {
        self.mount_users.iter().copied()
    }

    pub(super) fn put_user(&mut self, user: Arc<User>) {
        self.users.insert(user.arn().to_owned(), user);
    }

    /// With its access keys.
    pub(super) fn forget_user(&mut self, arn: &str) {
        self.users.remove(arn);
        self.keys.retain(|_, key| key.user_arn != arn);
    }

    pub(super) fn put_key(&mut self, key: Arc<AccessKey>) {
        self.keys.insert(key.id.clone(), key);
    }

    pub(super) fn forget_key(&mut self, id: &str) {
        self.keys.remove(id);
    }

    pub(super) fn put_mount_user(&mut self, uid: u32) {
        self.mount_users.insert(uid);
    }

    pub(super) fn forget_mount_user(&mut self, uid: u32) {
        self.mount_users.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessKey, SealedAccessKey, check_name};
    use crate::crypto::SecretKey;

    const ANNA: &str = "arn:aws:iam::111122223333:user/anna";

    #[test]
    fn an_access_key_has_the_shape_of_awss() {
        let key = AccessKey::generate(ANNA);
        assert_eq!((key.id.len(), &key.id[..4]), (20, "AKIA"));
        assert!(
            key.id
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        );
        assert_eq!(key.secret.expose().len(), 40);
        assert_ne!(
            key.secret.expose(),
            AccessKey::generate(ANNA).secret.expose()
        );
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_key_and_user_only() {
        let (root, key) = (SecretKey::generate(), AccessKey::generate(ANNA));
        let row = |id: &str, user: &str| SealedAccessKey {
            id: id.to_owned(),
            user_arn: user.to_owned(),
            active: true,
            created: key.created,
            sealed: key.seal(&root),
        };
        let opened = row(&key.id, ANNA).open(&root).ok().unwrap();
        assert_eq!(opened.secret.expose(), key.secret.expose());
        assert!(row("AKIAAAAAAAAAAAAAAAAA", ANNA).open(&root).is_err());
        let other = "arn:aws:iam::111122223333:user/adam";
        assert!(row(&key.id, other).open(&root).is_err());
        assert!(row(&key.id, ANNA).open(&SecretKey::generate()).is_err());
    }

    #[test]
    fn names_are_iams() {
        for good in ["a", "Anna.B_c+d=e,f@g-h", &"x".repeat(64)] {
            assert!(check_name("userName", good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(check_name("userName", bad).is_err(), "{bad}");
        }
    }
}
