//! Unsealing a home: from a passphrase or key file to the root key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    HomeError,
    envelope::{self, Purpose},
};
use crate::crypto::{SecretKey, random};

/// What opens a home.
pub enum Unlock {
    /// A passphrase; Argon2id makes a key of it.
    Passphrase(Passphrase),
    /// A file of at least 32 bytes that nobody can guess.
    KeyFile(PathBuf),
}

/// A passphrase, wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// Takes `text` over.
    ///
    /// # Errors
    /// [`HomeError::EmptyPassphrase`].
    pub fn new(text: String) -> Result<Self, HomeError> {
        if text.is_empty() {
            return Err(HomeError::EmptyPassphrase);
        }
        Ok(Self(text.into_bytes()))
    }

    /// Reads the first line of a file; the rest is ignored.
    ///
    /// # Errors
    /// [`HomeError::EmptyPassphrase`], or [`HomeError::Io`] when the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, HomeError> {
        let mut text = fs::read(path).map_err(HomeError::io("read the passphrase file", path))?;
        let mut end = text.iter().position(|&b| b == b'\n').unwrap_or(text.len());
        if end > 0 && text[end - 1] == b'\r' {
            end -= 1;
        }
        let line = text[..end].to_vec();
        text.zeroize();
        if line.is_empty() {
            return Err(HomeError::EmptyPassphrase);
        }
        Ok(Self(line))
    }
}

/// The cost of guessing a passphrase: Argon2id's parameters (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseCost {
    /// KiB.
    pub memory: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PassphraseCost {
    /// RFC 9106's second recommendation, with one lane for lack of threads: 64 MiB, 3 passes.
    fn default() -> Self {
        Self {
            memory: 64 * 1024,
            passes: 3,
            lanes: 1,
        }
    }
}

impl PassphraseCost {
    /// More than this a damaged or hostile `home.json` may not ask of us: 4 GiB.
    const MAX_MEMORY: u32 = 4 * 1024 * 1024;

    fn params(self) -> Option<Params> {
        if self.memory > Self::MAX_MEMORY || self.passes > 1000 {
            return None;
        }
        Params::new(self.memory, self.passes, self.lanes, Some(SecretKey::LEN)).ok()
    }
}

/// How `home.json` keeps the root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub(super) enum Seal {
    Passphrase {
        #[serde(rename = "argon2id")]
        cost: PassphraseCost,
        salt: Bytes,
        sealed_root_key: Bytes,
    },
    KeyFile {
        sealed_root_key: Bytes,
    },
}

/// Bytes that are base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        STANDARD.encode(bytes.0)
    }
}

impl Seal {
    /// Seals `root`, bound to `associated`.
    pub(super) fn create(
        root: &SecretKey,
        unlock: &Unlock,
        cost: PassphraseCost,
        associated: &[u8],
    ) -> Result<Self, HomeError> {
        let mut sealed = Vec::new();
        let mut close = |key: &SecretKey| {
            envelope::seal(
                key,
                Purpose::ROOT_KEY,
                associated,
                root.expose(),
                &mut sealed,
            );
        };
        match unlock {
            Unlock::Passphrase(passphrase) => {
                let mut salt = vec![0; 16];
                random::fill(&mut salt);
                let key = stretch(passphrase, &salt, cost).ok_or(HomeError::PassphraseCost)?;
                close(&key);
                Ok(Self::Passphrase {
                    cost,
                    salt: Bytes(salt),
                    sealed_root_key: Bytes(sealed),
                })
            }
            Unlock::KeyFile(path) => {
                close(&key_from_file(path)?);
                Ok(Self::KeyFile {
                    sealed_root_key: Bytes(sealed),
                })
            }
        }
    }

    /// What guessing the passphrase costs; the default where there is none.
    pub(super) fn cost(&self) -> PassphraseCost {
        match self {
            Self::Passphrase { cost, .. } => *cost,
            Self::KeyFile { .. } => PassphraseCost::default(),
        }
    }

    /// The root key of the home at `home`.
    pub(super) fn open(
        &self,
        unlock: &Unlock,
        associated: &[u8],
        home: &Path,
    ) -> Result<SecretKey, HomeError> {
        let (key, sealed, wrong) = match (self, unlock) {
            (
                Self::Passphrase {
                    cost,
                    salt,
                    sealed_root_key,
                },
                Unlock::Passphrase(passphrase),
            ) => {
                let key = stretch(passphrase, &salt.0, *cost).ok_or_else(|| {
                    HomeError::corrupt(&home.join("home.json"), "its Argon2id cost is absurd")
                })?;
                let wrong = HomeError::WrongPassphrase {
                    home: home.to_owned(),
                };
                (key, sealed_root_key, wrong)
            }
            (Self::KeyFile { sealed_root_key }, Unlock::KeyFile(path)) => {
                let wrong = HomeError::WrongKeyFile {
                    home: home.to_owned(),
                    key_file: path.clone(),
                };
                (key_from_file(path)?, sealed_root_key, wrong)
            }
            (Self::Passphrase { .. }, Unlock::KeyFile(_)) => {
                return Err(HomeError::OtherSeal {
                    home: home.to_owned(),
                    needs: "a passphrase (--passfile FILE), not a key file",
                });
            }
            (Self::KeyFile { .. }, Unlock::Passphrase(_)) => {
                return Err(HomeError::OtherSeal {
                    home: home.to_owned(),
                    needs: "a key file (--keyfile FILE), not a passphrase",
                });
            }
        };
        let root = envelope::open(&key, Purpose::ROOT_KEY, associated, &sealed.0);
        root.ok()
            .and_then(|mut bytes| SecretKey::take_from(&mut bytes))
            .ok_or(wrong)
    }
}

