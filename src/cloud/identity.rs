//! Identities: what proves who we are, where it came from, and until when it is good.

use std::time::{Duration, Instant};

use super::CloudError;

/// An identity is renewed this long before its end, so that a request does not outlive it.
const MARGIN: Duration = Duration::from_secs(120);
/// Longer lives are not believed.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Something that proves who we are.
#[derive(Clone)]
pub(super) struct Identity<T> {
    /// The secret.
    pub(super) secret: T,
    /// What logs and errors call the place it came from.
    pub(super) source: String,
    /// When to ask for a new one.
    pub(super) until: Option<Instant>,
}

impl<T> Identity<T> {
    /// One that is good for ever.
    pub(super) fn lasting(secret: T, source: impl Into<String>) -> Self {
        Identity { secret, source: source.into(), until: None }
    }

    /// One that is good for so many seconds.
    pub(super) fn passing(secret: T, source: impl Into<String>, seconds: u64) -> Self {
        Identity { secret, source: source.into(), until: Some(renewal(Duration::from_secs(seconds))) }
    }

    fn is_good(&self) -> bool {
        self.until.is_none_or(|until| until > Instant::now())
    }
}

/// When something that lives so long from now is to be renewed.
pub(super) fn renewal(life: Duration) -> Instant {
    let life = life.min(LONGEST);
    Instant::now() + (life - MARGIN.min(life / 4))
}

/// Seconds from now until a time in seconds since 1970.
pub(super) fn seconds_until(time: f64) -> u64 {
    let now = jiff::Timestamp::now().as_second() as f64;
    (time - now).max(0.0) as u64
}

/// The identity of a cloud: asked for once, however many want it, and again when it ends.
pub(super) struct Kept<T> {
    slot: tokio::sync::Mutex<Option<Identity<T>>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept { slot: tokio::sync::Mutex::new(None) }
    }
}

impl<T: Clone> Kept<T> {
    /// The identity, found anew where the last one ends.
    pub(super) async fn get(
        &self,
        find: impl Future<Output = Result<Identity<T>, CloudError>>,
    ) -> Result<Identity<T>, CloudError> {
        let mut slot = self.slot.lock().await;
        if let Some(known) = slot.as_ref().filter(|known| known.is_good()) {
            return Ok(known.clone());
        }
        let found = find.await?;
        *slot = Some(found.clone());
        Ok(found)
    }
}

/// What a registry is shown.
#[derive(Clone)]
pub(crate) struct Login {
    /// User name; none for an identity token.
    pub(crate) username: Option<String>,
    /// Password or identity token.
    pub(crate) secret: String,
    /// What logs and errors call the place it came from.
    pub(crate) source: String,
    /// When to ask for a new one.
    pub(crate) until: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn identities_are_kept_until_their_end() {
        let kept: Kept<u32> = Kept::default();
        let found = |n, seconds| async move { Ok(Identity::passing(n, "test", seconds)) };
        assert_eq!(kept.get(found(1, 0)).await.map(|i| i.secret).ok(), Some(1));
        assert_eq!(kept.get(found(2, 3600)).await.map(|i| i.secret).ok(), Some(2));
        assert_eq!(kept.get(found(3, 3600)).await.map(|i| i.secret).ok(), Some(2));
    }
}
