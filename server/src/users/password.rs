//! Passwords: hashed with argon2id, and remembered while the server runs.

use std::collections::HashMap;
use std::fmt;

use argon2::Argon2;
use argon2::password_hash::rand_core::{OsRng, RngCore};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::set::Problem;

/// Bytes that make the digests of one process useless to another.
const PEPPER_BYTES: usize = 32;

/// The hash of a password, in the PHC string format; takes some 20 ms and 19 MiB, on purpose.
///
/// # Errors
/// [`Problem::Hash`].
pub(super) fn hash(password: &str) -> Result<String, Problem> {
    let salt = SaltString::generate(&mut OsRng);
    let hashed = Argon2::default().hash_password(password.as_bytes(), &salt);
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| Problem::Hash(error.to_string()))
}

/// Whether a password has this hash; takes as long as [`hash`].
pub(super) fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        let checked = Argon2::default().verify_password(password.as_bytes(), &hash);
        checked.is_ok()
    })
}

/// Passwords that were found right, as digests: a client sends its password with every request,
/// and each would cost what [`hash`] costs.
pub(crate) struct Verified {
    pepper: [u8; PEPPER_BYTES],
    /// By user: the hash that the password had, and the password's digest.
    known: Mutex<HashMap<String, (String, [u8; 32])>>,
    /// What the password of a user that is not there is compared with, so that the time that it
    /// takes does not tell who is there.
    nobody: std::sync::OnceLock<String>,
}

impl Default for Verified {
    fn default() -> Self {
        let mut pepper = [0; PEPPER_BYTES];
        OsRng.fill_bytes(&mut pepper);
        Self {
            pepper,
            known: Mutex::default(),
            nobody: std::sync::OnceLock::new(),
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

impl Verified {
    /// Whether the password is the user's, whose hash this is; none: there is no such user.
    pub(super) fn check(&self, name: &str, password: &str, hash: Option<&str>) -> bool {
        let Some(hash) = hash else {
            let nobody = self
                .nobody
                .get_or_init(|| self::hash("nobody").unwrap_or_default());
            matches(password, nobody);
            return false;
        };
        if self.is_known(name, password, hash) {
            return true;
        }
        let right = matches(password, hash);
        if right {
            let digest = self.digest(password);
            let mut known = self.known.lock();
            known.insert(name.to_owned(), (hash.to_owned(), digest));
        }
        right
    }

    /// Whether it was found right before.
    pub(super) fn is_known(&self, name: &str, password: &str, hash: &str) -> bool {
        let digest = self.digest(password);
        self.known.lock().get(name).is_some_and(|(had, known)| {
            had == hash && bool::from(known.as_slice().ct_eq(digest.as_slice()))
        })
    }

    /// Forgets everything: users have changed.
    pub(super) fn forget(&self) {
        self.known.lock().clear();
    }

    fn digest(&self, password: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.pepper)
            .chain_update(password)
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_only_with_its_hash() {
        let verified = Verified::default();
        let (first, second) = (hash("secret").unwrap(), hash("secret").unwrap());
        assert_ne!(first, second, "each has its own salt");
        assert!(!verified.is_known("ann", "secret", &first));
        assert!(!verified.check("ann", "wrong", Some(&first)));
        assert!(verified.check("ann", "secret", Some(&first)));
        assert!(verified.is_known("ann", "secret", &first));
        for (name, password, hash) in [
            ("bob", "secret", &first),
            ("ann", "Secret", &first),
            ("ann", "secret", &second),
        ] {
            assert!(!verified.is_known(name, password, hash));
        }
        verified.forget();
        assert!(!verified.is_known("ann", "secret", &first));
    }

    #[test]
    fn nobody_is_there_with_any_password() {
        let verified = Verified::default();
        assert!(!verified.check("", "nobody", None));
        let compared = verified.nobody.get();
        assert!(compared.is_some(), "a hash is compared for nobody, too");
        assert!(!matches("x", "no hash"));
    }
}
