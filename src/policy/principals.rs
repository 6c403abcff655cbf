//! `Principal` and `NotPrincipal`: whom a statement is about.

use super::arn::{Arn, is_account_id};
use super::json::{Node, Value};
use super::keys::Facts;
use super::reader::Reader;
use super::request::Principal;

/// Whom a statement is about.
#[derive(Debug)]
pub(super) enum Principals {
    /// Whoever the document is attached to: an identity policy.
    Attached,
    /// `Principal`.
    These(Set),
    /// `NotPrincipal`.
    AllBut(Set),
}

/// How a statement reaches a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is not about the caller.
    None,
    /// It names the caller's account. An Allow then delegates: the account's identity policies
    /// decide. A Deny is about everyone in the account.
    Account,
    /// It names the caller, or everyone.
    Caller,
}

/// The principals of one element.
#[derive(Debug, Default)]
pub(super) struct Set {
    everyone: bool,
    arns: Vec<String>,
    /// Named by id or by the ARN of the account's root.
    accounts: Vec<String>,
}

impl Set {
    fn names(&self, principal: &Principal) -> bool {
        let also = || principal.also.iter();
        self.everyone
            || self
                .arns
                .iter()
                .any(|arn| *arn == principal.arn || also().any(|role| role == arn))
            || self
                .accounts
                .iter()
                .any(|account| is_root_of(&principal.arn, account))
    }
}

/// Whether `arn` is the root user of `account`.
fn is_root_of(arn: &str, account: &str) -> bool {
    Arn::split(arn).is_some_and(|arn| {
        arn.service() == "iam" && arn.account() == account && arn.resource() == "root"
    })
}

impl Principals {
    /// How the statement reaches `principal`.
    ///
    /// An account in `NotPrincipal` exempts only that account's root, as AWS evaluates it: the
    /// users in it are exempt if they are named themselves.
    pub(super) fn reach(&self, principal: &Principal) -> Reach {
        match self {
            Self::Attached => Reach::Caller,
            Self::These(set) if set.names(principal) => Reach::Caller,
            Self::These(set) if set.accounts.contains(&principal.account) => Reach::Account,
            Self::AllBut(set) if !set.names(principal) => Reach::Caller,
            Self::These(_) | Self::AllBut(_) => Reach::None,
        }
    }

    /// The ARNs of the users, roles and groups in it.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        let set = match self {
            Self::Attached => None,
            Self::These(set) | Self::AllBut(set) => Some(set),
        };
        set.into_iter()
            .flat_map(|set| set.arns.iter().map(String::as_str))
    }

    /// Whether this is everyone, whoever they are.
    pub(super) fn is_everyone(&self) -> bool {
        matches!(self, Self::These(set) if set.everyone)
    }

    /// Whether no caller can ever be among them.
    pub(super) fn is_nobody(&self) -> bool {
        match self {
            Self::Attached => false,
            Self::These(set) => !set.everyone && set.arns.is_empty() && set.accounts.is_empty(),
            Self::AllBut(set) => set.everyone,
        }
    }

    /// Whether it is certain that a Deny about these is about all those whom an Allow for `other` lets in.
    pub(super) fn cover(&self, other: &Self) -> bool {
        let Self::These(other) = other else {
            return false;
        };
        match self {
            // Those whom `AllBut` exempts may have other roles as well.
            Self::Attached | Self::AllBut(_) => false,
            Self::These(set) if set.everyone => true,
            Self::These(set) => {
                let in_account = |arn: &String| {
                    let account = Arn::split(arn).map(Arn::account);
                    account.is_some_and(|account| set.accounts.iter().any(|own| own == account))
                };
                !other.everyone
                    && other
                        .arns
                        .iter()
                        .all(|arn| set.arns.contains(arn) || in_account(arn))
                    && other
                        .accounts
                        .iter()
                        .all(|account| set.accounts.contains(account))
            }
        }
    }

    /// Roles and groups are known only once the caller's groups are.
    pub(super) fn facts(&self) -> Facts {
        let (Self::These(set) | Self::AllBut(set)) = self else {
            return Facts::empty();
        };
        let needs_groups =
            |arn: &String| Arn::split(arn).is_some_and(|arn| !arn.resource().starts_with("user/"));
        if set.arns.iter().any(needs_groups) {
            Facts::GIDS
        } else {
            Facts::empty()
        }
    }
}

/// Reads the value of `Principal` or `NotPrincipal` (`element`).
pub(super) fn parse<'a>(reader: &mut Reader<'a>, node: &Node<'a>, element: &str) -> Set {
    let mut set = Set::default();
    if let Value::String(text) = &node.value {
        if text == "*" {
            set.everyone = true;
        } else {
            reader.problem(
                node.offset,
                format!("{element} is to be \"*\" or an object such as {{\"AWS\": \"<ARN>\"}}"),
            );
        }
        return set;
    }
    let members = reader.members(node, element);
    if members.is_empty() && matches!(node.value, Value::Object(_)) {
        reader.problem(node.offset, format!("{element} names nobody"));
    }
    for member in members {
        match &*member.name {
            "AWS" => {
                for (offset, text) in reader.strings(&member.value, element) {
                    if let Err(reason) = add(&mut set, text) {
                        reader.problem(offset, reason);
                    }
                }
            }
            // No service calls kmsfs, so these name no caller; policies written for AWS have them.
            "Service" => {
                for (offset, text) in reader.strings(&member.value, element) {
                    if !text.ends_with(".amazonaws.com") {
                        let reason = format!("{text:?} is not a service (<name>.amazonaws.com)");
                        reader.problem(offset, reason);
                    }
                }
            }
            other => reader.problem(
                member.offset,
                format!("unknown kind of principal {other:?}; AWS and Service are known"),
            ),
        }
    }
    set
}

fn add(set: &mut Set, text: &str) -> Result<(), String> {
    if text == "*" {
        set.everyone = true;
        return Ok(());
    }
    if is_account_id(text) {
        set.accounts.push(text.to_owned());
        return Ok(());
    }
    let malformed = |why: &str| {
        format!("{text:?} is not \"*\", a 12-digit account id or the ARN of a principal: {why}")
    };
    let arn = Arn::split(text).ok_or_else(|| malformed("it has fewer than six components"))?;
    if text.contains(['*', '?']) {
        return Err(malformed(
            "a wildcard cannot stand in part of it; compare aws:PrincipalArn in a Condition",
        ));
    }
    if text.contains(char::is_control) || !arn.region().is_empty() || arn.partition().is_empty() {
        return Err(malformed("it is to begin with arn:aws:iam::"));
    }
    if !is_account_id(arn.account()) {
        return Err(malformed("the account is to be 12 digits"));
    }
    let named = |kind: &str| {
        arn.resource()
            .strip_prefix(kind)
            .is_some_and(|name| !name.is_empty())
    };
    match arn.service() {
        "iam" if arn.resource() == "root" => set.accounts.push(arn.account().to_owned()),
        "iam" if ["user/", "role/", "group/"].into_iter().any(named) => {
            set.arns.push(text.to_owned());
        }
        "sts" if ["assumed-role/", "federated-user/"].into_iter().any(named) => {
            set.arns.push(text.to_owned());
        }
        _ => {
            return Err(malformed(
                "it is to name root, a user, a role or a group of iam",
            ));
        }
    }
    Ok(())
}
