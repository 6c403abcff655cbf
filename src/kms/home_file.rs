//! `home.json`: what a home is, and its sealed root key.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    HomeError,
    name::{Place, Region},
    seal::{Bytes, PassphraseCost, Seal, Unlock},
};
use crate::crypto::SecretKey;

/// The format this version writes, and the newest it reads.
const FORMAT: u64 = 1;

/// The content of `home.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HomeFile {
    format: u64,
    account: String,
    region: String,
    /// Whether a command named the account, which then stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    account_named: bool,
    /// Ed25519; verifies the audit log's checkpoints and heads.
    signing_public_key: Bytes,
    seal: Seal,
}

/// Only the format, which every later version will have too.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl HomeFile {
    /// A new home with a fresh root key.
    pub(super) fn create(
        place: &Place,
        unlock: &Unlock,
        cost: PassphraseCost,
    ) -> Result<(Self, SecretKey), HomeError> {
        let root = SecretKey::generate();
        let public = signing_key(&root).public_key().as_ref().to_vec();
        let associated = associated_data(FORMAT, &place.account, place.region.as_str(), &public);
        let file = Self {
            format: FORMAT,
            account: place.account.clone(),
            region: place.region.to_string(),
            account_named: false,
            signing_public_key: Bytes(public),
            seal: Seal::create(&root, unlock, cost, &associated)?,
        };
        Ok((file, root))
    }

    /// Reads the file at `path`. A format newer than this version knows is refused before anything
    /// else is looked at.
    pub(super) fn read(path: &Path) -> Result<Self, HomeError> {
        let text = fs::read(path).map_err(HomeError::io("read", path))?;
        let corrupt = |error: serde_json::Error| HomeError::corrupt(path, &error.to_string());
        let Format { format: found } = serde_json::from_slice(&text).map_err(corrupt)?;
        if found > FORMAT {
            let path = path.to_owned();
            return Err(HomeError::NewerFormat {
                path,
                found,
                supported: FORMAT,
            });
        }
        let file: Self = serde_json::from_slice(&text).map_err(corrupt)?;
        file.check(path)?;
        Ok(file)
    }

    /// Checks what its shape does not say. `path` is for messages.
    pub(super) fn check(&self, path: &Path) -> Result<(), HomeError> {
        if let Err(error) = Region::known(&self.region) {
            return Err(HomeError::corrupt(path, &error.to_string()));
        }
        if self.signing_public_key.0.len() != 32 {
            return Err(HomeError::corrupt(path, "its signing key is not 32 bytes"));
        }
        Ok(())
    }

    /// Writes the file so that it is there whole or not at all, also after a power loss.
    pub(super) fn write(&self, path: &Path) -> Result<(), HomeError> {
        let mut text = serde_json::to_vec_pretty(self).expect("plain text and numbers");
        text.push(b'\n');
        let temporary = path.with_extension("json.tmp");
        let write = || -> io::Result<()> {
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(path.parent().expect("a file in the home"))?.sync_all()
        };
        write().map_err(HomeError::io("write", path))
    }

    pub(super) fn unseal(&self, unlock: &Unlock, home: &Path) -> Result<SecretKey, HomeError> {
        let public = &self.signing_public_key.0;
        let associated = associated_data(self.format, &self.account, &self.region, public);
        self.seal.open(unlock, &associated, home)
    }

    pub(super) fn account_is_named(&self) -> bool {
        self.account_named
    }

    /// The same home, with its account named from now on.
    pub(super) fn with_account_named(mut self) -> Self {
        self.account_named = true;
        self
    }

    /// The same home in another account: what the root key is sealed to names the account.
    pub(super) fn in_account(
        mut self,
        account: &str,
        root: &SecretKey,
        unlock: &Unlock,
    ) -> Result<Self, HomeError> {
        account.clone_into(&mut self.account);
        let public = &self.signing_public_key.0;
        let associated = associated_data(self.format, account, &self.region, public);
        self.seal = Seal::create(root, unlock, self.seal.cost(), &associated)?;
        Ok(self.with_account_named())
    }

    /// Whether `root` is this home's root key.
    pub(super) fn has_root(&self, root: &SecretKey) -> bool {
        signing_key(root).public_key().as_ref() == self.signing_public_key.0
    }

    /// The account and Region; the file's own are checked when it is read.
    pub(super) fn place(&self) -> Place {
        Place {
            account: self.account.clone(),
            region: Region::known(&self.region).expect("checked when read and when made"),
        }
    }

    pub(super) fn signing_public_key(&self) -> [u8; 32] {
        self.signing_public_key.0[..]
            .try_into()
            .expect("checked when read and when made")
    }
}

/// The Ed25519 key that signs audit checkpoints. It follows from the root key, so it needs no place
/// of its own and is sealed with it.
pub(super) fn signing_key(root: &SecretKey) -> Ed25519KeyPair {
    let mut seed = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, root.expose())
        .expand(b"kmsfs v1 audit signing key", &mut seed[..])
        .expect("32 bytes are within what SHA-256 expands to");
    Ed25519KeyPair::from_seed_unchecked(&seed[..]).expect("any 32 bytes are a seed")
}

/// What the sealed root key is bound to, each text with its length: whoever can write `home.json`
/// cannot put another account, Region or signing key into it and have it open.
fn associated_data(format: u64, account: &str, region: &str, public: &[u8]) -> Vec<u8> {
    let mut data = format.to_be_bytes().to_vec();
    for part in [account.as_bytes(), region.as_bytes(), public] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}
