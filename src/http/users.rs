//! Who may ask: user names and bcrypt hashes of passwords, checked off the async thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{hmac, rand};
use tokio::sync::Semaphore;

/// Verdicts that are kept, so that a scrape does not cost a tenth of a second of hashing. Wrong guesses fill it too:
/// then all are forgotten, and each user's next request is hashed again.
const KEPT: usize = 100;

/// Requests that may wait for a hash; one is computed at a time.
const WAITING: usize = 16;

/// A salt and a hash that belong to no password that anyone was given.
const NOBODY: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// The users of a web configuration.
#[derive(Debug)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// What a user that there is not is checked against: it takes as long as the dearest of the others.
    nobody: String,
    key: hmac::Key,
    verdicts: Mutex<HashMap<[u8; 32], bool>>,
    waiting: Semaphore,
    hashing: Semaphore,
}

/// The cost of a bcrypt hash, as a power of two.
///
/// # Errors
/// What is wrong with it.
pub(super) fn cost(hash: &str) -> Result<u32, &'static str> {
    match hash.parse::<bcrypt::HashParts>() {
        Ok(parts) if (4..=31).contains(&parts.get_cost()) => Ok(parts.get_cost()),
        Ok(_) => Err("the cost of this bcrypt hash is not between 4 and 31"),
        Err(_) => Err("this is no bcrypt hash"),
    }
}

impl Users {
    /// Users by name with the hashes of their passwords, which [`cost`] has found good.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Users, ring::error::Unspecified> {
        let dearest = hashes.values().filter_map(|hash| cost(hash).ok()).max().unwrap_or(bcrypt::DEFAULT_COST);
        Ok(Users {
            hashes,
            nobody: format!("$2b${dearest:02}${NOBODY}"),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?,
            verdicts: Mutex::default(),
            waiting: Semaphore::new(WAITING),
            hashing: Semaphore::new(1),
        })
    }

    pub(super) fn hashes(&self) -> &BTreeMap<String, String> {
        &self.hashes
    }

    /// Whether this `Authorization` names a user and its password.
    ///
    /// # Errors
    /// Too many requests wait for an answer to that.
    pub(super) async fn admit(self: &Arc<Users>, authorization: Option<&HeaderValue>) -> Result<bool, ()> {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Ok(false);
        };
        let hash = self.hashes.get(&user);
        // The passwords themselves are not kept, and neither is anything that could be tried against elsewhere.
        let mut tag = hmac::Context::with_key(&self.key);
        tag.update(&(user.len() as u64).to_le_bytes());
        tag.update(user.as_bytes());
        tag.update(&password);
        let tag: [u8; 32] = tag.sign().as_ref().try_into().map_err(drop)?;
        let known = || self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).copied();
        if let Some(verdict) = known() {
            return Ok(verdict);
        }
        let _waiting = self.waiting.try_acquire().map_err(drop)?;
        let _hashing = self.hashing.acquire().await.map_err(drop)?;
        if let Some(verdict) = known() {
            return Ok(verdict);
        }
        let (exists, checked) = (hash.is_some(), hash.unwrap_or(&self.nobody).clone());
        let verified = tokio::task::spawn_blocking(move || bcrypt::verify(&password, &checked));
        let verdict = matches!(verified.await, Ok(Ok(true))) && exists;
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= KEPT {
            verdicts.clear();
        }
        verdicts.insert(tag, verdict);
        Ok(verdict)
    }
}

/// The user and the password of a `Basic` authorization.
fn credentials(authorization: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut user = STANDARD.decode(encoded.trim()).ok()?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.pop();
    Some((String::from_utf8(user).ok()?, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Arc<Users> {
        let hash = bcrypt::hash("open sesame", 4).unwrap();
        Arc::new(Users::new([("alice".to_owned(), hash)].into()).unwrap())
    }

    fn basic(text: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    #[tokio::test]
    async fn admits_a_user_with_its_password_only() {
        let users = users();
        for (header, admitted) in [
            (basic("alice:open sesame"), true),
            (basic("alice:open sesame"), true),
            (basic("alice:open"), false),
            (basic("alice:"), false),
            (basic("alice"), false),
            (basic(":open sesame"), false),
            (basic("bob:open sesame"), false),
            (basic("bob:fakepassword"), false),
            (HeaderValue::from_static("Bearer YWxpY2U6b3BlbiBzZXNhbWU="), false),
            (HeaderValue::from_static("Basic %%%"), false),
            (HeaderValue::from_bytes(b"Basic \xff").unwrap(), false),
        ] {
            assert_eq!(users.admit(Some(&header)).await, Ok(admitted), "{header:?}");
        }
        assert_eq!(users.admit(None).await, Ok(false));
    }

    #[tokio::test]
    async fn verdicts_are_kept_and_bounded() {
        let users = users();
        for n in 0..2 * KEPT {
            assert_eq!(users.admit(Some(&basic(&format!("alice:{n}")))).await, Ok(false));
            assert!(users.verdicts.lock().unwrap().len() <= KEPT);
        }
        assert_eq!(users.admit(Some(&basic("alice:open sesame"))).await, Ok(true));
    }

    #[tokio::test]
    async fn a_flood_of_guesses_holds_up_no_one_who_was_admitted() {
        let users = users();
        assert_eq!(users.admit(Some(&basic("alice:open sesame"))).await, Ok(true));
        let _busy = users.hashing.acquire().await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|n| {
                let users = Arc::clone(&users);
                tokio::spawn(async move { users.admit(Some(&basic(&format!("alice:{n}")))).await })
            })
            .collect();
        while users.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(users.admit(Some(&basic("alice:more"))).await, Err(()));
        assert_eq!(users.admit(Some(&basic("alice:open sesame"))).await, Ok(true));
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_the_dearest() {
        let hashes = [("a", "04"), ("b", "12")].map(|(user, cost)| (user.to_owned(), format!("$2y${cost}${NOBODY}")));
        let users = Users::new(hashes.into()).unwrap();
        assert_eq!(cost(&users.nobody), Ok(12));
        assert_eq!(bcrypt::verify("x", &format!("$2b$04${NOBODY}")).ok(), Some(false));
    }

    #[test]
    fn only_bcrypt_is_a_hash() {
        assert_eq!(cost(&format!("$2y$04${NOBODY}")), Ok(4));
        assert!(cost("open sesame").is_err());
        assert!(cost(&format!("$2b$99${NOBODY}")).is_err());
        assert!(cost("$1$salt$hash").is_err());
        assert!(cost("").is_err());
    }
}
