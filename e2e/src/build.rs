//! One build with the program, in one of the places where it must work.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::command::{Finished, run};
use crate::container::Container;
use crate::image::Image;
use crate::machine::{Base, program, scratch};
use crate::registry::Registry;

/// Where a build runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this machine as root: overlays in a mount namespace.
    Overlay,
    /// On this machine as root: plain trees in a mount namespace.
    Chroot,
    /// As root in a container whose seccomp profile allows namespaces: overlays in a user and
    /// mount namespace.
    UserNamespace,
    /// The same without a volume to work on: plain trees in a user and mount namespace.
    NoVolume,
    /// As root in a container with Docker's default profile: the container's own root.
    InPlace,
    /// As root in a container that may mount: overlays, as on a machine.
    MayMount,
}

impl Place {
    /// The places where every build must give the same, the quickest first.
    pub const ALL: [Place; 5] =
        [Place::Overlay, Place::Chroot, Place::UserNamespace, Place::NoVolume, Place::InPlace];

    /// Whether it is this machine, and no container.
    fn is_machine(self) -> bool {
        matches!(self, Place::Overlay | Place::Chroot)
    }

    fn isolation(self) -> &'static str {
        match self {
            Place::Overlay | Place::UserNamespace | Place::MayMount => "--isolation=overlay",
            Place::Chroot | Place::NoVolume => "--isolation=chroot",
            Place::InPlace => "--isolation=inplace",
        }
    }
}

/// A build to be run: a Dockerfile, its context, bases and flags.
pub struct Build {
    directory: Arc<TempDir>,
    bases: Vec<(String, PathBuf)>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    container: Container,
    destinations: Vec<String>,
    names: Vec<String>,
    isolation: bool,
    layout: bool,
}

impl Build {
    /// A build of this Dockerfile. `FROM busybox` and `FROM debian` are the bases of that name
    /// that `./test` prepared, given as OCI layouts.
    pub fn new(dockerfile: &str) -> Build {
        let directory = Arc::new(scratch());
        for name in ["context", "out", "work", "home"] {
            fs::create_dir(directory.path().join(name)).expect("a directory can be made");
        }
        let build = Build {
            directory,
            bases: Vec::new(),
            flags: Vec::new(),
            environment: Vec::new(),
            container: Container::tiny(),
            destinations: Vec::new(),
            names: vec!["example.com/image:latest".to_owned()],
            isolation: true,
            layout: true,
        };
        let build = build.file("Dockerfile", dockerfile);
        build.base("busybox", &Base::Busybox.layout()).base("debian", &Base::Debian.layout())
    }

