use zeroize::ZeroizeOnDrop;

/// A 256-bit secret, wiped when dropped. It has no `Clone`, `Debug` or `Display`, so it cannot
/// reach a log, an error or a second place in memory by accident.
#[derive(ZeroizeOnDrop)]
pub struct SecretKey(Box<[u8; Self::LEN]>);

impl SecretKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A fresh key from the operating system's generator.
    pub fn generate() -> Self {
        let mut key = Self(Box::new([0; Self::LEN]));
        super::random::fill(&mut key.0[..]);
        key
    }

    /// Takes a key out of `bytes`, which are wiped. `None` unless there are exactly 32.
    pub fn take_from(bytes: &mut [u8]) -> Option<Self> {
        let mut key = Self(Box::new([0; Self::LEN]));
        let taken = bytes.len() == Self::LEN;
        if taken {
            key.0.copy_from_slice(bytes);
        }
        zeroize::Zeroize::zeroize(bytes);
        taken.then_some(key)
    }

    /// The raw bytes, for a cipher or a derivation. Never for output.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}
