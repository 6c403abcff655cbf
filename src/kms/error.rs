//! The errors of the key service, by the names of the AWS KMS API.

use thiserror::Error;

/// Why an operation of the key service was refused or failed.
///
/// Each variant but the last is an exception of the AWS KMS API
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html> and the `Errors` section
/// of each operation); [`KmsError::code`] gives its name on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KmsError {
    /// Neither the key policy nor an identity policy it delegates to allows the call, or one denies it.
    #[error("AccessDeniedException: {0}")]
    AccessDenied(String),
    /// An alias of that name exists.
    #[error("AlreadyExistsException: {0}")]
    AlreadyExists(String),
    /// The key is disabled.
    #[error("DisabledException: {0}")]
    Disabled(String),
    /// The call would have succeeded, had `DryRun` not been set.
    #[error("DryRunOperationException: {0}")]
    DryRun(String),
    /// The key named in the request is not the one that made the ciphertext.
    #[error("IncorrectKeyException: {0}")]
    IncorrectKey(String),
    /// An ARN is malformed.
    #[error("InvalidArnException: {0}")]
    InvalidArn(String),
    /// The ciphertext was altered, cut, or is presented under another encryption context. AWS says
    /// no more than that, so that the answer tells an attacker nothing.
    #[error(
        "InvalidCiphertextException: the ciphertext is damaged or its encryption context is not the \
         one it was made with"
    )]
    InvalidCiphertext,
    /// The key's usage does not fit the operation.
    #[error("InvalidKeyUsageException: {0}")]
    InvalidKeyUsage(String),
    /// The marker does not come from an earlier, truncated answer.
    #[error("InvalidMarkerException: {0}")]
    InvalidMarker(String),
    /// The service itself failed: its store or its audit log. Nothing was changed.
    #[error("KMSInternalException: {0}")]
    Internal(String),
    /// The key's state does not allow the operation.
    #[error("KMSInvalidStateException: {0}")]
    InvalidState(String),
    /// A quota is used up.
    #[error("LimitExceededException: {0}")]
    LimitExceeded(String),
    /// The policy document is refused, or would lock its author out.
    #[error("MalformedPolicyDocumentException: {0}")]
    MalformedPolicy(String),
    /// The name is reserved for AWS.
    #[error("NotAuthorizedException: {0}")]
    NotAuthorized(String),
    /// No such key, alias or policy.
    #[error("NotFoundException: {0}")]
    NotFound(String),
    /// The request is not JSON of the operation's shape.
    #[error("SerializationException: {0}")]
    Serialization(String),
    /// A tag is not valid.
    #[error("TagException: {0}")]
    Tag(String),
    /// The service does not know the operation.
    #[error("UnknownOperationException: {0}")]
    UnknownOperation(String),
    /// The operation is not supported for this key, or not by this service.
    #[error("UnsupportedOperationException: {0}")]
    Unsupported(String),
    /// A parameter is outside its limits.
    #[error("ValidationException: {0}")]
    Validation(String),
    /// The key service that owns the home did not answer within its time limit.
    #[error("{0}")]
    Unreachable(String),
}