    /// Adds a file of mode 0644 to the context.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Build {
        self.file_with_mode(path, 0o644, content)
    }

    /// Adds a file to the context.
    pub fn file_with_mode(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Build {
        let target = self.context().join(path);
        fs::create_dir_all(target.parent().expect("below the context")).expect("made");
        fs::write(&target, content).expect("the file can be written");
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).expect("the mode is set");
        self
    }

    /// Changes the context by a shell script that runs in it.
    pub fn prepare(self, script: &str) -> Build {
        let finished = run(Command::new("sh").args(["-euc", script]).current_dir(self.context()));
        assert_eq!(finished.code, 0, "{script}:\n{}", finished.output());
        self
    }

    /// Gives `--build-context NAME=oci-layout://…`; a later one of the same name wins.
    pub fn base(mut self, name: &str, layout: &Path) -> Build {
        self.bases.retain(|(other, _)| other != name);
        self.bases.push((name.to_owned(), layout.to_owned()));
        self
    }

    /// Adds a flag; `{out}` and `{context}` in it become the directories as the place sees them.
    pub fn flag(mut self, flag: &str) -> Build {
        self.flags.push(flag.to_owned());
        self
    }

    /// Sets a variable of the program's environment.
    pub fn env(mut self, name: &str, value: &str) -> Build {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Pushes to a repository of `registry` rather than nowhere.
    pub fn push(self, registry: &Registry, name: &str) -> Build {
        let reference = registry.reference(name);
        self.push_to(&reference)
    }

    /// Pushes to a reference, spoken to in plain HTTP.
    pub fn push_to(mut self, reference: &str) -> Build {
        let host = reference.split('/').next().expect("a reference has a host");
        self.flags.push(format!("--insecure-registry={host}"));
        self.destinations.push(reference.to_owned());
        self
    }

    /// Pushes to a reference, spoken to as it is without being told.
    pub fn destination(mut self, reference: &str) -> Build {
        self.destinations.push(reference.to_owned());
        self
    }

    /// Pushes to a reference, spoken to in HTTPS.
    pub fn push_securely_to(mut self, reference: &str) -> Build {
        self.destinations.push(reference.to_owned());
        self
    }

    /// Gives the image these names without pushing it; archives and layouts have them.
    pub fn named(mut self, names: &[&str]) -> Build {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Writes the docker configuration with credentials that the program finds in its home.
    pub fn docker_config(self, json: &str) -> Build {
        let directory = self.directory.path().join("home/.docker");
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join("config.json"), json).expect("written");
        self
    }

    /// Changes the container of the places that are one.
    pub fn container(mut self, change: impl FnOnce(Container) -> Container) -> Build {
        self.container = change(self.container);
        self
    }

    /// Leaves the choice of a placement to the program.
    pub fn any_isolation(mut self) -> Build {
        self.isolation = false;
        self
    }

    /// Writes no OCI layout, which would need the bytes of every layer.
    pub fn without_layout(mut self) -> Build {
        self.layout = false;
        self
    }

    /// The context's directory on this machine.
    pub fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    /// The output directory on this machine, `{out}` in flags.
    pub fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    /// Runs the build to its end.
    pub fn run(&self, place: Place) -> Built {
        // Root's choice may be to build in place, and the place would be this machine.
        assert!(self.isolation || !place.is_machine(), "on the machine the isolation must be given");
        let finished = if place.is_machine() {
            run(&mut self.host_command_for(place))
        } else {
            self.container_for(place).run(&self.arguments(place))
        };
        Built { finished, out: self.out(), place, directory: Arc::clone(&self.directory) }
    }

    /// Runs the build in every place and gives the images, each to be read until this goes.
    pub fn run_everywhere(&self) -> Vec<(Place, Image)> {
        let mut images = Vec::new();
        for place in Place::ALL {
            self.run(place).succeeded();
            let kept = self.directory.path().join(format!("{place:?}"));
            fs::rename(self.out(), &kept).expect("the output can be kept");
            fs::create_dir(self.out()).expect("made");
            let image = Image::from_layout(&kept.join("layout"));
            images.push((place, image.keeping(Arc::clone(&self.directory))));
        }
        images
    }

    /// The program and its arguments, to be run on this machine as root.
    pub fn host_command(&self) -> Command {
        self.host_command_for(Place::Overlay)
    }

    /// The same in one of the places that are this machine.
    pub fn host_command_for(&self, place: Place) -> Command {
        let mut command = Command::new(program());
        command
            .args(self.arguments(place))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.directory.path().join("home"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path());
        command
    }

    /// The container of a place with everything mounted that the build reads and writes.
    pub fn container_for(&self, place: Place) -> Container {
        let mut container = self
            .container
            .clone()
            .volume(&self.context(), "/workspace")
            .volume(&self.out(), "/out")
            .volume(&self.directory.path().join("home"), "/yadokari/home")
            .env("HOME", "/yadokari/home");
        if place != Place::NoVolume {
            container = container.option("--volume=/yadokari/work");
        }
        match place {
            Place::UserNamespace | Place::NoVolume => {
                container = container.option("--security-opt=seccomp=unconfined")
            }
            Place::MayMount => {
                let profile = "--security-opt=seccomp=unconfined";
                container = container.option("--cap-add=SYS_ADMIN").option(profile);
            }
            Place::InPlace | Place::Overlay | Place::Chroot => {}
        }
        for (name, layout) in self.used_bases() {
            container = container.read_only_volume(layout, &format!("/bases/{name}"));
        }
        for (name, value) in &self.environment {
            container = container.env(name, value);
        }
        container
    }

    /// The program's arguments, `build` first, as given in `place`.
    pub fn arguments(&self, place: Place) -> Vec<String> {
        let (context, out) = match place.is_machine() {
            true => (self.context(), self.out()),
            false => ("/workspace".into(), "/out".into()),
        };
        let (context, out) = (context.display().to_string(), out.display().to_string());
        let mut arguments = vec![
            "build".to_owned(),
            format!("--context={context}"),
            format!("--dockerfile={context}/Dockerfile"),
            format!("--digest-file={out}/digest"),
        ];
        if self.layout {
            arguments.push(format!("--oci-layout-path={out}/layout"));
        }
        if self.isolation {
            arguments.push(place.isolation().to_owned());
        }
        if place.is_machine() {
            let work = self.directory.path().join("work");
            arguments.push(format!("--work-dir={}", work.display()));
        }
        for (name, layout) in self.used_bases() {
            let path = match place.is_machine() {
                true => layout.display().to_string(),
                false => format!("/bases/{name}"),
            };
            arguments.push(format!("--build-context={name}=oci-layout://{path}"));
        }
        if self.destinations.is_empty() {
            arguments.push("--no-push".to_owned());
            arguments.extend(self.names.iter().map(|name| format!("--destination={name}")));
        }
        for destination in &self.destinations {
            arguments.push(format!("--destination={destination}"));
        }
        for flag in &self.flags {
            arguments.push(flag.replace("{out}", &out).replace("{context}", &context));
        }
        arguments
    }

    fn used_bases(&self) -> impl Iterator<Item = &(String, PathBuf)> {
        let dockerfile =
            fs::read_to_string(self.context().join("Dockerfile")).expect("the Dockerfile is there");
        self.bases.iter().filter(move |(name, _)| dockerfile.contains(name.as_str()))
    }
}

/// A build that has ended.
pub struct Built {
    /// How it ended.
    pub finished: Finished,
    out: PathBuf,
    place: Place,
    directory: Arc<TempDir>,
}

impl Built {
    /// The output directory on this machine.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The image of a build that must have succeeded: what the layout holds, which must agree
    /// with the digest file.
    pub fn image(&self) -> Image {
        self.succeeded();
        let image = Image::from_layout(&self.out.join("layout"));
        let digest = fs::read_to_string(self.out.join("digest")).expect("the digest file is there");
        assert_eq!(digest, image.digest, "the digest file");
        image.keeping(Arc::clone(&self.directory))
    }

    /// Asserts success.
    pub fn succeeded(&self) -> &Built {
        let (place, output) = (self.place, self.finished.output());
        assert_eq!(self.finished.code, 0, "the build failed in {place:?}:\n{output}");
        self
    }

    /// Asserts that the build failed with `code` and gives what it said on standard error.
    pub fn failed(&self, code: i32) -> &str {
        let (place, output) = (self.place, self.finished.output());
        assert_eq!(self.finished.code, code, "the exit code in {place:?}:\n{output}");
        &self.finished.stderr
    }

    /// Asserts that the program, or a step, said `text`.
    pub fn said(&self, text: &str) -> &Built {
        let (place, output) = (self.place, self.finished.output());
        assert!(output.contains(text), "'{text}' was not said in {place:?}:\n{output}");
        self
    }
}
