//! Making a volume.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::RenameFlags;

use crate::crypto::derive::VolumeKeys;
use crate::format::{
    CONTROL_DIRECTORY, DIRECTORY_RECORD, DirectoryId, DirectoryRecord, VolumeConfig, VolumeId,
    volume_key_context,
};
use crate::kms::{self, GenerateDataKeyRequest, KeyService, KmsError};
use crate::sys;

use super::VolumeError;
use super::volume::{CONFIG, LINKS, write_new};

/// A volume about to be made.
#[derive(Debug)]
pub struct NewVolume<'a> {
    /// Its backing directory: empty, or not there yet.
    pub backing: &'a Path,
    /// The KMS key for its volume key and its files' data keys.
    pub key_arn: &'a str,
}

impl NewVolume<'_> {
    /// Makes the volume, durable when this returns. `before` does what must be there when the volume
    /// is.
    ///
    /// # Errors
    /// [`VolumeError`]; what was made until then is removed again.
    pub fn create(
        &self,
        keys: &dyn KeyService,
        caller: &kms::Caller,
        before: impl FnOnce(&VolumeId) -> io::Result<()>,
    ) -> Result<VolumeId, VolumeError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| VolumeError::Io { path, source }
        };
        self.check()?;
        let existed = self.backing.exists();
        let volume = VolumeId::generate();
        let request = GenerateDataKeyRequest {
            key_id: self.key_arn.to_owned(),
            encryption_context: volume_key_context(&volume),
            number_of_bytes: Some(32),
            ..Default::default()
        };
        let refused = |source| VolumeError::Key {
            path: self.backing.to_owned(),
            source,
        };
        let answer = keys
            .generate_data_key(&caller.in_region_of(self.key_arn), &request)
            .map_err(refused)?;
        let wrong_length = || KmsError::Internal("the volume key has not 32 bytes".into());
        let key = answer
            .plaintext
            .into_key()
            .ok_or_else(|| refused(wrong_length()))?;
        let config = VolumeConfig {
            volume,
            key_arn: answer.key_id,
            wrapped_volume_key: answer.ciphertext_blob.0,
            boundaries: false,
        };
        let volume_keys = VolumeKeys::new(&key);

        std::fs::create_dir_all(self.backing).map_err(at(self.backing))?;
        let control = self.backing.join(CONTROL_DIRECTORY);
        let made = (|| {
            let root = sys::open_directory_path(self.backing)?;
            let record = DirectoryRecord::new(DirectoryId::generate());
            let record = record.seal(&volume_keys.directories, None);
            write_new(&root, DIRECTORY_RECORD, &record)?;
            sys::make_directory(&root, CONTROL_DIRECTORY, 0o700)?;
            let control = sys::open_directory_path(&control)?;
            sys::make_directory(&control, LINKS, 0o700)?;
            // The configuration is what makes it a volume: last, and whole.
            let temporary = format!("{CONFIG}.new");
            write_new(
                &control,
                &temporary,
                config.encode(&volume_keys.config).as_bytes(),
            )?;
            before(&volume)?;
            sys::rename(
                control.as_fd(),
                &temporary,
                control.as_fd(),
                CONFIG,
                RenameFlags::NOREPLACE,
            )?;
            sys::sync_directory(&control)?;
            sys::sync_directory(&root)
        })();
        made.map_err(|source| {
            let _ = std::fs::remove_dir_all(&control);
            let _ = std::fs::remove_file(self.backing.join(DIRECTORY_RECORD));
            if !existed {
                let _ = std::fs::remove_dir(self.backing);
            }
            at(self.backing)(source)
        })?;
        Ok(volume)
    }

    /// Whether a volume can be made here.
    ///
    /// # Errors
    /// [`VolumeError::Exists`], [`VolumeError::NotEmpty`].
    pub fn check(&self) -> Result<(), VolumeError> {
        if !self.backing.exists() {
            return Ok(());
        }
        let io = |source| VolumeError::Io {
            path: self.backing.to_owned(),
            source,
        };
        if self.backing.join(CONTROL_DIRECTORY).join(CONFIG).exists() {
            return Err(VolumeError::Exists(self.backing.to_owned()));
        }
        match std::fs::read_dir(self.backing).map_err(io)?.next() {
            None => Ok(()),
            Some(_) => Err(VolumeError::NotEmpty(self.backing.to_owned())),
        }
    }
}
