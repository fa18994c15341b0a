//! Devices that steps may be given.

use std::path::PathBuf;

/// A device, and what a step is given with it: the `containerEdits` of its spec (Container Device
/// Interface).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepDevice {
    /// Its whole name, such as `vendor.com/class=name`.
    pub name: String,
    /// A name that several of its kind may have (BuildKit's `org.mobyproject.buildkit.device.class`).
    pub class: Option<String>,
    /// Whether every step may have it (BuildKit's `org.mobyproject.buildkit.device.autoallow`).
    pub allowed: bool,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Device nodes, files and directories.
    pub files: Vec<DeviceFile>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// What the spec asks for besides, and no step is given.
    pub beyond: Option<String>,
}

/// Something of this machine that a step finds in its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFile {
    /// Where it is.
    pub source: PathBuf,
    /// Where the step finds it, from the root without leading slash, without `.` and `..`.
    pub target: PathBuf,
    /// Whether the step may not write to it.
    pub read_only: bool,
}

/// The devices that there are, and which of them steps may have.
#[derive(Debug, Clone, Default)]
pub struct DevicesConfig {
    /// Those of all specs, by name.
    pub known: Vec<StepDevice>,
    /// Specs that cannot be used, and why.
    pub faults: Vec<String>,
    /// Steps may have every device.
    pub allow_all: bool,
    /// Devices that steps may have, named as a step names them.
    pub allow: Vec<String>,
}
