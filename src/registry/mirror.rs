//! Mirrors: other places that have the images of a registry, asked before the registry itself.
//!
//! Only pulls use them. What a mirror must prove is what a registry must prove, digest and size;
//! credentials are those of the mirror's own host.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RegistryError;
use super::client::Client;
use super::error::name;
use super::retry::Patience;
use crate::config::{Mirror, RegistryConfig};
use crate::image::{Reference, is_same_registry};

/// A repository: registry and name.
type Repository = (String, String);

/// The mirrors of all registries, and how they did so far.
pub(super) struct Mirrors {
    all: Vec<Mirror>,
    /// Whether the registry itself is left out where there is a mirror.
    only: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Hosts that did not answer: asked last from then on.
    silent: HashSet<String>,
    /// Places that sent something else than was asked for: not asked again.
    wrong: HashSet<Repository>,
    /// Where a repository's images were last had from: asked first.
    good: HashMap<Repository, Repository>,
    /// Repositories that were asked for.
    wanted: HashSet<Repository>,
    /// How often a place sent something wrong.
    lies: u64,
}

impl Mirrors {
    pub(super) fn new(config: &RegistryConfig) -> Self {
        Mirrors { all: config.mirrors.clone(), only: config.mirrors_only, state: Mutex::default() }
    }

    /// Where an image can be had, in the order to ask in; never empty.
    pub(super) fn places(&self, reference: &Reference) -> Vec<Reference> {
        let mut places = self.all_places(reference);
        if places.len() < 2 {
            return places;
        }
        let mut state = self.state();
        state.wanted.insert(repository(reference));
        let good = state.good.get(&repository(reference)).cloned();
        if !places.iter().all(|place| state.wrong.contains(&repository(place))) {
            places.retain(|place| !state.wrong.contains(&repository(place)));
        }
        // The sort is stable: otherwise the order is the configuration's.
        places.sort_by_key(|place| {
            (good.as_ref() != Some(&repository(place)), state.silent.contains(place.registry()))
        });
        places
    }

    /// Every place of every repository that was asked for until now.
    pub(super) fn all_wanted(&self) -> Vec<Reference> {
        let wanted: Vec<Repository> = self.state().wanted.iter().cloned().collect();
        let references =
            wanted.iter().filter_map(|(registry, name)| format!("{registry}/{name}").parse().ok());
        references.flat_map(|reference: Reference| self.all_places(&reference)).collect()
    }

    fn all_places(&self, reference: &Reference) -> Vec<Reference> {
        let is_of = |mirror: &&Mirror| is_same_registry(&mirror.of, reference.registry());
        let at = |mirror: &Mirror| {
            reference.clone_at(&mirror.host, &format!("{}{}", mirror.prefix, reference.repository()))
        };
        let mut places: Vec<Reference> = Vec::new();
        for place in self.all.iter().filter(is_of).map(at) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        if (places.is_empty() || !self.only) && !places.contains(reference) {
            places.push(reference.clone());
        }
        places
    }

    /// Notes where an image was had from.
    pub(super) fn served(&self, reference: &Reference, place: &Reference) {
        if self.all.is_empty() {
            return;
        }
        self.state().good.insert(repository(reference), repository(place));
    }

    /// The mirror that an image was last had from.
    pub(super) fn served_from(&self, reference: &Reference) -> Option<Reference> {
        let place = self.state().good.get(&repository(reference)).cloned()?;
        Some(reference.clone_at(&place.0, &place.1)).filter(|place| place != reference)
    }

    /// Notes that a place failed.
    pub(super) fn failed(&self, reference: &Reference, place: &Reference, error: &RegistryError) {
        let mut state = self.state();
        let key = repository(reference);
        if state.good.get(&key) == Some(&repository(place)) {
            state.good.remove(&key);
        }
        if error.is_down() {
            state.silent.insert(place.registry().to_owned());
        }
        if error.is_wrong_content() {
            state.wrong.insert(repository(place));
            state.lies += 1;
        }
    }

    /// How often a place sent something else than was asked for.
    pub(super) fn lies(&self) -> u64 {
        self.state().lies
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether mirrors are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Before the registry itself.
    Mirrors,
    /// Only the registry itself: what is read was written there.
    Origin,
}

/// One image looked for at its places, one after the other.
pub(super) struct Search<'a> {
    client: &'a Client,
    reference: &'a Reference,
    left: std::vec::IntoIter<Reference>,
    failures: Vec<(String, RegistryError)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(client: &'a Client, reference: &'a Reference, mirrors: Use) -> Self {
        let places = match mirrors {
            Use::Mirrors => client.mirrors.places(reference),
            Use::Origin => vec![reference.clone()],
        };
        Search { client, reference, left: places.into_iter(), failures: Vec::new() }
    }

