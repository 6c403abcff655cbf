//! Nonces for block encryption: 24 random bytes each, from a generator in user space.

use std::cell::RefCell;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A 192-bit nonce. Random nonces of this length may be drawn without counting: after 2^80 of them
/// the chance of a repetition is 2^-33 (C2SP XAES-256-GCM).
#[derive(Clone, Copy)]
pub struct Nonce([u8; Self::LEN]);

impl Nonce {
    /// Length in bytes.
    pub const LEN: usize = 24;

    /// A nonce read back from where it was stored.
    pub fn from_stored(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes to store beside the ciphertext.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

thread_local! {
    static GENERATOR: RefCell<Generator> = RefCell::new(Generator::seeded());
}

/// How many nonces one seed serves before the system is asked for another.
const RESEED_AFTER: u32 = 1 << 20;

struct Generator {
    rng: ChaCha20Rng,
    left: u32,
    process: u32,
}

impl Generator {
    fn seeded() -> Self {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        super::random::fill(&mut seed[..]);
        Self {
            rng: ChaCha20Rng::from_seed(*seed),
            left: RESEED_AFTER,
            process: std::process::id(),
        }
    }
}

/// Draws nonces from the calling thread's `ChaCha20` generator, seeded by the system.
///
/// `ChaCha20` costs 30 ns a nonce where the system-backed generator costs half a microsecond, more than
/// the block it serves.
pub struct NonceSource;

impl NonceSource {
    /// A fresh nonce.
    pub fn draw() -> Nonce {
        GENERATOR.with_borrow_mut(|generator| {
            // A forked child must not repeat its parent's stream.
            if generator.left == 0 || generator.process != std::process::id() {
                *generator = Generator::seeded();
            }
            generator.left -= 1;
            let mut nonce = Nonce([0; Nonce::LEN]);
            generator.rng.fill_bytes(&mut nonce.0);
            nonce
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_do_not_repeat_within_or_across_threads() {
        let draw = || {
            (0..10_000)
                .map(|_| *NonceSource::draw().as_bytes())
                .collect::<Vec<_>>()
        };
        let mut all = draw();
        all.extend(std::thread::spawn(draw).join().unwrap());
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
