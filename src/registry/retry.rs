//! Which failures pass by themselves, and how long to wait for it.

use std::fmt::Display;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::RegistryError;
use crate::config::RegistryConfig;
use crate::event::Events;

/// Attempts of an operation when nothing is configured.
const ATTEMPTS: u32 = 4;

/// Pause where the other side asks for more than anybody waits: it may come back sooner.
const HOPELESS_PAUSE: Duration = Duration::from_secs(60);
/// Attempts at one server where another may do as well.
const ALTERNATIVE_ATTEMPTS: u32 = 2;
/// Longest pause that such a server can ask for.
const ALTERNATIVE_PAUSE: Duration = Duration::from_secs(3);

/// Why one attempt failed, and whether another may do better.
#[derive(Debug)]
pub(crate) struct Failure<E = RegistryError> {
    pub(crate) error: Box<E>,
    pub(crate) transient: bool,
    /// How long the other side wants to be left alone.
    pub(crate) after: Option<Duration>,
}

impl<E> Failure<E> {
    pub(crate) fn transient(error: E) -> Self {
        Failure { transient: true, ..Failure::from(error) }
    }
}

impl<E> From<E> for Failure<E> {
    /// A failure that stays.
    fn from(error: E) -> Self {
        Failure { error: Box::new(error), transient: false, after: None }
    }
}

/// How often and how patiently to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Attempts in all.
    pub(super) attempts: u32,
    /// Pause before the second attempt; doubled before each further one.
    pub(super) pause: Duration,
    /// Longest pause of our own.
    pub(super) longest: Duration,
    /// Longest pause the other side can ask for.
    pub(super) longest_asked: Duration,
}

impl Patience {
    /// The default, with this many attempts more.
    pub(super) fn with_more(attempts: u32) -> Self {
        Patience {
            attempts: ATTEMPTS.saturating_add(attempts),
            pause: Duration::from_millis(500),
            longest: Duration::from_secs(15),
            longest_asked: Duration::from_secs(300),
        }
    }

    /// The patience with one server where another may do as well.
    pub(super) fn with_alternative(self, config: &RegistryConfig) -> Self {
        Patience {
            attempts: ALTERNATIVE_ATTEMPTS.saturating_add(config.download_retry).min(self.attempts),
            longest_asked: self.longest_asked.min(ALTERNATIVE_PAUSE),
            ..self
        }
    }

    /// Repeats an operation while its failures are transient.
    pub(super) async fn retry<T, F>(
        &self,
        events: &Events,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = Tries::new(*self);
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => tries.pause(failure, events).await?,
            }
        }
    }
}

/// The attempts made so far at one operation.
pub(crate) struct Tries {
    patience: Patience,
    failed: u32,
}

impl Tries {
    pub(crate) fn new(patience: Patience) -> Self {
        Tries { patience, failed: 0 }
    }

    /// Forgets the failures: the operation got somewhere.
    pub(crate) fn forget(&mut self) {
        self.failed = 0;
    }

    /// Waits until the next attempt is due.
    ///
    /// # Errors
    /// The failure, if it stays or the attempts are used up.
    pub(crate) async fn pause<E: Display>(&mut self, failure: Failure<E>, events: &Events) -> Result<(), E> {
        self.failed += 1;
        if !failure.transient || self.failed >= self.patience.attempts {
            return Err(*failure.error);
        }
        let pause = match failure.after {
            Some(asked) if asked <= self.patience.longest_asked => asked,
            Some(_) => self.patience.longest_asked.min(HOPELESS_PAUSE),
            None => self.own_pause(),
        };
        events.info(format!("{}; trying again in {:.1} s", failure.error, pause.as_secs_f64()));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Doubles each time; a quarter of it is chance, so that parallel transfers of many builds
    /// do not come back at the same moment.
    fn own_pause(&self) -> Duration {
        let doubled = self.patience.pause.saturating_mul(1 << (self.failed - 1).min(16));
        let pause = doubled.min(self.patience.longest);
        // Every RandomState has keys of its own: chance enough, without another crate.
        let chance = (RandomState::new().build_hasher().finish() % 1024) as f64 / 1024.0;
        pause.mul_f64(0.75 + chance / 4.0)
    }
}

/// Whether the same request may be answered otherwise later. 499 and 522 come from nginx and
/// Cloudflare before registries.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// The pause an answer asks for: seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let seconds = date.duration_since(jiff::Timestamp::now()).as_secs();
    Some(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().expect("a header"));
        retry_after(&headers)
    }

    #[test]
    fn pauses_asked_for() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let far = asked("Fri, 06 Nov 2099 08:49:37 GMT").expect("a date");
        assert!(far > Duration::from_secs(365 * 86_400), "{far:?}");
        for text in ["soon", "-1", "1.5", ""] {
            assert_eq!(asked(text), None, "{text}");
        }
    }

    #[test]
    fn own_pauses_grow_to_a_limit() {
        let patience = Patience::with_more(60);
        let mut tries = Tries::new(patience);
        for (failed, most) in [(1, 0.5), (2, 1.0), (3, 2.0), (6, 15.0), (64, 15.0)] {
            tries.failed = failed;
            let pause = tries.own_pause().as_secs_f64();
            assert!((most * 0.75..=most).contains(&pause), "{failed}: {pause}");
        }
    }

    #[test]
    fn statuses() {
        let transient: Vec<u16> =
            (100..600).filter(|s| is_transient(StatusCode::from_u16(*s).expect("a status"))).collect();
        assert_eq!(transient, [408, 429, 499, 500, 502, 503, 504, 522]);
    }
}
