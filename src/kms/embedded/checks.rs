//! Checks that many operations begin or end with.

use crate::kms::{KmsError, api::RecipientInfo};

/// The longest plaintext or message.
pub(super) const MAX_MESSAGE: usize = 4096;
/// The longest ciphertext, signature, code or token that a client may present.
pub(super) const MAX_BLOB: usize = 6144;

/// Whether the member `member` has 1 to `most` bytes.
pub(super) fn check_length(member: &str, length: usize, most: usize) -> Result<(), KmsError> {
    let bound = match length {
        0 => "greater than or equal to 1".to_owned(),
        length if length > most => format!("less than or equal to {most}"),
        _ => return Ok(()),
    };
    Err(KmsError::constraint(&format!(
        "Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
    )))
}

/// Ends a dry run, once all else has been checked.
pub(super) fn check_dry_run(dry_run: Option<bool>) -> Result<(), KmsError> {
    match dry_run {
        Some(true) => Err(KmsError::DryRun(
            "The request would have succeeded, but the DryRun option is set.".to_owned(),
        )),
        Some(false) | None => Ok(()),
    }
}

/// Refuses answers to enclaves, which would have to be encrypted for them.
pub(super) fn check_recipient(recipient: Option<&RecipientInfo>) -> Result<(), KmsError> {
    match recipient {
        Some(_) => Err(KmsError::Unsupported(
            "Recipient is not supported: kmsfs does not verify attestation documents.".to_owned(),
        )),
        None => Ok(()),
    }
}
