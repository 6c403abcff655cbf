//! The filesystem without a mount: a real backing directory, the real embedded key service, a real
//! audit log, and a policy that lets everyone do everything.

mod boundaries;
mod disk;
mod faults;
mod hostile;
mod model;
mod operations;
mod ops;
mod pair;
mod power;
mod random;
mod settling;
mod snapshot;
mod torn;
mod world;
