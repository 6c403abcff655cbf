//! The key that kmsfs manages itself.

use super::{Fixture, in_region};
use crate::kms::{
    Caller, CreateAliasRequest, DisableKeyRequest, GenerateDataKeyRequest,
    GetKeyRotationStatusRequest, KeyManager, KmsError, ScheduleKeyDeletionRequest, Tag,
    TagResourceRequest, testing::user,
};

const ALIAS: &str = "alias/aws/kmsfs";

#[test]
fn it_is_made_once_in_each_region_when_it_is_first_used() {
    let mut fixture = Fixture::new();
    let here = fixture.describe(&fixture.admin, ALIAS).unwrap();
    assert_eq!(here.key_manager, KeyManager::Aws);
    let there = in_region(&fixture.admin, "eu-west-1");
    let other = fixture.describe(&there, ALIAS).unwrap();
    assert_ne!(here.key_id, other.key_id);
    fixture.reopen();
    assert_eq!(fixture.describe(&fixture.admin, ALIAS).unwrap(), here);
    let request = GetKeyRotationStatusRequest {
        key_id: here.key_id,
    };
    let status = fixture
        .service()
        .get_key_rotation_status(&fixture.admin, &request);
    assert_eq!(status.unwrap().rotation_period_in_days, Some(365));
}

#[test]
fn it_is_used_through_kmsfs_only() {
    let fixture = Fixture::new();
    let alice = user("alice");
    let generate = |caller: &Caller| {
        let request = GenerateDataKeyRequest {
            key_id: ALIAS.to_owned(),
            number_of_bytes: Some(32),
            ..Default::default()
        };
        fixture
            .service()
            .generate_data_key(caller, &request)
            .map(drop)
    };
    let through_kmsfs = Caller {
        via_kmsfs: true,
        ..alice.clone()
    };
    generate(&through_kmsfs).unwrap();
    assert!(matches!(generate(&alice), Err(KmsError::AccessDenied(_))));
}

#[test]
fn nobody_changes_it() {
    let fixture = Fixture::new();
    let key_id = fixture.describe(&fixture.admin, ALIAS).unwrap().key_id;
    let (service, admin) = (fixture.service(), &fixture.admin);
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    let schedule = ScheduleKeyDeletionRequest {
        key_id: key_id.clone(),
        pending_window_in_days: None,
    };
    let tag = TagResourceRequest {
        key_id: key_id.clone(),
        tags: vec![Tag {
            tag_key: "a".to_owned(),
            tag_value: String::new(),
        }],
    };
    let alias = CreateAliasRequest {
        alias_name: "alias/mine".to_owned(),
        target_key_id: key_id,
    };
    for answer in [
        service.disable_key(admin, &disable).map(drop),
        service.schedule_key_deletion(admin, &schedule).map(drop),
        service.tag_resource(admin, &tag).map(drop),
        service.create_alias(admin, &alias).map(drop),
    ] {
        assert!(matches!(answer, Err(KmsError::AccessDenied(_))));
    }
}

#[test]
fn a_call_that_is_refused_makes_none() {
    let fixture = Fixture::new();
    let mallory = user("mallory");
    let generate = |caller: &Caller| {
        let request = GenerateDataKeyRequest {
            key_id: ALIAS.to_owned(),
            number_of_bytes: Some(32),
            ..Default::default()
        };
        let made = fixture.service().generate_data_key(caller, &request);
        made.map(|answer| answer.key_id)
    };
    for region in ["us-east-1", "eu-west-1"] {
        let there = in_region(&mallory, region);
        assert!(matches!(generate(&there), Err(KmsError::AccessDenied(_))));
    }
    assert_eq!(fixture.embedded().state.read().keys().count(), 0);
    // It is whole once somebody may use it, and everybody has the same one.
    let through_kmsfs = Caller {
        via_kmsfs: true,
        ..user("alice")
    };
    let ids = std::thread::scope(|scope| {
        let callers = [(); 4].map(|()| scope.spawn(|| generate(&through_kmsfs).unwrap()));
        callers.map(|caller| caller.join().unwrap())
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(fixture.describe(&fixture.admin, ALIAS).unwrap().arn, ids[0]);
    assert_eq!(fixture.embedded().state.read().keys().count(), 1);
}
