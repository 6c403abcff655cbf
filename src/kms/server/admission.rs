//! Who calls: the kernel says so on a Unix socket, a signature on TCP; and for whom a mount speaks.

use std::{net::IpAddr, sync::Arc};

use hyper::{header, http::request::Parts};
use jiff::Timestamp;
use tokio::task::block_in_place;

use super::{
    CALLER, Shared,
    respond::Refusal,
    sigv4::{Presented, Unauthenticated},
    wire,
};
use crate::kms::{
    Caller, KmsError,
    administration::Administrator,
    embedded::Embedded,
    identities::{AccessKey, User},
    name::Region,
    service::is_of_mounts,
};

/// The service in the scope of a signature.
const SERVICE: &str = "kms";

/// What the kernel tells of whoever is at the other end of a Unix socket (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Credentials {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: Option<u32>,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// `None` when the kernel does not tell, which refuses its requests.
    Unix(Option<Credentials>),
    Tcp {
        address: IpAddr,
        tls: bool,
    },
}

/// What a caller may ask for beyond the operations of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rights {
    /// Nothing.
    Client,
    /// To speak for its users.
    Mount,
    /// To administer the home, and to have audit logs anchored.
    Owner,
}

/// A request whose caller is known.
pub(super) struct Admitted {
    pub(super) caller: Caller,
    pub(super) rights: Rights,
}

/// As far as a request's head tells who calls.
pub(super) enum Admission<'r> {
    Known(Admitted),
    /// The signature is still to be checked, against the body.
    Signed(Presented<'r>, Arc<AccessKey>, Arc<User>),
}

impl Shared {
    /// Who sends this request, by its head alone: what this refuses costs no reading of a body.
    pub(super) fn admit<'r>(
        &self,
        service: Option<&Embedded>,
        peer: Peer,
        parts: &'r Parts,
    ) -> Result<Admission<'r>, Refusal> {
        let Peer::Tcp { .. } = peer else {
            return self.admit_local(service, peer, parts).map(Admission::Known);
        };
        let service = service.ok_or_else(Refusal::sealed)?;
        let presented = Presented::read(parts)?;
        presented.check(parts, SERVICE, Timestamp::now())?;
        self.check_region(&presented.region)?;
        if parts.headers.contains_key("x-amz-security-token") {
            // Keys of this service have no session, so a token is not one of ours.
            return Err(Unauthenticated::UnknownKey.into());
        }
        let signer = service.signer(&presented.key_id);
        let (key, user) = signer.ok_or(Unauthenticated::UnknownKey)?;
        Ok(Admission::Signed(presented, key, user))
    }

    fn serves(&self, region: &Region) -> bool {
        let narrowed = self.rules.regions.as_ref();
        narrowed.is_none_or(|regions| regions.contains(region))
    }

    /// Refuses a caller who asks a Region that is not served: a mount names its user's besides the
    /// signature, and who does not sign asks the home's own.
    pub(super) fn check_served(&self, caller: &Caller) -> Result<(), KmsError> {
        let region = caller.region.as_ref();
        let region = region.unwrap_or(&self.home.place.region);
        if self.serves(region) {
            return Ok(());
        }
        Err(KmsError::Unsupported(format!(
            "The Region {region} is not served."
        )))
    }

    fn check_region(&self, region: &str) -> Result<Region, Refusal> {
        let home = &self.home.place.region;
        let known = if region == home.as_str() {
            Some(home.clone())
        } else {
            region.parse::<Region>().ok()
        };
        let known = known.filter(|region| self.serves(region));
        known.ok_or_else(|| {
            let message =
                format!("Credential should be scoped to a valid Region, not '{region}'. ");
            Unauthenticated::Invalid(message).into()
        })
    }

    fn admit_local(
        &self,
        service: Option<&Embedded>,
        peer: Peer,
        parts: &Parts,
    ) -> Result<Admitted, Refusal> {
        let Peer::Unix(Some(Credentials { uid, gid, pid })) = peer else {
            return Err(KmsError::AccessDenied("the peer has no credentials".to_owned()).into());
        };
        let rights = if uid == 0 || uid == self.home.owner_uid {
            Rights::Owner
        } else if service.is_some_and(|service| service.is_mount_user(uid)) {
            Rights::Mount
        } else {
            Rights::Client
        };
        let unknown =
            |error| KmsError::Internal(format!("user {uid} cannot be looked up: {error}"));
        let principals = &self.home.principals;
        let principal = match principals.remembered(uid, gid) {
            Some(principal) => principal,
            // A directory service may take its time, and other requests need this thread.
            None => block_in_place(|| principals.get(uid, gid)).map_err(unknown)?,
        };
        let region = match Presented::read(parts) {
            // The kernel says who calls; what a client signs besides says in which Region.
            Ok(presented) => Some(self.check_region(&presented.region)?),
            Err(_) => None,
        };
        let caller = Caller {
            uid: Some(uid),
            pid,
            region,
            user_agent: user_agent(parts),
            ..Caller::new(principal)
        };
        admitted(caller, rights, parts)
    }
}

