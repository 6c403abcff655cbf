//! Groups of users. A group is there as long as it has a policy or a member.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    kms::{
        KmsError,
        administration::{
            Administrator, GroupEntry, GroupMemberRequest, ListGroupsResponse,
            PutGroupPolicyRequest,
        },
        api::Empty,
        embedded::{Change, Done, Embedded, trail::Trail},
        identities::{User, arn, check_name},
        state::Write,
    },
    policy::Principal,
};

#[allow(
    clippy::unnecessary_wraps,
    clippy::unused_self,
    reason = "every operation's body has the shape that the frame calls"
)]
impl Embedded {
    pub(super) fn put_group_policy<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a PutGroupPolicyRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("groupName", &*request.group_name);
        check_name("groupName", &request.group_name)?;
        let group = arn(&self.home.place.account, "group", &request.group_name);
        let writes = Self::policy_writes(&group, false, request.policy.as_deref())?;
        let change = Change::write(self, self.changing(), writes)?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    pub(super) fn add_user_to_group<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a GroupMemberRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        self.change_membership(administrator, trail, request, |groups, group| {
            if !groups.contains(&group) {
                groups.push(group);
                groups.sort();
            }
            Ok(())
        })
    }

    pub(super) fn remove_user_from_group<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a GroupMemberRequest,
    ) -> Result<Done<'a, Empty>, KmsError> {
        self.change_membership(administrator, trail, request, |groups, group| {
            if !groups.contains(&group) {
                return Err(KmsError::NotFound(format!("the user is not in {group}")));
            }
            groups.retain(|other| *other != group);
            Ok(())
        })
    }

    fn change_membership<'a>(
        &'a self,
        administrator: &Administrator,
        trail: &mut Trail<'a>,
        request: &'a GroupMemberRequest,
        change: impl FnOnce(&mut Vec<String>, String) -> Result<(), KmsError>,
    ) -> Result<Done<'a, Empty>, KmsError> {
        trail.parameter("groupName", &*request.group_name);
        trail.parameter("userName", &*request.user.user_name);
        check_name("groupName", &request.group_name)?;
        let store = self.changing();
        let user = self.user(&request.user)?;
        let mut principal = Principal::clone(&user.principal);
        let group = arn(&principal.account, "group", &request.group_name);
        change(&mut principal.also, group)?;
        let user = User {
            principal: Arc::new(principal),
            ..User::clone(&user)
        };
        let change = Change::write(self, store, vec![Write::User(Arc::new(user))])?;
        Ok(Done::administered(administrator, Some(change), Empty {}))
    }

    pub(super) fn list_groups<'a>(
        &'a self,
        administrator: &Administrator,
        _trail: &mut Trail<'a>,
        _request: &'a Empty,
    ) -> Result<Done<'a, ListGroupsResponse>, KmsError> {
        let state = self.state.read();
        let mut groups: BTreeMap<String, GroupEntry> = BTreeMap::new();
        let mut entry = |arn: &str, change: &dyn Fn(&mut GroupEntry)| {
            let group = groups.entry(arn.to_owned()).or_insert_with(|| GroupEntry {
                arn: arn.to_owned(),
                has_policy: false,
                members: Vec::new(),
            });
            change(group);
        };
        for arn in state.principals_with_policies() {
            if arn.contains(":group/") {
                entry(arn, &|group| group.has_policy = true);
            }
        }
        for user in state.identities.users() {
            for arn in &user.principal.also {
                entry(arn, &|group| group.members.push(user.arn().to_owned()));
            }
        }
        let groups = groups.into_values().collect();
        Ok(Done::administered(
            administrator,
            None,
            ListGroupsResponse { groups },
        ))
    }
}
