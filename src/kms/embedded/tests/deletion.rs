//! Deleting keys after a waiting time, and when they were last used.

use super::{Fixture, refusal};
use crate::kms::{
    CancelKeyDeletionRequest, CreateAliasRequest, EnableKeyRequest, EncryptRequest,
    GetKeyLastUsageRequest, KeyLastUsageData, KeyState, KmsError, Plaintext,
    ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest,
};

fn schedule(
    fixture: &Fixture,
    key: &str,
    days: Option<i32>,
) -> Result<ScheduleKeyDeletionResponse, KmsError> {
    let request = ScheduleKeyDeletionRequest {
        key_id: key.to_owned(),
        pending_window_in_days: days,
    };
    let service = fixture.service();
    service.schedule_key_deletion(&fixture.admin, &request)
}

fn cancel(fixture: &Fixture, key: &str) -> Result<String, KmsError> {
    let request = CancelKeyDeletionRequest {
        key_id: key.to_owned(),
    };
    let answer = fixture
        .service()
        .cancel_key_deletion(&fixture.admin, &request);
    answer.map(|answer| answer.key_id)
}

#[test]
fn a_key_is_deleted_when_its_waiting_time_is_over_and_not_before() {
    let mut fixture = Fixture::new();
    let key = fixture.key();
    let alias = CreateAliasRequest {
        alias_name: "alias/doomed".to_owned(),
        target_key_id: key.clone(),
    };
    fixture
        .service()
        .create_alias(&fixture.admin, &alias)
        .unwrap();
    let answer = schedule(&fixture, &key, Some(7)).unwrap();
    assert_eq!(answer.key_id, Fixture::arn(&key));
    assert_eq!(answer.key_state, KeyState::PendingDeletion);
    assert_eq!(answer.pending_window_in_days, Some(7));
    let metadata = fixture.describe(&fixture.admin, &key).unwrap();
    assert_eq!(metadata.deletion_date, answer.deletion_date);
    assert!(!metadata.enabled);

    fixture.pass(6);
    fixture.reopen();
    assert_eq!(fixture.state(&key), KeyState::PendingDeletion);
    fixture.pass(8);
    for reopened in [false, true] {
        if reopened {
            fixture.reopen();
        }
        for name in [&*key, "alias/doomed"] {
            let gone = refusal(fixture.describe(&fixture.admin, name));
            assert!(matches!(gone, KmsError::NotFound(_)), "{gone}");
        }
    }
    let log = std::fs::read_to_string(fixture.place.path().join("audit/kms.jsonl")).unwrap();
    let deleted = log.lines().filter(|line| line.contains("\"DeleteKey\""));
    let deleted: Vec<_> = deleted.collect();
    assert_eq!(deleted.len(), 1);
    assert!(deleted[0].contains(&Fixture::arn(&key)));
    assert!(deleted[0].contains("AWS Internal"));
}

#[test]
fn a_cancelled_deletion_leaves_the_key_disabled() {
    let fixture = Fixture::new();
    let key = fixture.key();
    schedule(&fixture, &key, None).unwrap();
    assert_eq!(cancel(&fixture, &key).unwrap(), Fixture::arn(&key));
    assert_eq!(fixture.state(&key), KeyState::Disabled);
    let metadata = fixture.describe(&fixture.admin, &key).unwrap();
    assert_eq!(metadata.deletion_date, None);
    fixture.pass(100);
    let enable = EnableKeyRequest {
        key_id: key.clone(),
    };
    fixture
        .service()
        .enable_key(&fixture.admin, &enable)
        .unwrap();
    assert_eq!(fixture.state(&key), KeyState::Enabled);
}

#[test]
fn a_window_is_7_to_30_days_and_30_unless_said_otherwise() {
    let fixture = Fixture::new();
    let key = fixture.key();
    for days in [-1, 0, 6, 31, 366] {
        let refused = refusal(schedule(&fixture, &key, Some(days)));
        assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
    }
    let answer = schedule(&fixture, &key, None).unwrap();
    assert_eq!(answer.pending_window_in_days, Some(30));
    assert_eq!(
        refusal(schedule(&fixture, &key, None)),
        KmsError::InvalidState(format!("{} is pending deletion.", Fixture::arn(&key)))
    );
}

#[test]
fn a_description_changes_up_to_8192_characters() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let update = |description: String| {
        let request = UpdateKeyDescriptionRequest {
            key_id: key.clone(),
            description,
        };
        fixture
            .service()
            .update_key_description(&fixture.admin, &request)
    };
    let longest = "ü".repeat(8192);
    update(longest.clone()).unwrap();
    let metadata = fixture.describe(&fixture.admin, &key).unwrap();
    assert_eq!(metadata.description, longest);
    let refused = refusal(update(longest + "!"));
    assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
}

#[test]
fn the_last_use_is_told_with_its_record_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let key = fixture.key();
    let last = |fixture: &Fixture| {
        let request = GetKeyLastUsageRequest {
            key_id: key.clone(),
        };
        let answer = fixture
            .service()
            .get_key_last_usage(&fixture.admin, &request);
        answer.unwrap().key_last_usage.unwrap()
    };
    assert_eq!(last(&fixture), KeyLastUsageData::default());
    let encrypt = |plaintext: &[u8]| EncryptRequest {
        key_id: key.clone(),
        plaintext: Plaintext::new(plaintext.to_vec()),
        ..Default::default()
    };
    fixture
        .service()
        .encrypt(&fixture.admin, &encrypt(b"x"))
        .unwrap();
    let used = last(&fixture);
    assert_eq!(used.operation.unwrap().as_str(), "Encrypt");
    let log = std::fs::read_to_string(fixture.place.path().join("audit/kms.jsonl")).unwrap();
    let id = used.cloud_trail_event_id.clone().unwrap();
    assert!(log.lines().any(|line| line.contains(&id)));
    // What is refused, and what is no cryptographic use, does not count.
    refusal(fixture.service().encrypt(&fixture.admin, &encrypt(b"")));
    fixture.describe(&fixture.admin, &key).unwrap();
    assert_eq!(last(&fixture), used);
    fixture.reopen();
    assert_eq!(last(&fixture), used);
}