impl Admission<'_> {
    /// Who calls, now that the body is there.
    pub(super) fn settle(
        self,
        shared: &Shared,
        peer: Peer,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Admitted, Refusal> {
        let (presented, key, user) = match self {
            Self::Known(admitted) => return Ok(admitted),
            Self::Signed(presented, key, user) => (presented, key, user),
        };
        let verified = presented.verify(parts, body, key.secret.expose().as_bytes())?;
        let rights = if user.mount {
            Rights::Mount
        } else {
            Rights::Client
        };
        let mut caller = Caller::new(Arc::clone(&user.principal));
        caller.region = Some(shared.check_region(&verified.region)?);
        caller.access_key_id = Some(key.id.clone());
        caller.user_agent = user_agent(parts);
        if let Peer::Tcp { address, tls } = peer {
            caller.source_ip = Some(address);
            caller.secure_transport = Some(tls);
        }
        admitted(caller, rights, parts)
    }
}

fn user_agent(parts: &Parts) -> Option<String> {
    let text = parts.headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(256).collect())
}

/// The caller, or for whom he speaks.
fn admitted(caller: Caller, rights: Rights, parts: &Parts) -> Result<Admitted, Refusal> {
    let Some(forwarded) = parts.headers.get(CALLER) else {
        return Ok(Admitted { caller, rights });
    };
    if rights == Rights::Client {
        return Err(KmsError::AccessDenied(format!(
            "{} may not speak for others: only root, the home's owner and registered mounts may; \
             `kmsfs kms mount-user add` registers one",
            caller.principal.arn
        ))
        .into());
    }
    let malformed = || KmsError::Serialization(format!("the header {CALLER} is malformed"));
    let mut end_user = wire::decode_caller(forwarded.as_bytes()).ok_or_else(malformed)?;
    // Through whom the request came is the server's own to know.
    end_user.access_key_id = caller.access_key_id;
    end_user.user_agent = caller.user_agent;
    if rights == Rights::Mount {
        if !end_user.principal.is_user_of(&caller.principal.account) {
            return Err(KmsError::AccessDenied(format!(
                "{} may speak for users of its own account only",
                caller.principal.arn
            ))
            .into());
        }
        // Whatever it says: it is a mount that asks, and policies are to see that.
        end_user.via_kmsfs = true;
        end_user.forwarded_by = Some(Arc::clone(&caller.principal));
        end_user.source_ip = caller.source_ip;
        end_user.secure_transport = caller.secure_transport;
    }
    Ok(Admitted {
        caller: end_user,
        rights,
    })
}

impl Admitted {
    /// A mount that speaks for a user asks for what a filesystem needs and for nothing else: taken
    /// over, it cannot administer keys in the name of an administrator.
    pub(super) fn check_operation(&self, operation: &str) -> Result<(), KmsError> {
        if self.caller.forwarded_by.is_some() && !is_of_mounts(operation) {
            return Err(KmsError::AccessDenied(format!(
                "a mount may not ask for {operation} on behalf of a user"
            )));
        }
        Ok(())
    }

    /// Proof that this caller may administer the home.
    pub(super) fn administrator(&self, operation: &str) -> Result<Administrator, KmsError> {
        if self.rights < Rights::Owner {
            return Err(KmsError::AccessDenied(format!(
                "{operation}: only root and the home's owner administer it, through its Unix socket"
            )));
        }
        Ok(Administrator::over_the_socket())
    }
}