/// `None` when the cost is outside what Argon2 accepts.
fn stretch(passphrase: &Passphrase, salt: &[u8], cost: PassphraseCost) -> Option<SecretKey> {
    let mut key = Zeroizing::new([0; SecretKey::LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?)
        .hash_password_into(&passphrase.0, salt, &mut key[..])
        .ok()?;
    SecretKey::take_from(&mut key[..])
}

fn key_from_file(path: &Path) -> Result<SecretKey, HomeError> {
    let content = Zeroizing::new(fs::read(path).map_err(HomeError::io("read the key file", path))?);
    if content.len() < SecretKey::LEN {
        return Err(HomeError::ShortKeyFile {
            key_file: path.to_owned(),
            found: content.len(),
        });
    }
    let mut key = Zeroizing::new([0; SecretKey::LEN]);
    Hkdf::<Sha256>::new(None, &content)
        .expand(b"kmsfs v1 home key file", &mut key[..])
        .expect("32 bytes are within what SHA-256 expands to");
    Ok(SecretKey::take_from(&mut key[..]).expect("the buffer has a key's length"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Passphrase, PassphraseCost, Seal, Unlock};
    use crate::{crypto::SecretKey, kms::HomeError};

    const CHEAP: PassphraseCost = PassphraseCost {
        memory: 8,
        passes: 1,
        lanes: 1,
    };

    fn passphrase(text: &str) -> Unlock {
        Unlock::Passphrase(Passphrase::new(text.to_owned()).ok().unwrap())
    }

    fn open(seal: &Seal, unlock: &Unlock, associated: &[u8]) -> Result<SecretKey, HomeError> {
        seal.open(unlock, associated, Path::new("/home"))
    }

    #[test]
    fn the_right_passphrase_opens_and_a_wrong_one_is_told_so() {
        let root = SecretKey::generate();
        let seal = Seal::create(&root, &passphrase("correct"), CHEAP, b"home").unwrap();
        let opened = open(&seal, &passphrase("correct"), b"home").ok().unwrap();
        assert_eq!(opened.expose(), root.expose());
        let wrong = open(&seal, &passphrase("Correct"), b"home").err().unwrap();
        assert!(matches!(wrong, HomeError::WrongPassphrase { .. }));
        let moved = open(&seal, &passphrase("correct"), b"elsewhere")
            .err()
            .unwrap();
        assert!(matches!(moved, HomeError::WrongPassphrase { .. }));
    }

    #[test]
    fn a_key_file_opens_and_another_or_a_short_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            Unlock::KeyFile(path)
        };
        let (right, wrong) = (file("right", &[1; 64]), file("wrong", &[2; 64]));
        let root = SecretKey::generate();
        let seal = Seal::create(&root, &right, CHEAP, b"").unwrap();
        assert_eq!(
            open(&seal, &right, b"").ok().unwrap().expose(),
            root.expose()
        );
        let refused = open(&seal, &wrong, b"").err().unwrap();
        assert!(matches!(refused, HomeError::WrongKeyFile { .. }));
        let short = open(&seal, &file("short", &[1; 31]), b"").err().unwrap();
        assert!(matches!(short, HomeError::ShortKeyFile { found: 31, .. }));
        let other = open(&seal, &passphrase("x"), b"").err().unwrap();
        assert!(matches!(other, HomeError::OtherSeal { .. }));
    }

    #[test]
    fn a_cost_that_would_exhaust_memory_is_refused() {
        let root = SecretKey::generate();
        let mut seal = Seal::create(&root, &passphrase("p"), CHEAP, b"").unwrap();
        if let Seal::Passphrase { cost, .. } = &mut seal {
            cost.memory = u32::MAX;
        }
        let refused = open(&seal, &passphrase("p"), b"").err().unwrap();
        assert!(matches!(refused, HomeError::Corrupt { .. }));
    }

    #[test]
    fn a_passphrase_file_is_its_first_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        for content in ["secret", "secret\n", "secret\r\n", "secret\nmore\n"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Passphrase::from_file(&path).ok().unwrap().0, b"secret");
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            Passphrase::from_file(&path),
            Err(HomeError::EmptyPassphrase)
        ));
    }
}
