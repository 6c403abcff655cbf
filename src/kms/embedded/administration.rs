//! Users, access keys, groups and registered mounts.
//!
//! An identity policy is attached to an ARN, so one that is given to `user/anna` is also in force for
//! the local user `anna` on the socket.

mod access;
mod groups;
mod users;

use std::sync::Arc;

use super::{Change, Done, Embedded, trail::Trail};
use crate::kms::{
    Caller, KmsError,
    administration::{
        Administration, Administrator, ListMountUsersResponse, MountUserRequest, ServiceStatus,
        with_administration,
    },
    api::Empty,
    key::Key,
    state::Write,
};

/// The service, administered by one who may.
pub(in crate::kms) struct Administered<'a> {
    service: &'a Embedded,
    administrator: &'a Administrator,
}

#[allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "every operation's body has the shape that the frame calls"
)]
impl Embedded {
    /// Needs the proof that whoever asks may.
    pub(in crate::kms) fn administer<'a>(
        &'a self,
        administrator: &'a Administrator,
    ) -> Administered<'a> {
        Administered {
            service: self,
            administrator,
        }
    }

    fn register_mount_user<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a MountUserRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("uid", u64::from(request.uid));
        let write = Write::MountUser(request.uid);
        let change = Change::write(self, self.changing(), vec![write])?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    fn deregister_mount_user<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a MountUserRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        let uid = request.uid;
        trail.parameter("uid", u64::from(uid));
        let store = self.changing();
        if !self.is_mount_user(uid) {
            return Err(KmsError::NotFound(format!(
                "user id {uid} is not registered as a mount's"
            )));
        }
        let change = Change::write(self, store, vec![Write::ForgetMountUser(uid)])?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    /// Removes every key with its aliases and grants; users stay.
    pub(in crate::kms) fn reset(&self) -> Result<(), KmsError> {
        let administrator = Administrator::in_this_process();
        let caller = Caller::new(Arc::clone(&self.home.admin));
        self.run("Reset", &caller, &Empty {}, |service, _, _| {
            let store = service.changing();
            let state = service.state.read();
            let forget = |key: &Arc<Key>| Write::ForgetKey(key.region.clone(), key.id);
            let writes = state.keys().map(forget).collect();
            drop(state);
            let change = Change::write(service, store, writes)?;
            Ok(Done::administered(&administrator, Some(change), ()))
        })
    }

    fn list_mount_users<'a>(
        &'a self,
        administrator: &Administrator,
        _trail: &mut Trail<'a>,
        _request: &'a Empty,
    ) -> Result<Done<'a, ListMountUsersResponse>, KmsError> {
        let uids = self.state.read().identities.mount_users().collect();
        let answer = ListMountUsersResponse { uids };
        Ok(Done::administered(administrator, None, answer))
    }

    fn service_status<'a>(
        &'a self,
        administrator: &Administrator,
        _trail: &mut Trail<'a>,
        _request: &'a Empty,
    ) -> Result<Done<'a, ServiceStatus>, KmsError> {
        let census = self.census();
        let keys = census.keys.into_iter();
        let status = ServiceStatus {
            sealed: false,
            keys: keys.map(|(state, n)| (state.to_string(), n)).collect(),
            users: self.state.read().identities.users().count() as u64,
            audit_position: census.audit_position,
            ..self.home.sealed_status()
        };
        Ok(Done::administered(administrator, None, status))
    }
}

macro_rules! run_administration {
    ($(
        $(#[$about:meta])*
        $method:ident = $operation:ident($request:ty) -> $response:ty;
    )+) => {
        impl Administration for Administered<'_> {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    let administrator = self.administrator;
                    self.service.run(
                        stringify!($operation),
                        caller,
                        request,
                        |service, trail, request| {
                            service.$method(administrator, trail, request)
                        },
                    )
                }
            )+
        }
    };
}
with_administration!(run_administration);
