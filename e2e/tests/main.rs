//! The program against real registries, containers and tools; one file a subject.

mod bases;
mod build_chroot;
mod build_inplace;
mod build_overlay;
mod checks;
mod copy_semantics;
mod dockerfile;
mod early_push;
mod failure;
mod fetch;
mod hiding;
mod hostile;
mod outputs;
mod own_images;
mod parallel;
mod platforms;
mod probing;
mod push;
mod registry_faults;
mod reproducible;
mod rootless;
mod run;
mod snapshots;
mod terminal;
mod trouble;
mod userns;
