//! How much a server takes on, and for how long it waits. What is beyond costs next to nothing.

use std::time::Duration;

/// The longest request body: a key policy of 128 KiB (the API's own limit), escaped.
pub(super) const MAX_BODY: usize = 1 << 20;
/// Connections open at once at one door, if the limit of open files allows; more are told to come
/// back.
pub(super) const CONNECTIONS: usize = 2048;
/// Requests of one door worked on at once, the reading of their bodies included; more are throttled.
pub(super) const REQUESTS: usize = 512;
/// Operations of one door that wait for the disk or compute for long, at once.
pub(super) const BLOCKING: usize = 16;
/// Requests at once on one HTTP/2 connection.
pub(super) const STREAMS: u32 = 128;
/// How long requests under way may take to finish when the service ends.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// How long a client may take for its part of a TLS handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a client on TCP may take to send the head of a request, the wait between two requests
/// included. A connection on which none begins and none is worked on for so long is closed.
pub(super) const TCP_HEAD: Duration = Duration::from_secs(30);
/// The same on a Unix socket, where connections are kept for the next use of a mount.
pub(super) const UNIX_HEAD: Duration = Duration::from_mins(5);
/// How long a client may take to send a body.
pub(super) const BODY: Duration = Duration::from_secs(10);
/// The longest head of a request: a forwarded caller in many groups takes some.
pub(super) const MAX_HEAD: usize = 128 << 10;
