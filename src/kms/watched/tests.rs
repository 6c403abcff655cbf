use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::Watched;
use crate::{
    audit::Anchored,
    kms::{
        Caller, CreateKeyRequest, DescribeKeyRequest, KeyService, KmsError, api,
        service::with_operations,
        testing::{Place, admin},
    },
};

/// A key service that can be told to be silent.
struct Moody {
    service: Arc<dyn KeyService>,
    silent: AtomicBool,
    asked: AtomicUsize,
}

impl Moody {
    fn ask<R>(
        &self,
        call: impl FnOnce(&dyn KeyService) -> Result<R, KmsError>,
    ) -> Result<R, KmsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.silent.load(Ordering::SeqCst) {
            return Err(KmsError::Unreachable("it sulks".to_owned()));
        }
        call(&*self.service)
    }
}

macro_rules! forward_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        impl KeyService for Moody {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    self.ask(|service| service.$method(caller, request))
                }
            )+

            fn epoch(&self) -> Result<u64, KmsError> {
                self.ask(|service| service.epoch())
            }

            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>
            {
                self.ask(|service| service.audit_anchor(log, seq, hash))
            }

            fn may_wait(&self) -> bool {
                true
            }
        }
    };
}
with_operations!(forward_operations);

struct Case {
    caller: Caller,
    moody: Arc<Moody>,
    watched: Watched,
    _place: Place,
}

impl Case {
    fn new(epoch_lifetime: Duration) -> Self {
        let place = Place::new();
        let home = place.create();
        let moody = Arc::new(Moody {
            service: home.service().unwrap(),
            silent: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        });
        Self {
            caller: admin(&home),
            watched: Watched::new(moody.clone(), epoch_lifetime).unwrap(),
            moody,
            _place: place,
        }
    }

    fn create_key(&self) -> Result<(), KmsError> {
        let request = CreateKeyRequest::default();
        self.watched.create_key(&self.caller, &request).map(drop)
    }

    fn be_silent(&self, silent: bool) {
        self.moody.silent.store(silent, Ordering::SeqCst);
    }
}

fn within(limit: Duration, what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn nobody_asks_a_silent_service_again_until_it_answers() {
    let case = Case::new(Duration::ZERO);
    case.create_key().unwrap();
    assert_eq!(case.watched.silent_for(), None);
    case.be_silent(true);
    assert!(matches!(case.create_key(), Err(KmsError::Unreachable(_))));
    assert!(case.watched.silent_for().is_some());
    let asked = case.moody.asked.load(Ordering::SeqCst);
    for _ in 0..1000 {
        assert!(matches!(case.create_key(), Err(KmsError::Unreachable(_))));
    }
    // A thousand failures, and none but the watch asked.
    assert!(case.moody.asked.load(Ordering::SeqCst) < asked + 500);
    case.be_silent(false);
    within(SOON, "it is asked again", || case.create_key().is_ok());
    assert_eq!(case.watched.silent_for(), None);
}

#[test]
fn silence_is_noticed_though_nobody_asks() {
    let case = Case::new(Duration::ZERO);
    case.be_silent(true);
    within(SOON, "the watch asks", || {
        case.watched.silent_for().is_some()
    });
    let first = case.watched.silent_for().unwrap();
    within(SOON, "silence lasts", || {
        case.watched.silent_for().is_some_and(|now| now > first)
    });
    case.be_silent(false);
    within(SOON, "the watch hears it", || {
        case.watched.silent_for().is_none()
    });
}

#[test]
fn a_refusal_is_an_answer() {
    let case = Case::new(Duration::ZERO);
    let request = DescribeKeyRequest {
        key_id: "alias/none".to_owned(),
        ..DescribeKeyRequest::default()
    };
    let refused = case.watched.describe_key(&case.caller, &request);
    assert!(matches!(refused, Err(KmsError::NotFound(_))));
    assert_eq!(case.watched.silent_for(), None);
}

#[test]
fn an_epoch_is_believed_for_its_time_and_no_longer() {
    let case = Case::new(Duration::from_secs(2));
    let epoch = case.watched.epoch().unwrap();
    case.create_key().unwrap();
    assert_eq!(case.watched.epoch(), Ok(epoch), "asked a moment ago");
    case.be_silent(true);
    assert!(case.create_key().is_err());
    assert_eq!(
        case.watched.epoch(),
        Ok(epoch),
        "believed while it is silent"
    );
    within(SOON, "belief ends", || case.watched.epoch().is_err());
    case.be_silent(false);
    within(SOON, "the new epoch arrives", || {
        case.watched.epoch().is_ok_and(|now| now > epoch)
    });
}