    /// The next place, and how patiently to ask it: less where another follows.
    pub(super) fn next(&mut self) -> Option<(Reference, Patience)> {
        let place = self.left.next()?;
        let patience = self.client.download;
        Some((place, if self.has_more() { patience.with_alternative(&self.client.config) } else { patience }))
    }

    /// Whether there is another place to ask.
    pub(super) fn has_more(&self) -> bool {
        !self.left.as_slice().is_empty()
    }

    /// Notes that a place failed.
    pub(super) fn failed(&mut self, place: Reference, error: RegistryError) {
        if self.has_more() || !self.failures.is_empty() {
            self.client.mirrors.failed(self.reference, &place, &error);
        }
        if let Some(next) = self.left.as_slice().first() {
            let text = format!("{} cannot be had from {}", name(self.reference), place.registry());
            self.client.events.warn(format!("{text}: {}; asking {}", error.reason(), next.registry()));
        }
        self.failures.push((place.registry().to_owned(), error));
    }

    /// Why nobody gave it.
    pub(super) fn error(mut self, what: String) -> RegistryError {
        match (self.failures.len(), self.failures.pop()) {
            (1, Some((_, error))) => error,
            (_, last) => {
                self.failures.extend(last);
                RegistryError::Nowhere { what, failures: self.failures }
            }
        }
    }
}

fn repository(reference: &Reference) -> Repository {
    (reference.registry().to_owned(), reference.repository().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ConnectionKind;

    fn mirror(of: &str, host: &str, prefix: &str) -> Mirror {
        Mirror { of: of.to_owned(), host: host.to_owned(), prefix: prefix.to_owned() }
    }

    fn mirrors(only: bool) -> Mirrors {
        let all = vec![
            mirror("index.docker.io", "m1.example:5000", ""),
            mirror("docker.io", "m2.example", "hub/proxy/"),
            mirror("gcr.io", "m2.example", "gcr/"),
            mirror("gcr.io", "gcr.io", ""),
        ];
        Mirrors::new(&RegistryConfig { mirrors: all, mirrors_only: only, ..RegistryConfig::default() })
    }

    fn places(mirrors: &Mirrors, image: &str) -> Vec<String> {
        let image: Reference = image.parse().expect("a reference");
        mirrors.places(&image).iter().map(Reference::to_string).collect()
    }

    #[test]
    fn places_in_order() {
        let hub = ["m1.example:5000/library/debian:12", "m2.example/hub/proxy/library/debian:12"];
        let origin = "docker.io/library/debian:12";
        assert_eq!(places(&mirrors(false), "debian:12"), [hub[0], hub[1], origin]);
        assert_eq!(places(&mirrors(true), "debian:12"), hub);
        let named = "registry-1.docker.io/library/debian:12";
        assert_eq!(places(&mirrors(false), named), [hub[0], hub[1], named]);
        // One without a mirror is always asked.
        assert_eq!(places(&mirrors(true), "quay.io/a/b:1"), ["quay.io/a/b:1"]);
        // Its own mirror is asked once.
        assert_eq!(places(&mirrors(false), "gcr.io/a:1"), ["m2.example/gcr/a:1", "gcr.io/a:1"]);
        assert_eq!(places(&mirrors(true), "gcr.io/a:1"), ["m2.example/gcr/a:1", "gcr.io/a:1"]);
        let digest = format!("debian@sha256:{}", "0".repeat(64));
        assert!(places(&mirrors(true), &digest)[0].ends_with(&format!("library/{digest}")));
    }

    #[test]
    fn the_order_follows_experience() {
        let mirrors = mirrors(false);
        let image: Reference = "debian:12".parse().expect("a reference");
        let all = mirrors.places(&image);
        let down = RegistryError::Connection {
            what: String::new(),
            host: String::new(),
            reason: String::new(),
            kind: ConnectionKind::Network,
        };
        mirrors.failed(&image, &all[0], &down);
        assert_eq!(mirrors.places(&image), [all[1].clone(), all[2].clone(), all[0].clone()]);
        mirrors.served(&image, &all[2]);
        assert_eq!(mirrors.places(&image), [all[2].clone(), all[1].clone(), all[0].clone()]);
        let wrong = RegistryError::Size { what: String::new(), expected: 1, found: 2 };
        mirrors.failed(&image, &all[2], &wrong);
        assert_eq!(mirrors.places(&image), [all[1].clone(), all[0].clone()]);
        // For another image the silent one is still silent, and nobody lied.
        assert_eq!(places(&mirrors, "alpine:3").len(), 3);
        assert!(places(&mirrors, "alpine:3")[2].starts_with("m1.example"));
        mirrors.failed(&image, &all[0], &wrong);
        mirrors.failed(&image, &all[1], &wrong);
        assert_eq!(mirrors.places(&image).len(), 3, "some place is always asked");
    }
}
