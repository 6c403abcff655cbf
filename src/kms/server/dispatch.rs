//! From an operation's name to the code that answers it.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{
    Shared,
    admission::{Admitted, Rights},
    respond::{Refusal, ResponseBody, write},
};
use crate::kms::{
    Caller, KeyService, KmsError,
    administration::{self, Administration, Administrator, with_administration},
    api::{self, Empty, names::VIOLATION},
    embedded::Embedded,
    service::with_operations,
    wire::{
        AWS, AttachedRequest, AuditAnchorRequest, AuditAnchorResponse, EpochRequest, EpochResponse,
        OURS, UnsealRequest,
    },
};

/// What a request asks for, by its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// An operation of the AWS API.
    Aws(&'static str),
    /// One that mounts need.
    Epoch,
    AuditAnchor,
    Attached,
    /// Administration of the home.
    Administration(&'static str),
    Unseal,
}

impl Operation {
    /// The operation that the header names; what it says instead, if that is none.
    pub(super) fn named(target: &str) -> Result<Self, &str> {
        if let Some(name) = target.strip_prefix(AWS) {
            return aws_named(name).map(Self::Aws).ok_or(target);
        }
        match target.strip_prefix(OURS) {
            Some("Epoch") => Ok(Self::Epoch),
            Some("AuditAnchor") => Ok(Self::AuditAnchor),
            Some("Attached") => Ok(Self::Attached),
            Some("Unseal") => Ok(Self::Unseal),
            Some(name) => administration::named(name)
                .map(Self::Administration)
                .ok_or(target),
            None => Err(target),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aws(name) | Self::Administration(name) => name,
            Self::Epoch => "Epoch",
            Self::AuditAnchor => "AuditAnchor",
            Self::Attached => "Attached",
            Self::Unseal => "Unseal",
        }
    }
}

impl Shared {
    /// Does what is asked. It may take its time.
    pub(super) fn perform(
        &self,
        operation: Operation,
        admitted: &Admitted,
        body: &[u8],
    ) -> Result<ResponseBody, Refusal> {
        let name = operation.name();
        if operation == Operation::Unseal {
            let administrator = admitted.administrator(name)?;
            let UnsealRequest { root_key } = read(body)?;
            self.unseal(&administrator, root_key)?;
            return Ok(write(&Empty {}));
        }
        let Some(service) = self.service.get() else {
            if name == "ServiceStatus" {
                admitted.administrator(name)?;
                return Ok(write(&self.home.sealed_status()));
            }
            return Err(Refusal::sealed());
        };
        match operation {
            Operation::Aws(name) => Ok(aws(service, name, &admitted.caller, body)?),
            Operation::Epoch => Ok(epoch(service, admitted, body)?),
            Operation::AuditAnchor if admitted.rights >= Rights::Owner => {
                let AuditAnchorRequest { head } = read(body)?;
                let anchored = service.audit_anchor(&head.log, head.seq, &head.hash)?;
                let (signature, other) = (anchored.signature, anchored.other);
                Ok(write(&AuditAnchorResponse { signature, other }))
            }
            Operation::AuditAnchor => Err(KmsError::AccessDenied(
                "only root and the home's owner have audit logs anchored".to_owned(),
            )
            .into()),
            Operation::Attached if admitted.rights >= Rights::Owner => {
                let AttachedRequest { since } = read(body)?;
                Ok(write(&service.attached(since)))
            }
            Operation::Attached => Err(KmsError::AccessDenied(
                "only root and the home's owner are told identity policies".to_owned(),
            )
            .into()),
            Operation::Administration(name) => {
                let administrator = admitted.administrator(name)?;
                Ok(administer(
                    service,
                    name,
                    &administrator,
                    &admitted.caller,
                    body,
                )?)
            }
            Operation::Unseal => unreachable!("answered above"),
        }
    }
}

/// Tells the epoch; takes note of the mount that asks, if it may speak for users, since changes wait
/// for it.
pub(super) fn epoch(
    service: &Embedded,
    admitted: &Admitted,
    body: &[u8],
) -> Result<ResponseBody, KmsError> {
    let EpochRequest { mount, enforced } = read(body)?;
    let epoch = match mount {
        Some(mount) if admitted.rights >= Rights::Mount => service.follow(&mount, enforced)?,
        _ => service.epoch()?,
    };
    Ok(write(&EpochResponse { epoch }))
}

macro_rules! dispatch_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        /// An operation of the AWS API.
        pub(super) fn aws(service: &Embedded, operation: &str, caller: &Caller, body: &[u8])
            -> Result<ResponseBody, KmsError>
        {
            match operation {
                $(
                    stringify!($operation) => {
                        let request: $request = read(body)?;
                        let response: $response = service.$method(caller, &request)?;
                        Ok(write(&response))
                    }
                )+
                unknown => Err(KmsError::UnknownOperation(format!("{AWS}{unknown}"))),
            }
        }

        fn aws_named(name: &str) -> Option<&'static str> {
            match name {
                $(stringify!($operation) => Some(stringify!($operation)),)+
                _ => None,
            }
        }
    };
}
with_operations!(dispatch_operations);

macro_rules! dispatch_administration {
    ($(
        $(#[$about:meta])*
        $method:ident = $operation:ident($request:ty) -> $response:ty;
    )+) => {
        fn administer(
            service: &Arc<Embedded>,
            operation: &str,
            administrator: &Administrator,
            caller: &Caller,
            body: &[u8],
        ) -> Result<ResponseBody, KmsError> {
            match operation {
                $(
                    stringify!($operation) => {
                        let request: $request = read(body)?;
                        let response: $response = service.administer(administrator).$method(caller, &request)?;
                        Ok(write(&response))
                    }
                )+
                unknown => Err(KmsError::UnknownOperation(format!("{OURS}{unknown}"))),
            }
        }
    };
}

with_administration!(dispatch_administration);

/// Reads a request. What serde finds is told in AWS's words: a missing member and a name outside
/// its set are violated constraints, everything else is not JSON of this shape.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let position = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&position).unwrap_or(&message);
        let missing = message
            .strip_prefix("missing field `")
            .and_then(|m| m.strip_suffix('`'));
        if let Some(member) = missing {
            let (first, rest) = member.split_at(1);
            KmsError::constraint(&format!(
                "Value null at '{}{rest}' failed to satisfy constraint: Member must not be null",
                first.to_lowercase()
            ))
        } else if message.starts_with(VIOLATION) {
            KmsError::constraint(message)
        } else {
            KmsError::Serialization(message.to_owned())
        }
    })
}