impl KmsError {
    /// The exception's name on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AccessDenied(_) => "AccessDeniedException",
            Self::AlreadyExists(_) => "AlreadyExistsException",
            Self::Disabled(_) => "DisabledException",
            Self::DryRun(_) => "DryRunOperationException",
            Self::IncorrectKey(_) => "IncorrectKeyException",
            Self::InvalidArn(_) => "InvalidArnException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidKeyUsage(_) => "InvalidKeyUsageException",
            Self::InvalidMarker(_) => "InvalidMarkerException",
            Self::Internal(_) => "KMSInternalException",
            Self::InvalidState(_) => "KMSInvalidStateException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::MalformedPolicy(_) => "MalformedPolicyDocumentException",
            Self::NotAuthorized(_) => "NotAuthorizedException",
            Self::NotFound(_) => "NotFoundException",
            Self::Serialization(_) => "SerializationException",
            Self::Tag(_) => "TagException",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::Unsupported(_) => "UnsupportedOperationException",
            Self::Validation(_) => "ValidationException",
            Self::Unreachable(_) => "DependencyTimeoutException",
        }
    }

    /// The message on the wire; empty for [`KmsError::InvalidCiphertext`], as with AWS.
    pub fn message(&self) -> &str {
        match self {
            Self::InvalidCiphertext => "",
            Self::AccessDenied(message)
            | Self::AlreadyExists(message)
            | Self::Disabled(message)
            | Self::DryRun(message)
            | Self::IncorrectKey(message)
            | Self::InvalidArn(message)
            | Self::InvalidKeyUsage(message)
            | Self::InvalidMarker(message)
            | Self::Internal(message)
            | Self::InvalidState(message)
            | Self::LimitExceeded(message)
            | Self::MalformedPolicy(message)
            | Self::NotAuthorized(message)
            | Self::NotFound(message)
            | Self::Serialization(message)
            | Self::Tag(message)
            | Self::UnknownOperation(message)
            | Self::Unsupported(message)
            | Self::Validation(message)
            | Self::Unreachable(message) => message,
        }
    }

    /// The HTTP status the API answers with: 500 for the service's own failures, else 400.
    pub fn status(&self) -> u16 {
        match self {
            Self::Internal(_) => 500,
            Self::Unreachable(_) => 503,
            _ => 400,
        }
    }

    /// The error that `code` and `message` on the wire stand for; the inverse of [`Self::code`] and
    /// [`Self::message`].
    pub(super) fn from_wire(code: &str, message: String) -> Self {
        match code {
            "AccessDeniedException" => Self::AccessDenied(message),
            "AlreadyExistsException" => Self::AlreadyExists(message),
            "DisabledException" => Self::Disabled(message),
            "DryRunOperationException" => Self::DryRun(message),
            "IncorrectKeyException" => Self::IncorrectKey(message),
            "InvalidArnException" => Self::InvalidArn(message),
            "InvalidCiphertextException" => Self::InvalidCiphertext,
            "InvalidKeyUsageException" => Self::InvalidKeyUsage(message),
            "InvalidMarkerException" => Self::InvalidMarker(message),
            "KMSInternalException" => Self::Internal(message),
            "KMSInvalidStateException" => Self::InvalidState(message),
            "LimitExceededException" => Self::LimitExceeded(message),
            "MalformedPolicyDocumentException" => Self::MalformedPolicy(message),
            "NotAuthorizedException" => Self::NotAuthorized(message),
            "NotFoundException" => Self::NotFound(message),
            "SerializationException" => Self::Serialization(message),
            "TagException" => Self::Tag(message),
            "UnknownOperationException" => Self::UnknownOperation(message),
            "UnsupportedOperationException" => Self::Unsupported(message),
            "ValidationException" => Self::Validation(message),
            "DependencyTimeoutException" => Self::Unreachable(message),
            unknown => Self::Internal(format!("{unknown}: {message}")),
        }
    }

    /// One violated constraint, in the words AWS uses.
    pub(super) fn constraint(violation: &str) -> Self {
        Self::Validation(format!("1 validation error detected: {violation}"))
    }
}

#[cfg(test)]
mod tests {
    use super::KmsError;

    #[test]
    fn every_error_survives_the_wire() {
        let text = || String::from("what happened");
        let all = [
            KmsError::AccessDenied(text()),
            KmsError::AlreadyExists(text()),
            KmsError::Disabled(text()),
            KmsError::DryRun(text()),
            KmsError::IncorrectKey(text()),
            KmsError::InvalidArn(text()),
            KmsError::InvalidCiphertext,
            KmsError::InvalidKeyUsage(text()),
            KmsError::InvalidMarker(text()),
            KmsError::Internal(text()),
            KmsError::InvalidState(text()),
            KmsError::LimitExceeded(text()),
            KmsError::MalformedPolicy(text()),
            KmsError::NotAuthorized(text()),
            KmsError::NotFound(text()),
            KmsError::Serialization(text()),
            KmsError::Tag(text()),
            KmsError::UnknownOperation(text()),
            KmsError::Unsupported(text()),
            KmsError::Validation(text()),
            KmsError::Unreachable(text()),
        ];
        for error in all {
            assert_eq!(
                KmsError::from_wire(error.code(), error.message().to_owned()),
                error
            );
        }
    }

    #[test]
    fn an_error_of_a_newer_service_keeps_its_name() {
        let error = KmsError::from_wire("NovelException", "why".to_owned());
        assert_eq!(error, KmsError::Internal("NovelException: why".to_owned()));
    }
}
