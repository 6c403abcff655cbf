//! The operations, as AWS documents them, on a service in this process.

mod agreements;
mod aliases;
mod asymmetric;
mod audit;
mod data;
mod import;
mod keys;
mod macs;
mod pairs;
mod policies;
mod regions;
mod rotations;
mod signatures;

use std::sync::Arc;

use super::Embedded;
use crate::kms::{
    Caller, CreateKeyRequest, Home, KeyService, KeySpec, KeyUsage, KmsError,
    testing::{Place, admin},
};

/// A home with its service, and its administrator.
struct Fixture {
    /// `None` only while it is opened again.
    service: Option<Embedded>,
    home: Home,
    admin: Caller,
    place: Place,
}

impl Fixture {
    fn new() -> Self {
        let place = Place::new();
        let home = place.create();
        let service = Some(Embedded::open(&home.inner).unwrap());
        let admin = admin(&home);
        Self {
            service,
            home,
            admin,
            place,
        }
    }

    /// As its users see it: the bodies of the operations have the same names.
    fn service(&self) -> &dyn KeyService {
        self.embedded()
    }

    fn embedded(&self) -> &Embedded {
        self.service.as_ref().expect("it is open")
    }

    /// What another process would find: all from disk.
    fn reopen(&mut self) {
        self.service = None;
        self.home = self.place.open();
        self.service = Some(Embedded::open(&Arc::clone(&self.home.inner)).unwrap());
    }

    /// A new key's id.
    fn key(&self) -> String {
        let made = self
            .service()
            .create_key(&self.admin, &CreateKeyRequest::default());
        made.unwrap().key_metadata.key_id
    }

    /// The id of a new key of this kind for this usage.
    fn key_for(&self, spec: KeySpec, usage: KeyUsage) -> String {
        let request = CreateKeyRequest {
            key_spec: Some(spec),
            key_usage: Some(usage),
            ..CreateKeyRequest::default()
        };
        let made = self.service().create_key(&self.admin, &request);
        made.unwrap().key_metadata.key_id
    }

    /// A new key's id, with a policy.
    fn key_with(&self, policy: &str) -> String {
        let request = CreateKeyRequest {
            policy: Some(policy.to_owned()),
            ..CreateKeyRequest::default()
        };
        self.service()
            .create_key(&self.admin, &request)
            .unwrap()
            .key_metadata
            .key_id
    }

    fn arn(key: &str) -> String {
        format!("arn:aws:kms:us-east-1:000000000000:key/{key}")
    }
}

/// The error of an operation whose answer may hold a secret and so has no `Debug`.
fn refusal<T>(answered: Result<T, KmsError>) -> KmsError {
    answered.err().expect("it is refused")
}

/// A policy that delegates to the account, and allows `actions` to the user `name`.
fn policy_for(name: &str, actions: &str, condition: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Sid": "Account", "Effect": "Allow",
              "Principal": {{"AWS": "arn:aws:iam::000000000000:root"}},
              "Action": "kms:*", "Resource": "*"}},
            {{"Sid": "User", "Effect": "Allow",
              "Principal": {{"AWS": "arn:aws:iam::000000000000:user/{name}"}},
              "Action": {actions}, "Resource": "*"{condition}}}
        ]}}"#
    )
}
