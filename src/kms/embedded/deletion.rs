//! Deleting keys after a waiting time, and what else changes of a key but its use.

use std::sync::Arc;

use super::{
    Change, Done, Embedded,
    authorize::{Facts, Target},
    keys::check_description,
    trail::Trail,
};
use crate::kms::{
    KmsError,
    api::{
        CancelKeyDeletionRequest, CancelKeyDeletionResponse, Empty, GetKeyLastUsageRequest,
        GetKeyLastUsageResponse, KeyLastUsageData, KeyState, MultiRegionKeyType,
        ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest,
    },
    key::{Deletion, Key},
    state::Write,
};

/// Days that a key waits for its deletion unless the request says otherwise.
const DEFAULT_WINDOW: i32 = 30;

impl Embedded {
    pub(super) fn schedule_key_deletion<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a ScheduleKeyDeletionRequest,
    ) -> Result<Done<'a, ScheduleKeyDeletionResponse>, KmsError> {
        let window_days = request.pending_window_in_days.unwrap_or(DEFAULT_WINDOW);
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("pendingWindowInDays", i64::from(window_days));
        check_window(window_days)?;
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let window = window_days.to_string();
        let values = [("kms:ScheduleKeyDeletionPendingWindowInDays", &*window)];
        let facts = Facts {
            values: &values,
            ..Facts::default()
        };
        let allowed = self.authorize(trail, "kms:ScheduleKeyDeletion", Target::Key(&key), facts)?;
        key.check_state(trail.demand())?;

        let primary = key.multi_region_type() == Some(MultiRegionKeyType::Primary);
        let replicated = primary && self.state.read().related(&key).next().is_some();
        let deletion = Deletion {
            window_days,
            date: (!replicated).then(|| self.now().plus_days(window_days)),
        };
        let scheduled = Key {
            state: if replicated {
                KeyState::PendingReplicaDeletion
            } else {
                KeyState::PendingDeletion
            },
            deletion: Some(deletion),
            ..(*key).clone()
        };
        let response = ScheduleKeyDeletionResponse {
            key_id: key.arn.clone(),
            deletion_date: deletion.date,
            key_state: scheduled.state,
            pending_window_in_days: Some(window_days),
        };
        trail.response("keyId", key.arn.clone());
        trail.response("keyState", scheduled.state.as_str());
        if let Some(date) = deletion.date {
            trail.response("deletionDate", date.to_string());
        }
        let change = Change::write(self, store, vec![Write::Key(Arc::new(scheduled))])?;
        Ok(Done::change(&allowed, change, response))
    }

    pub(super) fn cancel_key_deletion<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a CancelKeyDeletionRequest,
    ) -> Result<Done<'a, CancelKeyDeletionResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:CancelKeyDeletion", target, Facts::default())?;
        key.check_state(trail.demand())?;
        let kept = Key {
            // Without its material it could not be enabled, only imported into.
            state: if key.lacks_material() {
                KeyState::PendingImport
            } else {
                KeyState::Disabled
            },
            deletion: None,
            ..(*key).clone()
        };
        let response = CancelKeyDeletionResponse {
            key_id: key.arn.clone(),
        };
        trail.response("keyId", key.arn.clone());
        let change = Change::write(self, store, vec![Write::Key(Arc::new(kept))])?;
        Ok(Done::change(&allowed, change, response))
    }

    pub(super) fn update_key_description<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a UpdateKeyDescriptionRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        trail.parameter("description", &*request.description);
        check_description(&request.description)?;
        let store = self.changing();
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed =
            self.authorize(trail, "kms:UpdateKeyDescription", target, Facts::default())?;
        key.check_state(trail.demand())?;
        let described = Key {
            description: request.description.clone(),
            ..(*key).clone()
        };
        let change = Change::write(self, store, vec![Write::Key(Arc::new(described))])?;
        Ok(Done::change(&allowed, change, Empty {}))
    }

    pub(super) fn get_key_last_usage<'a>(
        &'a self,
        trail: &mut Trail<'a>,
        request: &'a GetKeyLastUsageRequest,
    ) -> Result<Done<'a, GetKeyLastUsageResponse>, KmsError> {
        trail.parameter("keyId", &*request.key_id);
        let key = self.find_by_id(trail.place(), &request.key_id)?;
        let target = Target::Key(&key);
        let allowed = self.authorize(trail, "kms:GetKeyLastUsage", target, Facts::default())?;
        let last = key.last_use.lock().clone();
        let response = GetKeyLastUsageResponse {
            key_id: key.arn.clone(),
            key_last_usage: Some(KeyLastUsageData {
                operation: last.as_ref().map(|last| last.operation),
                timestamp: last.as_ref().map(|last| last.at),
                cloud_trail_event_id: last.as_ref().map(|last| last.event_id.clone()),
                kms_request_id: last.and_then(|last| last.request_id),
            }),
            // Uses are noted from the beginning of this service on.
            tracking_start_date: key.created,
            key_creation_date: key.created,
        };
        Ok(Done::answer(&allowed, response))
    }
}

/// The API's own bounds are wider than what KMS takes.
fn check_window(days: i32) -> Result<(), KmsError> {
    let bound = match days {
        7..=30 => return Ok(()),
        ..1 => "greater than or equal to 1",
        366.. => "less than or equal to 365",
        _ => {
            return Err(KmsError::Validation(
                "PendingWindowInDays must be between 7 and 30 (inclusive).".to_owned(),
            ));
        }
    };
    Err(KmsError::constraint(&format!(
        "Value '{days}' at 'pendingWindowInDays' failed to satisfy constraint: Member must have \
         value {bound}"
    )))
}
