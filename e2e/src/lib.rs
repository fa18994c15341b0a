//! What the end-to-end tests are made of: the program in each of its places, registries with
//! every way of asking who one is, and readers of images that know nothing of our code.
//!
//! `./test` prepares the machine and says in the environment where things are; nothing here
//! skips a test because something is missing.

mod authority;
mod build;
mod command;
mod connect;
mod container;
mod forge;
mod http;
mod image;
mod internet;
mod machine;
mod objects;
mod proxy;
mod registry;
mod runner;
mod signature;
pub mod tekton;
mod terminal;
mod token;
mod tools;
mod tree;
mod web;

pub use authority::Authority;
pub use build::{Build, Built, Place};
pub use command::{Finished, run, run_ok};
pub use connect::ConnectProxy;
pub use container::{Container, Running};
pub use forge::{Blob, Compress, ForgedImage, ForgedLayer};
pub use image::{Entry, Image, Kind, Layer, sha256};
pub use internet::{Internet, Near, Reply, Request};
pub use machine::{Base, program, scratch, state};
pub use objects::ObjectServer;
pub use proxy::{Fault, FaultyProxy, Rule};
pub use registry::Registry;
pub use runner::{Runner, Step, entries};
pub use signature::{ServiceKey, Signed, shared_key_is_right, sigv4_is_right};
pub use terminal::Terminal;
pub use token::TokenServer;
pub use tools::{podman_pull, podman_run, skopeo_inspect, skopeo_pull, skopeo_push, umoci_unpack};
pub use tree::{Node, Tree};
pub use web::{Page, WebServer};

/// Makes one test for each place of functions that take a [`Place`], in modules named after
/// the places.
#[macro_export]
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {
        $crate::everywhere!(@ overlay, Overlay: $($name),+);
        $crate::everywhere!(@ chroot, Chroot: $($name),+);
        $crate::everywhere!(@ user_namespace, UserNamespace: $($name),+);
        $crate::everywhere!(@ in_place, InPlace: $($name),+);
    };
    (@ $module:ident, $place:ident: $($name:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::Place::$place);
                }
            )+
        }
    };
}
