//! The operations, as AWS documents them, on a service in this process.

mod accounts;
mod agreements;
mod aliases;
mod asymmetric;
mod audit;
mod data;
mod deletion;
mod grants;
mod import;
mod keys;
mod macs;
mod managed;
mod pairs;
mod policies;
mod regions;
mod replicas;
mod rotations;
mod schedule;
mod signatures;
mod states;
mod tags;

use std::sync::Arc;

use super::Embedded;
use crate::kms::{
    Caller, CreateKeyRequest, DescribeKeyRequest, Home, KeyMetadata, KeyService, KeySpec, KeyState,
    KeyUsage, KmsError,
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

    /// Lets so many days pass, and what is due be done.
    fn pass(&self, days: i64) {
        let millis = days * 24 * 60 * 60 * 1000;
        let ahead = &self.embedded().ahead;
        ahead.fetch_add(millis, std::sync::atomic::Ordering::Relaxed);
        self.embedded().do_what_is_due();
    }

    fn describe(&self, caller: &Caller, key: &str) -> Result<KeyMetadata, KmsError> {
        let request = DescribeKeyRequest {
            key_id: key.to_owned(),
            ..Default::default()
        };
        let described = self.service().describe_key(caller, &request);
        described.map(|answer| answer.key_metadata)
    }

    fn state(&self, key: &str) -> KeyState {
        self.describe(&self.admin, key).unwrap().key_state
    }

    fn arn(key: &str) -> String {
        format!("arn:aws:kms:us-east-1:000000000000:key/{key}")
    }
}

/// The error of an operation whose answer may hold a secret and so has no `Debug`.
fn refusal<T>(answered: Result<T, KmsError>) -> KmsError {
    answered.err().expect("it is refused")
}

/// `caller`, asking in another Region.
fn in_region(caller: &Caller, region: &str) -> Caller {
    Caller {
        region: Some(region.parse().unwrap()),
        ..caller.clone()
    }
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
