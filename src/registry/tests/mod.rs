//! The client against a registry that is slow, rude, or wrong.

mod auth;
mod chunked;
mod cuts;
mod fake;
mod growing;
mod http2;
mod mirror;
mod pull;
mod push;
mod quirks;
mod sessions;
mod tls;

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::cloud::Clouds;
use crate::config::{CredentialLocation, CredentialSource, KeychainConfig};
use crate::event::{Event, EventSink, TransferEnd};
use crate::image::{Digest, MediaType, Reference};
use fake::Fake;

/// A client with little patience, and what it said.
struct Bench {
    network: Network,
    registry: Registry,
    events: Arc<Recorder>,
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().expect("unpoisoned").push(event);
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(RegistryConfig::default(), KeychainConfig::default())
    }

    /// With a config.json that has one entry for a registry.
    fn with_entry(registry: &str, entry: &str) -> Self {
        let text = format!(r#"{{"auths":{{"{registry}":{entry}}}}}"#);
        let source = CredentialSource {
            name: "the test's file".to_owned(),
            location: CredentialLocation::Inline(text),
        };
        Self::with(
            RegistryConfig::default(),
            KeychainConfig { sources: vec![source], ..KeychainConfig::default() },
        )
    }

    fn with(config: RegistryConfig, keychain: KeychainConfig) -> Self {
        // Longer than any test takes on a busy machine.
        Self::with_silence(config, keychain, Duration::from_secs(60))
    }

    /// One that bears silence for this long.
    fn with_silence(config: RegistryConfig, keychain: KeychainConfig, silence: Duration) -> Self {
        let recorder = Arc::new(Recorder::default());
        let events = Events::new(recorder.clone());
        let network = Network::new().expect("threads");
        let clouds = Clouds::new(&keychain.clouds, &config, &network, events.clone());
        let keychain = Keychain::new(&keychain, clouds, events.clone()).expect("a keychain");
        let patience = Patience {
            attempts: 3,
            pause: Duration::from_millis(1),
            longest: Duration::from_millis(5),
            longest_asked: Duration::from_millis(200),
        };
        let limits = Limits { answer: silence, sending: silence, commit: silence };
        let registry = Registry::with(&config, keychain, events, &network, patience, patience, limits);
        Bench { network, registry: registry.expect("a registry"), events: recorder }
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        self.network.block_on(future)
    }

    /// All bytes of a blob through the sink.
    fn pull(&self, from: &Reference, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        self.run(self.registry.blob_bytes(from, descriptor, u64::MAX))
    }

    fn ends(&self) -> Vec<TransferEnd> {
        let events = self.events.0.lock().expect("unpoisoned");
        events
            .iter()
            .filter_map(|e| if let Event::TransferFinished { end, .. } = e { Some(*end) } else { None })
            .collect()
    }

    fn said(&self) -> String {
        let events = self.events.0.lock().expect("unpoisoned");
        events.iter().map(|e| format!("{e:?}\n")).collect()
    }
}

fn reference(fake: &Fake, rest: &str) -> Reference {
    format!("{}/{rest}", fake.address).parse().expect("a reference")
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::from(MediaType::OCI_LAYER), bytes)
}

/// Bytes that a mixed-up order would change.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn in_memory(bytes: &[u8]) -> Blob {
    Blob { descriptor: descriptor(bytes), content: BlobContent::Bytes(Bytes::copy_from_slice(bytes)) }
}
