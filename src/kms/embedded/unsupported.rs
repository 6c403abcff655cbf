//! The operations that this service refuses: it has no custom key stores.

use super::{Done, Embedded, trail::Trail};
use crate::kms::{KmsError, api};

macro_rules! refuse {
    ($why:literal: $($method:ident($request:ident) -> $response:ident;)+) => {
        impl Embedded {
            $(
                pub(super) fn $method<'a>(
                    &'a self,
                    _trail: &mut Trail<'a>,
                    _request: &'a api::$request,
                ) -> Result<Done<'a, api::$response>, KmsError> {
                    Err(KmsError::Unsupported($why.to_owned()))
                }
            )+
        }
    };
}

refuse! { "Custom key stores are not supported by this version of kmsfs.":
    create_custom_key_store(CustomKeyStoreRequest) -> Empty;
    delete_custom_key_store(CustomKeyStoreRequest) -> Empty;
    describe_custom_key_stores(CustomKeyStoreRequest) -> Empty;
    update_custom_key_store(CustomKeyStoreRequest) -> Empty;
    connect_custom_key_store(CustomKeyStoreRequest) -> Empty;
    disconnect_custom_key_store(CustomKeyStoreRequest) -> Empty;
}
