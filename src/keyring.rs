//! Data keys in use: a bounded cache before the key service.
//!
//! A cached key serves the callers that the key service let have it, each for at most
//! [`DECISION_LIFETIME`] and only under the key service's epoch of that answer: a disabled key or a
//! changed key policy takes effect at the next open. For files that are open the key service is asked
//! again when its epoch changes ([`Keyring::review`]). A key service in another process is asked for
//! the keys of new files ahead of the files (`ahead`).

mod ahead;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use crate::crypto::SecretKey;
use crate::crypto::derive::FileKeys;
use crate::format::{FileId, Header, KeySlot, VolumeId, data_key_context};
use crate::kms::{
    Caller, CiphertextBlob, DecryptRequest, GenerateDataKeyRequest, KeyService, KmsError,
};
use crate::policy::Allowed;

use ahead::Ahead;

/// How long an answer of the key service about a caller is believed.
pub const DECISION_LIFETIME: Duration = Duration::from_secs(1);
/// How long a data key that no open file uses is kept.
const KEY_LIFETIME: Duration = Duration::from_mins(5);
/// How many are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Why a data key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The key service refused: by its policies, or because of the key's state.
    #[error("the key service refused: {0}")]
    Refused(KmsError),
    /// The wrapped key is not the one that the key service made for this file.
    #[error("the wrapped data key is not this file's: {0}")]
    NotThisFiles(KmsError),
    /// The key service cannot be asked, or failed.
    #[error("the key service did not answer: {0}")]
    Unavailable(KmsError),
    /// The key service answered with something other than a 256-bit key.
    #[error("the key service answered with a data key of another length")]
    WrongLength,
}

impl From<KmsError> for KeyringError {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::InvalidCiphertext | KmsError::IncorrectKey(_) | KmsError::InvalidArn(_) => {
                Self::NotThisFiles(error)
            }
            KmsError::Internal(_)
            | KmsError::KeyUnavailable(_)
            | KmsError::Throttling(_)
            | KmsError::Unreachable(_) => Self::Unavailable(error),
            _ => Self::Refused(error),
        }
    }
}

/// By what right somebody has a data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRight {
    /// It was made for them (`kms:GenerateDataKey`).
    Generate,
    /// It was unwrapped for them (`kms:Decrypt`).
    Decrypt,
}

/// The keys of one volume's files.
pub struct Keyring {
    service: Arc<dyn KeyService>,
    volume: VolumeId,
    /// What the key service knows this mount by.
    mount: String,
    cache: Mutex<LruCache<FileId, Entry>>,
    ahead: Ahead,
}

/// A new file's identity and keys.
pub struct NewFile {
    /// Its id, which its wrapped data key is bound to.
    pub id: FileId,
    /// Its keys.
    pub keys: Arc<FileKeys>,
    /// Its data key, wrapped.
    pub slot: KeySlot,
}

struct Entry {
    keys: Arc<FileKeys>,
    /// What the key was unwrapped from: another slot is another question.
    slot: KeySlot,
    used: Instant,
    epoch: u64,
    /// Who was let have it under `epoch`, by ARN, and when.
    callers: Vec<(String, Instant)>,
}

impl Keyring {
    /// A keyring for `volume`.
    pub fn new(service: Arc<dyn KeyService>, volume: VolumeId) -> Self {
        Self {
            ahead: Ahead::new(service.clone(), volume),
            service,
            volume,
            mount: uuid::Uuid::new_v4().to_string(),
            cache: Mutex::new(LruCache::new(CAPACITY)),
        }
    }

    /// Whether a call here may wait for another process.
    pub fn may_wait(&self) -> bool {
        self.service.may_wait()
    }

    /// How long the key service has not answered, if it does not.
    pub fn silent_for(&self) -> Option<Duration> {
        self.service.silent_for()
    }

    /// The key service's epoch, and word to it that every change up to `enforced` is acted on here;
    /// with `None`, that this mount ends.
    ///
    /// # Errors
    /// [`KeyringError::Unavailable`].
    pub fn follow(&self, enforced: Option<u64>) -> Result<u64, KeyringError> {
        Ok(self.service.follow(&self.mount, enforced)?)
    }

    /// Whether `caller` might still be given the data key of the file of `header`, which is open:
    /// by a dry run, so no key comes of it. Whoever was let generate it need not be let decrypt it.
    ///
    /// # Errors
    /// [`KeyringError::Refused`] when not; others when that cannot be told.
    pub fn review(
        &self,
        caller: &Caller,
        header: &Header,
        right: KeyRight,
    ) -> Result<(), KeyringError> {
        let caller = caller.in_region_of(&header.key.key_arn);
        if right == KeyRight::Generate {
            let request = GenerateDataKeyRequest {
                dry_run: Some(true),
                ..self.generation(header)
            };
            match might(self.service.generate_data_key(&caller, &request)) {
                Err(KeyringError::Refused(_)) => {}
                other => return other,
            }
        }
        let request = DecryptRequest {
            dry_run: Some(true),
            ..self.decryption(header)
        };
        might(self.service.decrypt(&caller, &request))
    }

