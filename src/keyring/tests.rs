use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crypto::derive::FileKeys;
use crate::format::{Header, VolumeId};
use crate::kms::{
    Caller, CreateKeyRequest, DisableKeyRequest, EnableKeyRequest, Home, KeyService,
    PutKeyPolicyRequest, Unlock,
};
use crate::policy::{Allowed, Context, Document, DocumentKind, Principal, Request, decide};

use super::{DECISION_LIFETIME, Keyring, KeyringError};

/// A home whose key service is reached through its socket, as by a second mount.
struct Case {
    admin: Caller,
    service: Arc<dyn KeyService>,
    key_arn: String,
    keyring: Keyring,
    _homes: (Home, Home, Arc<dyn KeyService>),
    _directory: TempDir,
}

impl Case {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key_file = directory.path().join("key");
        std::fs::write(&key_file, [7; 32]).unwrap();
        let open =
            |path: &Path| Home::open_or_create(path, &Unlock::KeyFile(key_file.clone())).unwrap();
        let path = directory.path().join("home");
        let owner = open(&path);
        let owned = owner.service().unwrap();
        let other = open(&path);
        let service = other.service().unwrap();
        assert!(service.may_wait() && !owned.may_wait());
        let admin = Caller::new(owner.admin());
        let key_arn = owned
            .create_key(&admin, &CreateKeyRequest::default())
            .unwrap()
            .key_metadata
            .arn;
        Self {
            admin,
            keyring: Keyring::new(service.clone(), VolumeId::generate()),
            service,
            key_arn,
            _homes: (owner, other, owned),
            _directory: directory,
        }
    }

    fn generate(&self, caller: &Caller) -> Result<super::NewFile, KeyringError> {
        self.keyring
            .generate(&allowed(), caller, &self.key_arn, None)
    }

    /// How many keys are at hand for `caller`.
    fn at_hand(&self, caller: &Caller) -> usize {
        self.keyring.ahead.at_hand(caller, &self.key_arn)
    }

    /// Makes files until keys were fetched ahead.
    fn fill(&self) {
        within("keys come ahead", || {
            self.generate(&self.admin).unwrap();
            self.at_hand(&self.admin) > 0
        });
    }
}

struct Nothing;

impl Context for Nothing {
    fn get(&self, _: &str) -> Option<Vec<std::borrow::Cow<'_, str>>> {
        None
    }
}

/// The file plane's consent.
fn allowed() -> Allowed {
    let text = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"kmsfs:Create","Resource":"*"}]}"#;
    let document = Document::parse(DocumentKind::Tree, text).unwrap();
    let principal = user("anybody").principal;
    let request = Request {
        principal: &principal,
        action: "kmsfs:Create",
        resource: "arn:aws:kmsfs:us-east-1:000000000000:volume/x/",
        context: &Nothing,
    };
    decide(&document, &[], &[], &request).unwrap()
}

fn user(name: &str) -> Caller {
    let account = "000000000000".to_owned();
    let arn = format!("arn:aws:iam::{account}:user/{name}");
    Caller::new(Arc::new(Principal {
        arn,
        account,
        also: Vec::new(),
    }))
}

fn within(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
    }
}

#[test]
fn keys_of_new_files_come_ahead_and_each_belongs_to_one_file() {
    let case = Case::new();
    case.fill();
    let mut ids: Vec<_> = (0..50)
        .map(|_| {
            let new = case.generate(&case.admin).unwrap();
            let header = Header {
                file: new.id,
                label: None,
                key: new.slot,
                generation: 1,
                length: 0,
                synced: false,
                sparse: false,
            };
            // What was fetched ahead opens under the id that came with it.
            let keys = Keyring::new(case.service.clone(), case.keyring.volume)
                .unwrap(&allowed(), &case.admin, &header)
                .unwrap();
            let sealed = |keys: &FileKeys| header.encode(&keys.header).unwrap();
            assert_eq!(sealed(&keys), sealed(&new.keys));
            new.id
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn a_single_file_has_nothing_fetched_ahead() {
    let case = Case::new();
    case.generate(&case.admin).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(case.at_hand(&case.admin), 0);
}

#[test]
fn a_disabled_key_makes_no_file_though_keys_were_at_hand() {
    let case = Case::new();
    case.fill();
    let key_id = case.key_arn.clone();
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    case.service.disable_key(&case.admin, &disable).unwrap();
    let refused = case.generate(&case.admin);
    assert!(matches!(refused, Err(KeyringError::Refused(_))));
    let enable = EnableKeyRequest { key_id };
    case.service.enable_key(&case.admin, &enable).unwrap();
    case.generate(&case.admin).unwrap();
}

#[test]
fn keys_at_hand_are_for_whom_they_were_fetched() {
    let case = Case::new();
    case.fill();
    let other = user("other");
    assert_eq!(case.at_hand(&other), 0);
    let refused = case.generate(&other);
    assert!(matches!(refused, Err(KeyringError::Refused(_))));
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Allow","Principal":{{"AWS":["{}","{}"]}},"Action":"kms:*","Resource":"*"}}]}}"#,
        case.admin.principal.arn, other.principal.arn
    );
    let request = PutKeyPolicyRequest {
        key_id: case.key_arn.clone(),
        policy,
        ..Default::default()
    };
    case.service.put_key_policy(&case.admin, &request).unwrap();
    case.generate(&other).unwrap();
}

#[test]
fn keys_at_hand_are_wiped_when_a_decision_would_be_too_old() {
    let case = Case::new();
    case.fill();
    std::thread::sleep(DECISION_LIFETIME);
    within("they expire", || {
        case.keyring.expire();
        case.at_hand(&case.admin) == 0
    });
    case.fill();
    case.keyring.clear();
    assert_eq!(case.at_hand(&case.admin), 0);
}
