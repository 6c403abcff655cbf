//! The mount: FUSE requests in, replies out. What a request means is [`crate::fs`]'s business.

mod adapter;
mod attach;
mod convert;
mod errno;
mod listing;
mod live;
mod negotiate;
mod pool;
mod reply;
mod session;
mod tuning;

pub use attach::{AttachOptions, MountError, detach, remount};
pub use live::{LiveMount, find, mounts};
pub use session::{Mounted, Plan};
