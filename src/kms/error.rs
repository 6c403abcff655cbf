//! The errors of the key service, by the names of the AWS KMS API.

use thiserror::Error;

use super::api::KeySpec;

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
    /// Another change of the key is under way.
    #[error("ConflictException: {0}")]
    Conflict(String),
    /// The import token is older than 24 hours.
    #[error("ExpiredImportTokenException: {0}")]
    ExpiredImportToken(String),
    /// The material to import is not what the key needs.
    #[error("IncorrectKeyMaterialException: {0}")]
    IncorrectKeyMaterial(String),
    /// The alias name is not valid.
    #[error("InvalidAliasNameException: {0}")]
    InvalidAliasName(String),
    /// No such grant.
    #[error("InvalidGrantIdException: {0}")]
    InvalidGrantId(String),
    /// The grant token is not valid.
    #[error("InvalidGrantTokenException: {0}")]
    InvalidGrantToken(String),
    /// The import token is not valid, or for another key.
    #[error("InvalidImportTokenException: {0}")]
    InvalidImportToken(String),
    /// The message authentication code does not verify.
    #[error("KMSInvalidMacException: {0}")]
    InvalidMac(String),
    /// The signature does not verify.
    #[error("KMSInvalidSignatureException: {0}")]
    InvalidSignature(String),
    /// The key cannot be reached at the moment.
    #[error("KeyUnavailableException: {0}")]
    KeyUnavailable(String),
    /// Too many requests at once; ask again later.
    #[error("ThrottlingException: {0}")]
    Throttling(String),
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
            Self::Conflict(_) => "ConflictException",
            Self::ExpiredImportToken(_) => "ExpiredImportTokenException",
            Self::IncorrectKeyMaterial(_) => "IncorrectKeyMaterialException",
            Self::InvalidAliasName(_) => "InvalidAliasNameException",
            Self::InvalidGrantId(_) => "InvalidGrantIdException",
            Self::InvalidGrantToken(_) => "InvalidGrantTokenException",
            Self::InvalidImportToken(_) => "InvalidImportTokenException",
            Self::InvalidMac(_) => "KMSInvalidMacException",
            Self::InvalidSignature(_) => "KMSInvalidSignatureException",
            Self::KeyUnavailable(_) => "KeyUnavailableException",
            Self::Throttling(_) => "ThrottlingException",
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
            | Self::Conflict(message)
            | Self::ExpiredImportToken(message)
            | Self::IncorrectKeyMaterial(message)
            | Self::InvalidAliasName(message)
            | Self::InvalidGrantId(message)
            | Self::InvalidGrantToken(message)
            | Self::InvalidImportToken(message)
            | Self::InvalidMac(message)
            | Self::InvalidSignature(message)
            | Self::KeyUnavailable(message)
            | Self::Throttling(message)
            | Self::Unreachable(message) => message,
        }
    }

    /// The HTTP status the API answers with: 500 for the service's own failures, else 400.
    pub fn status(&self) -> u16 {
        match self {
            Self::Internal(_) | Self::KeyUnavailable(_) => 500,
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
            "ConflictException" => Self::Conflict(message),
            "ExpiredImportTokenException" => Self::ExpiredImportToken(message),
            "IncorrectKeyMaterialException" => Self::IncorrectKeyMaterial(message),
            "InvalidAliasNameException" => Self::InvalidAliasName(message),
            "InvalidGrantIdException" => Self::InvalidGrantId(message),
            "InvalidGrantTokenException" => Self::InvalidGrantToken(message),
            "InvalidImportTokenException" => Self::InvalidImportToken(message),
            "KMSInvalidMacException" => Self::InvalidMac(message),
            "KMSInvalidSignatureException" => Self::InvalidSignature(message),
            "KeyUnavailableException" => Self::KeyUnavailable(message),
            "ThrottlingException" => Self::Throttling(message),
            "DependencyTimeoutException" => Self::Unreachable(message),
            unknown => Self::Internal(format!("{unknown}: {message}")),
        }
    }

    /// An algorithm that a key of this kind does not have.
    pub(super) fn incompatible(algorithm: impl std::fmt::Display, spec: KeySpec) -> Self {
        Self::InvalidKeyUsage(format!(
            "Algorithm {algorithm} is incompatible with key spec {spec}."
        ))
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
            KmsError::Conflict(text()),
            KmsError::ExpiredImportToken(text()),
            KmsError::IncorrectKeyMaterial(text()),
            KmsError::InvalidAliasName(text()),
            KmsError::InvalidGrantId(text()),
            KmsError::InvalidGrantToken(text()),
            KmsError::InvalidImportToken(text()),
            KmsError::InvalidMac(text()),
            KmsError::InvalidSignature(text()),
            KmsError::KeyUnavailable(text()),
            KmsError::Throttling(text()),
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
