use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hyper::Request;
use serde_json::Value;

use super::{
    CALLER, Door, Rules, Server, Shared,
    admission::{Admitted, Credentials, Peer, Rights},
    dispatch::{Operation, read},
    respond::Refusal,
};
use crate::{
    audit::Head,
    kms::{
        Administration, Caller, CreateKeyRequest, DescribeKeyRequest, DisableKeyRequest, Empty,
        Home, KeyService, KmsError, ListKeysRequest, MountUserRequest,
        administration::Administrator,
        client::Client,
        embedded::Embedded,
        testing::{Place, admin, user},
        wire::{self, AuditAnchorRequest, SOCKET},
    },
    policy::Principal,
};

fn refusal<T: serde::de::DeserializeOwned>(body: &str) -> KmsError {
    read::<T>(body.as_bytes()).err().unwrap()
}

#[test]
fn a_missing_member_is_a_validation_error_in_aws_words() {
    assert_eq!(
        refusal::<DescribeKeyRequest>("{}"),
        KmsError::Validation(
            "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: \
             Member must not be null"
                .to_owned()
        )
    );
}

#[test]
fn a_name_outside_its_set_is_a_validation_error() {
    let refused = refusal::<CreateKeyRequest>(r#"{"KeySpec":"AES_512"}"#);
    let KmsError::Validation(message) = refused else {
        panic!("{refused}")
    };
    assert!(message.starts_with(
        "1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy \
         constraint: Member must satisfy enum value set: [SYMMETRIC_DEFAULT, "
    ));
    assert!(message.ends_with(']'));
}

#[test]
fn other_json_is_a_serialization_error_and_an_empty_body_an_empty_request() {
    for body in ["{", "[]", r#"{"KeyId":7}"#] {
        let refused = refusal::<DescribeKeyRequest>(body);
        assert!(matches!(refused, KmsError::Serialization(_)), "{body}");
    }
    assert!(read::<ListKeysRequest>(b"").unwrap().limit.is_none());
}

fn shared(home: &Home) -> Arc<Shared> {
    let service = Arc::new(Embedded::open(&home.inner).unwrap());
    Shared::new(&home.inner, Some(service), Rules::default())
}

fn admit(shared: &Shared, uid: u32, headers: &[(&str, &str)]) -> Result<Admitted, Refusal> {
    let mut request = Request::builder();
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    let peer = Peer::Unix(Some(Credentials {
        uid,
        gid: 4_000_000_002,
        pid: Some(7),
    }));
    let admission = shared.admit(shared.service.get().map(|service| &**service), peer, &parts)?;
    admission.settle(shared, peer, &parts, b"")
}

const STRANGER: u32 = 4_000_000_001;

#[test]
fn a_peer_is_who_the_kernel_says_it_is() {
    let place = Place::new();
    let home = place.create();
    let Admitted { caller, rights } = admit(&shared(&home), STRANGER, &[]).unwrap();
    assert_eq!(
        caller.principal.arn,
        "arn:aws:iam::000000000000:user/uid-4000000001"
    );
    assert_eq!((caller.uid, caller.pid), (Some(STRANGER), Some(7)));
    assert!(!caller.via_kmsfs && rights == Rights::Client);
}

#[test]
fn only_root_the_homes_owner_and_registered_mounts_speak_for_others() {
    let place = Place::new();
    let home = place.create();
    let shared = shared(&home);
    let for_anna = wire::encode_caller(&user("anna"));
    let for_anna = [(CALLER, &*for_anna)];
    for uid in [0, home.inner.owner_uid] {
        let Admitted { caller, rights } = admit(&shared, uid, &for_anna).unwrap();
        assert_eq!(caller.principal.arn, "arn:aws:iam::000000000000:user/anna");
        assert_eq!(rights, Rights::Owner);
    }
    let refused = admit(&shared, STRANGER, &for_anna).err().unwrap();
    assert_eq!(refused.code, "AccessDeniedException");

    let administrator = Administrator::in_this_process();
    let service = shared.service.get().unwrap();
    let register = MountUserRequest { uid: STRANGER };
    let administered = service.administer(&administrator);
    administered
        .register_mount_user(&admin(&home), &register)
        .unwrap();
    let admitted = admit(&shared, STRANGER, &for_anna).unwrap();
    let caller = &admitted.caller;
    assert_eq!(caller.principal.arn, "arn:aws:iam::000000000000:user/anna");
    assert!(caller.via_kmsfs, "whatever the mount says");
    let mount = caller.forwarded_by.as_ref().unwrap();
    assert_eq!(mount.arn, "arn:aws:iam::000000000000:user/uid-4000000001");
    assert!(admitted.check_operation("Decrypt").is_ok());
    for operation in ["PutKeyPolicy", "CreateKey", "CreateGrant", "ListKeys"] {
        assert!(admitted.check_operation(operation).is_err(), "{operation}");
    }
    assert!(admitted.administrator("CreateUser").is_err());

    administered
        .deregister_mount_user(&admin(&home), &register)
        .unwrap();
    assert!(admit(&shared, STRANGER, &for_anna).is_err());
}

#[test]
fn a_mount_speaks_for_its_own_account_only() {
    const OWN: &str = "000000000000";
    const FOREIGN: &str = "111122223333";

    let place = Place::new();
    let home = place.create();
    let shared = shared(&home);
    let administrator = Administrator::in_this_process();
    let service = shared.service.get().unwrap();
    service
        .administer(&administrator)
        .register_mount_user(&admin(&home), &MountUserRequest { uid: STRANGER })
        .unwrap();
    let forwarded = |account: &str, arn: &str, also: &[&str]| {
        let principal = Principal {
            arn: format!("arn:aws:{arn}"),
            account: account.to_owned(),
            also: also.iter().map(|arn| format!("arn:aws:{arn}")).collect(),
        };
        let header = wire::encode_caller(&Caller::new(Arc::new(principal)));
        admit(&shared, STRANGER, &[(CALLER, &header)])
    };
    let own_groups = [
        "iam::000000000000:role/staff",
        "iam::000000000000:group/staff",
    ];
    for user in ["anna", "root", "uid-1000"] {
        let arn = format!("iam::{OWN}:user/{user}");
        assert!(forwarded(OWN, &arn, &own_groups).is_ok(), "{user}");
    }
    for (account, arn, also) in [
        (FOREIGN, "iam::111122223333:user/anna", &[][..]),
        (OWN, "iam::111122223333:user/anna", &[]),
        (OWN, "iam::111122223333:root", &[]),
        (OWN, "iam::000000000000:root", &[]),
        (OWN, "iam::000000000000:user/", &[]),
        (OWN, "iam::000000000000:role/staff", &[]),
        (OWN, "sts::000000000000:user/anna", &[]),
        (OWN, "iam:eu-west-1:000000000000:user/anna", &[]),
        (OWN, "", &[]),
        (
            OWN,
            "iam::000000000000:user/anna",
            &["iam::111122223333:role/staff"],
        ),
        (
            OWN,
            "iam::000000000000:user/anna",
            &["iam::111122223333:root"],
        ),
        (
            OWN,
            "iam::000000000000:user/anna",
            &["iam::000000000000:root"],
        ),
        (
            OWN,
            "iam::000000000000:user/anna",
            &["iam::000000000000:user/root"],
        ),
    ] {
        let refused = forwarded(account, arn, also).err();
        let refused = refused.unwrap_or_else(|| panic!("{account} {arn} {also:?}"));
        assert_eq!(refused.code, "AccessDeniedException");
    }
}

#[test]
fn a_region_that_is_not_served_is_asked_by_nobody() {
    let place = Place::new();
    let home = place.create();
    let service = Arc::new(Embedded::open(&home.inner).unwrap());
    let rules = Rules {
        regions: Some(vec!["eu-west-1".parse().unwrap()]),
        allow_reset: false,
    };
    let shared = Shared::new(&home.inner, Some(service), rules);
    let asks = |region: Option<&str>| {
        let caller = Caller {
            region: region.map(|region| region.parse().unwrap()),
            ..user("anna")
        };
        let header = wire::encode_caller(&caller);
        let admitted = admit(&shared, 0, &[(CALLER, &header)]).unwrap();
        shared.check_served(&admitted.caller)
    };
    assert!(asks(Some("eu-west-1")).is_ok());
    for region in [Some("eu-central-1"), None] {
        let refused = asks(region).unwrap_err();
        assert!(matches!(refused, KmsError::Unsupported(_)), "{refused}");
    }
}

#[test]
fn what_is_known_of_a_mount_goes_with_those_it_speaks_for() {
    let place = Place::new();
    let home = place.create();
    let for_anna = wire::encode_caller(&user("anna"));
    let headers = [(CALLER, &*for_anna), ("user-agent", "kmsfs/7")];
    let admitted = admit(&shared(&home), 0, &headers).unwrap();
    assert_eq!(admitted.caller.user_agent.as_deref(), Some("kmsfs/7"));
}

#[test]
fn only_root_and_the_homes_owner_have_logs_anchored() {
    let place = Place::new();
    let home = place.create();
    let shared = shared(&home);
    let administrator = Administrator::in_this_process();
    let service = shared.service.get().unwrap();
    let anchor = |uid| {
        let admitted = admit(&shared, uid, &[]).unwrap();
        let head = Head {
            log: "volume-7".to_owned(),
            seq: 3,
            hash: [9; 32],
        };
        let request = serde_json::to_vec(&AuditAnchorRequest { head }).unwrap();
        shared.perform(Operation::AuditAnchor, &admitted, &request)
    };
    assert_eq!(
        anchor(STRANGER).err().unwrap().code,
        "AccessDeniedException"
    );
    // A mount's log is its own home's; a registered one could have any log's head signed.
    service
        .administer(&administrator)
        .register_mount_user(&admin(&home), &MountUserRequest { uid: STRANGER })
        .unwrap();
    assert_eq!(
        anchor(STRANGER).err().unwrap().code,
        "AccessDeniedException"
    );
    assert!(anchor(0).is_ok());
}

/// One request as any HTTP client would send it; the status and the body.
fn post(home: &Home, target: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(home.path().join(SOCKET)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: {target}\r\nConnection: close\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn the_wire_is_that_of_aws() {
    let place = Place::new();
    let home = place.create();
    let _service = home.service().unwrap();
    let (status, made) = post(&home, "TrentService.CreateKey", "{}");
    assert_eq!(status, 200);
    let metadata = &made["KeyMetadata"];
    assert_eq!(metadata["AWSAccountId"], "000000000000");
    assert!(metadata["CreationDate"].is_f64(), "{metadata}");
    let key = metadata["KeyId"].as_str().unwrap();

    let request = format!(r#"{{"KeyId": "{key}", "Plaintext": "c2VjcmV0"}}"#);
    let (_, encrypted) = post(&home, "TrentService.Encrypt", &request);
    let blob = encrypted["CiphertextBlob"].as_str().unwrap();
    let request = format!(r#"{{"CiphertextBlob": "{blob}"}}"#);
    let (_, decrypted) = post(&home, "TrentService.Decrypt", &request);
    assert_eq!(decrypted["Plaintext"], "c2VjcmV0");
    assert_eq!(decrypted["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT");

    let request = format!(r#"{{"CiphertextBlob": "{blob}", "EncryptionContext": {{"a": "b"}}}}"#);
    let (status, refused) = post(&home, "TrentService.Decrypt", &request);
    assert_eq!(status, 400);
    assert_eq!(
        refused,
        serde_json::json!({"__type": "InvalidCiphertextException"})
    );
    let (status, refused) = post(&home, "TrentService.DescribeKey", r#"{"KeyId": "x"}"#);
    assert_eq!(status, 400);
    let expected =
        serde_json::json!({"__type": "NotFoundException", "message": "Invalid keyId 'x'"});
    assert_eq!(refused, expected);
    for target in ["TrentService.Conjure", "Kmsfs.Conjure", "nonsense", ""] {
        let (status, refused) = post(&home, target, "{}");
        assert_eq!(
            (status, &refused["__type"]),
            (400, &"UnknownOperationException".into())
        );
    }
    let (_, epoch) = post(&home, "Kmsfs.Epoch", "");
    assert_eq!(epoch["Epoch"], 1);
}

#[test]
fn a_request_under_way_when_the_service_ends_is_answered() {
    let place = Place::new();
    let home = place.create();
    let service = Arc::new(Embedded::open(&home.inner).unwrap());
    let create = CreateKeyRequest::default();
    let made = KeyService::create_key(&*service, &admin(&home), &create).unwrap();
    let made = made.key_metadata.key_id;
    let door = Door::of_home(home.path().join(SOCKET)).unwrap();
    let shared = Shared::new(&home.inner, Some(Arc::clone(&service)), Rules::default());
    let server = Server::start(&shared, vec![door], 1).unwrap();
    let idle = Arc::strong_count(&shared);
    thread::scope(|scope| {
        // Nothing changes while this is held, so the request waits.
        let held = service.changing();
        let asking = scope.spawn(|| {
            let client = Client::new(home.path().join(SOCKET));
            let request = DisableKeyRequest {
                key_id: made.clone(),
            };
            let deadline = Instant::now() + Duration::from_secs(5);
            client.call::<Empty>("TrentService.DisableKey", None, &request, deadline)
        });
        // The connection holds it, and the request while it is worked on.
        while Arc::strong_count(&shared) < idle + 2 {
            assert!(!asking.is_finished(), "the request was not taken");
            thread::yield_now();
        }
        let ending = scope.spawn(move || drop(server));
        while home.path().join(SOCKET).exists() {
            thread::yield_now();
        }
        drop(held);
        assert!(asking.join().unwrap().is_ok());
        ending.join().unwrap();
    });
}