    /// A new file's id and keys, under the KMS key `key_arn` and the label `label`. `_allowed` is the
    /// file plane's decision; the key service makes the key plane's.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn generate(
        &self,
        _allowed: &Allowed,
        caller: &Caller,
        key_arn: &str,
        label: Option<&str>,
    ) -> Result<NewFile, KeyringError> {
        let epoch = self.service.epoch()?;
        let ready = if self.may_wait() {
            self.ahead.take(caller, key_arn, label, epoch)
        } else {
            None
        };
        let new = match ready {
            Some(new) => new,
            None => NewFile::ask_for(&*self.service, &self.volume, caller, key_arn, label)?,
        };
        let entry = Entry {
            keys: new.keys.clone(),
            slot: new.slot.clone(),
            used: Instant::now(),
            epoch,
            // Who may generate a key may not yet decrypt with it: nobody has been let in.
            callers: Vec::new(),
        };
        self.cache.lock().put(new.id, entry);
        Ok(new)
    }

    /// The keys of the file that `header` says it is. Nothing in `header` needs to be authentic: a
    /// wrong field makes the key service refuse, or the header fail under the key.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn unwrap(
        &self,
        _allowed: &Allowed,
        caller: &Caller,
        header: &Header,
    ) -> Result<Arc<FileKeys>, KeyringError> {
        // Asked first: a change after this makes the answer outdated, never the reverse.
        let epoch = self.service.epoch()?;
        let now = Instant::now();
        if let Some(keys) = self.cached(caller, header, epoch, now) {
            return Ok(keys);
        }
        let key = self.decrypt(caller, header)?;
        let mut cache = self.cache.lock();
        let arn = caller.principal.arn.clone();
        if let Some(entry) = cache
            .get_mut(&header.file)
            .filter(|entry| entry.slot == header.key)
        {
            if entry.epoch != epoch {
                entry.callers.clear();
            }
            entry.epoch = epoch;
            entry.used = now;
            entry.callers.retain(|(other, since)| {
                *other != arn && now.duration_since(*since) < DECISION_LIFETIME
            });
            entry.callers.push((arn, now));
            return Ok(entry.keys.clone());
        }
        let keys = Arc::new(FileKeys::new(&key));
        let slot = header.key.clone();
        let callers = vec![(arn, now)];
        cache.put(
            header.file,
            Entry {
                keys: keys.clone(),
                slot,
                used: now,
                epoch,
                callers,
            },
        );
        Ok(keys)
    }

    /// The keys of a file for the volume's upkeep, settling and checking, which opens it for nobody:
    /// in the name of `keeper`, who mounts or checks.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn unwrap_for_upkeep(
        &self,
        keeper: &Caller,
        header: &Header,
    ) -> Result<Arc<FileKeys>, KeyringError> {
        Ok(Arc::new(FileKeys::new(&self.decrypt(keeper, header)?)))
    }

    fn decrypt(&self, caller: &Caller, header: &Header) -> Result<SecretKey, KeyringError> {
        let caller = caller.in_region_of(&header.key.key_arn);
        let answer = self.service.decrypt(&caller, &self.decryption(header))?;
        answer.plaintext.into_key().ok_or(KeyringError::WrongLength)
    }

    fn generation(&self, header: &Header) -> GenerateDataKeyRequest {
        let label = header.label.as_deref();
        generation(&self.volume, &header.file, label, &header.key.key_arn)
    }

    fn decryption(&self, header: &Header) -> DecryptRequest {
        DecryptRequest {
            ciphertext_blob: CiphertextBlob(header.key.wrapped.clone()),
            encryption_context: data_key_context(
                &self.volume,
                &header.file,
                header.label.as_deref(),
            ),
            key_id: Some(header.key.key_arn.clone()),
            ..Default::default()
        }
    }

    /// Wipes all keys that no open file uses: after a change nobody is given one unasked.
    pub fn clear(&self) {
        self.ahead.clear();
        self.cache.lock().clear();
    }

    /// Drops the keys that were not used for a while; to be called from time to time.
    pub fn expire(&self) {
        self.ahead.expire();
        let mut cache = self.cache.lock();
        while cache
            .peek_lru()
            .is_some_and(|(_, entry)| entry.used.elapsed() > KEY_LIFETIME)
        {
            cache.pop_lru();
        }
    }

    fn cached(
        &self,
        caller: &Caller,
        header: &Header,
        epoch: u64,
        now: Instant,
    ) -> Option<Arc<FileKeys>> {
        let mut cache = self.cache.lock();
        let entry = cache.get_mut(&header.file)?;
        let admitted = entry.epoch == epoch
            && entry.slot == header.key
            && entry.callers.iter().any(|(arn, since)| {
                *arn == caller.principal.arn && now.duration_since(*since) < DECISION_LIFETIME
            });
        admitted.then(|| {
            entry.used = now;
            entry.keys.clone()
        })
    }
}

impl NewFile {
    /// Has the key service make a data key for a file that is yet to be.
    fn ask_for(
        service: &dyn KeyService,
        volume: &VolumeId,
        caller: &Caller,
        key_arn: &str,
        label: Option<&str>,
    ) -> Result<Self, KeyringError> {
        let id = FileId::generate();
        let request = generation(volume, &id, label, key_arn);
        let answer = service.generate_data_key(&caller.in_region_of(key_arn), &request)?;
        let key = answer
            .plaintext
            .into_key()
            .ok_or(KeyringError::WrongLength)?;
        Ok(Self {
            id,
            keys: Arc::new(FileKeys::new(&key)),
            slot: KeySlot {
                key_arn: answer.key_id,
                wrapped: answer.ciphertext_blob.0,
            },
        })
    }
}

fn generation(
    volume: &VolumeId,
    file: &FileId,
    label: Option<&str>,
    key_arn: &str,
) -> GenerateDataKeyRequest {
    GenerateDataKeyRequest {
        key_id: key_arn.to_owned(),
        encryption_context: data_key_context(volume, file, label),
        number_of_bytes: Some(32),
        ..Default::default()
    }
}

/// What came of a dry run.
fn might<T>(answer: Result<T, KmsError>) -> Result<(), KeyringError> {
    match answer {
        Ok(_) | Err(KmsError::DryRun(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
